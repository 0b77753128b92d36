"""Print how many drawn faces a second one thread and all threads make, as one JSON line."""

import json
import os
import sys
import time

from hybridface.data.drawn_faces import draw_faces

COUNT, SIZE = 600, 48


def faces_per_second(threads: int, size: int) -> float:
    start = time.perf_counter()
    draw_faces(0, COUNT, size, threads=threads)
    return round(COUNT / (time.perf_counter() - start), 1)


def main() -> None:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else SIZE
    draw_faces(0, 8, size, threads=1)
    every = os.cpu_count() or 1
    rates = {str(threads): faces_per_second(threads, size) for threads in sorted({1, every})}
    print(json.dumps({"size": size, "faces": COUNT, "faces_per_second_by_threads": rates}))


if __name__ == "__main__":
    main()
