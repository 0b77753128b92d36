"""What ``hybridface serve`` serves, against the same model called directly.

``python benchmarks/serving.py --model FILE [--requests N] [--concurrency 1,4,16,64]`` prints one
JSON line, and adds it to ``results/serving.jsonl`` with ``--store``.

Photos are scikit-image's astronaut at several places and sizes, so that no two are alike, as JPEG
files of 512x512. The server runs as a process of its own; so does what sends the requests, one
photo each, over as many connections that stay open as the concurrency says. Called directly, a
process of its own decodes and reads the same files in batches, as ``predict`` does. Both are
measured in turns, ``--rounds`` times; the ratio is that of the medians. A request that is not
answered with 200 and one face is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import skimage.data
from PIL import Image

RESULTS = Path(__file__).parent / "results" / "serving.jsonl"
PHOTOS, SIDE = 64, 512
START = "from hybridface.cli import main; main()"
DIRECT = """
import json, sys, time
from hybridface.inference.inputs import Input
from hybridface.inference.photos import FaceReader
from pathlib import Path
model, count, *paths = sys.argv[1:]
reader = FaceReader(model)
files = [Input(Path(paths[number % len(paths)]), "picture") for number in range(int(count))]
list(reader.read_files(files[:16]))
start = time.perf_counter()
faces = sum(len(photo.faces) for photo in reader.read_files(files))
print(json.dumps({"seconds": time.perf_counter() - start, "faces": faces}))
"""


def write_photos(folder: Path, count: int = PHOTOS) -> list[Path]:
    """Write photos with one face each."""
    draw = np.random.default_rng(0)
    whole = Image.fromarray(skimage.data.astronaut())
    paths = []
    for number in range(count):
        side = int(draw.integers(300, 512))
        left = int(draw.integers(0, min(160, 512 - side) + 1))
        photo = whole.crop((left, 0, left + side, side)).resize((SIDE, SIDE))
        paths.append(folder / f"{number:03}.jpg")
        photo.save(paths[-1], quality=90)
    return paths


@contextmanager
def server(model: str, *options: str) -> Iterator[tuple[str, int]]:
    """Start a server; gives its address and the number of its process."""
    command = [sys.executable, "-c", START, "serve", "--model", model, "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if "http" not in line:
            raise SystemExit(f"no server: {line}")
        yield line.split()[-1], process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def memory_of(pid: int) -> float:
    """Return the private memory of a process in MiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
    kilobytes = re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", text, re.MULTILINE)
    return round(sum(map(int, kilobytes)) / 1024, 1)


async def one_connection(
    host: str, port: int, bodies: Iterator[bytes], seconds: list[float]
) -> int:
    """Send bodies one after the other; returns how many were lost."""
    reader, writer = await asyncio.open_connection(host, port)
    lost = 0
    for body in bodies:
        head = f"POST /v1/predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: image/jpeg\r\n"
        start = time.perf_counter()
        try:
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
            content = await reader.readexactly(int(found[1]) if found else 0)
            lost += not (answer.startswith(b"HTTP/1.1 200") and content.count(b'"box"') == 1)
        except (OSError, asyncio.IncompleteReadError):  # broken off
            lost += 1
            writer.close()
            reader, writer = await asyncio.open_connection(host, port)
        seconds.append(time.perf_counter() - start)
    writer.close()
    return lost


async def send(address: str, bodies: Sequence[bytes], count: int, concurrency: int) -> Any:
    """Send requests over some connections; returns the time, each latency, and the lost ones."""
    host, port = urlsplit(address).netloc.split(":")
    queue = (bodies[number % len(bodies)] for number in range(count))
    seconds: list[float] = []
    start = time.perf_counter()
    lost = await asyncio.gather(
        *(one_connection(host, int(port), queue, seconds) for _ in range(concurrency))
    )
    return time.perf_counter() - start, seconds, sum(lost)


def measure(address: str, bodies: Sequence[bytes], count: int, concurrency: int) -> dict[str, Any]:
    """Return the requests a second and the latencies of one concurrency."""
    taken, seconds, lost = asyncio.run(send(address, bodies, count, concurrency))
    milliseconds = np.percentile(seconds, [50, 99]) * 1000
    return {
        "concurrency": concurrency, "requests": len(seconds), "lost": lost,
        "per_second": round(count / taken, 1),
        "median_ms": round(float(milliseconds[0]), 1), "p99_ms": round(float(milliseconds[1]), 1),
    }  # fmt: skip


def call_directly(model: str, paths: Sequence[Path], count: int) -> float:
    """Return how many photos a second the reader reads without a server."""
    command = [sys.executable, "-c", DIRECT, model, str(count), *map(str, paths)]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if said["faces"] != count:
        raise SystemExit(f"{said['faces']} faces in {count} photos of one face")
    return count / float(said["seconds"])


def flat(address: str, pid: int, bodies: Sequence[bytes], count: int, parts: int) -> dict[str, Any]:
    """Send many requests in parts; returns the server's memory after each, and the lost ones."""
    lost, memory = 0, []
    for _ in range(parts):
        lost += measure(address, bodies, count // parts, 16)["lost"]
        memory.append(memory_of(pid))
    return {"requests": count // parts * parts, "lost": lost, "memory_mib": memory}


def run(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    paths = write_photos(folder)
    bodies = [path.read_bytes() for path in paths]
    levels = [int(each) for each in given.concurrency.split(",")]
    direct: list[float] = []
    rounds: dict[int, list[dict[str, Any]]] = {each: [] for each in levels}
    for _ in range(given.rounds):  # in turns, so that a busy moment harms both alike
        direct.append(call_directly(given.model, paths, given.requests))
        with server(given.model) as (address, _):
            measure(address, bodies, 32, 4)
            for level in levels:
                rounds[level].append(measure(address, bodies, given.requests, level))
    whole = statistics.median(direct)
    rows = []
    for measured in rounds.values():
        middle = sorted(measured, key=lambda row: row["per_second"])[len(measured) // 2]
        row = {**middle, "lost": sum(each["lost"] for each in measured)}
        row["of_direct"] = round(row["per_second"] / whole, 3)
        rows.append(row)
    found: dict[str, Any] = {
        "direct_per_second": round(whole, 1),
        "served": rows,
        "rounds": given.rounds,
    }
    if given.many:
        with server(given.model) as (address, pid):
            measure(address, bodies, 200, 16)
            found["many"] = flat(address, pid, bodies, given.many, 10)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True, help="an ONNX file or a run's folder")
    parser.add_argument("--requests", type=int, default=400, help="of each concurrency")
    parser.add_argument("--concurrency", default="1,4,16,64")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=10_000, help="requests for the memory; 0: none")
    parser.add_argument("--store", action="store_true", help="add the line to the results")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(given, Path(folder))
    row = {
        "model": Path(given.model).name, "photo": [SIDE, SIDE], "cores": os.cpu_count(), **found,
        "load_average": round(os.getloadavg()[0], 1),
        "date": datetime.date.today().isoformat(),
    }  # fmt: skip
    line = json.dumps(row)
    print(line)
    if given.store:
        with RESULTS.open("a") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
