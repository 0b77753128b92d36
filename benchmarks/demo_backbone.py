"""Run the demonstration with another backbone: ``python benchmarks/demo_backbone.py NAME FOLDER``.

All else is as in ``hybridface demo``, so it says how hard the drawn faces are for that network in
the demonstration's settings, and how long both arms and the report take.
"""

import sys
import time
from pathlib import Path

from hybridface import demo


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    start = time.perf_counter()
    demo.SHARED["backbone"] = {"name": name, "init": "random"}
    demo.run_demo(out=folder, show_progress=False)
    print(f"{time.perf_counter() - start:.0f} seconds")


if __name__ == "__main__":
    main()
