"""Train a network of every family of timm: ``python benchmarks/backbones.py FOLDER [SIZE]``.

Of each family the smallest network, but for those that timm keeps for its tests; where it has more
than 40 million weights the family is left out. Each is trained for one epoch on 48 drawn faces with
a puzzle and in-painting in views of their own, and exported, by ``hybridface train`` in a process
of its own.
A row for each goes to ``benchmarks/results/backbones.jsonl``; those that have theirs for this size
are not repeated; ``--jobs 2`` trains two at once. ``--table`` says what the rows say.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROWS = Path(__file__).parent / "results" / "backbones.jsonl"
RECIPE = Path(__file__).parent.parent / "configs" / "drawn.yaml"
MOST_WEIGHTS = 40_000_000
MOST_SECONDS = 900
CHANGES = (
    "data.source=drawn:80", "data.fraction=1", "tasks.puzzle.grid=2", "tasks.puzzle.view=own",
    "tasks.inpaint.view=own", "training.epochs=1", "training.batch_size=8",
)  # fmt: skip


def smallest_networks() -> Iterator[tuple[str, str, int]]:
    """Give each family of timm, its smallest network, and how many weights that has."""
    import timm
    import torch

    for family in timm.list_modules():
        found = []
        for name in timm.list_models(module=family, exclude_filters="test_*"):
            try:
                with torch.device("meta"):
                    network = timm.create_model(name, num_classes=0)
            except Exception as error:  # some cannot be made at all, or want what is not installed
                print(f"{name}: left out, as it cannot be made: {error}", file=sys.stderr)
                continue
            found.append((sum(value.numel() for value in network.parameters()), name))
        if found and min(found)[0] <= MOST_WEIGHTS:
            weights, name = min(found)
            yield family, name, weights


def train(name: str, size: int, run: Path) -> dict[str, Any]:
    """Train and export a network, and say what came of it."""
    shutil.rmtree(run, ignore_errors=True)
    command = ["train", str(RECIPE), f"run={run}", f"backbone.name={name}", f"data.size={size}"]
    start = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "hybridface", *command, *CHANGES, "--quiet"],
            capture_output=True, text=True, check=False, timeout=MOST_SECONDS,
        )  # fmt: skip
        code, last = done.returncode, (done.stderr.strip().splitlines() or [""])[-1]
    except subprocess.TimeoutExpired:
        code, last = None, f"not done after {MOST_SECONDS} seconds"
    result = run / "result.json"
    content = json.loads(result.read_text(encoding="utf-8")) if result.exists() else {}
    shutil.rmtree(run, ignore_errors=True)
    return {
        "trained": bool(content),
        "exported": content.get("onnx_difference") is not None,
        "difference": content.get("onnx_difference"),
        "code": code,
        "said": last.replace(str(run), "RUN") if code else "",
        "seconds": round(time.perf_counter() - start, 1),
    }


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Give, for each size, how many were trained and exported, and a line for each that was not."""
    for size in sorted({row["size"] for row in rows}):
        of_size = [row for row in rows if row["size"] == size]
        trained, exported = (sum(row[key] for row in of_size) for key in ("trained", "exported"))
        yield f"{size} px: {len(of_size)} families, {trained} trained, {exported} exported"
        for row in of_size:
            if not row["exported"]:
                yield f"  {row['network']}: {row['said']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="where the runs go; emptied again")
    parser.add_argument("size", type=int, nargs="?", default=128, help="of the pictures, in pixels")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once")
    parser.add_argument("--table", action="store_true", help="print what the rows say")
    given = parser.parse_args()
    lines = ROWS.read_text(encoding="utf-8").splitlines() if ROWS.exists() else []
    rows = [json.loads(line) for line in lines]
    if given.table:
        print("\n".join(table(rows)))
        return
    if given.folder is None:
        parser.error("name a folder for the runs")
    import timm
    import torch

    known = {(row["network"], row["size"]) for row in rows}

    def measured(found: tuple[str, str, int]) -> dict[str, Any]:
        family, name, weights = found
        row = {"family": family, "network": name, "weights": weights, "size": given.size}
        row |= train(name, given.size, given.folder / name)
        return row | {"timm": timm.__version__, "torch": torch.__version__}

    left = [each for each in smallest_networks() if (each[1], given.size) not in known]
    with ThreadPoolExecutor(given.jobs) as pool:
        for row in pool.map(measured, left):
            with ROWS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
