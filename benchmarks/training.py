"""Whole epochs of training beside what one would write otherwise, and beside the limit.

``python benchmarks/training.py [FER+ FOLDER]`` prints JSON lines: pictures a second of every
variant of ``training_variants.py`` (medians over rounds in which all take turns, each in a process
of its own, the first epoch of each left out), the ratios between them, memory with ten times the
data, and the seconds from starting ``hybridface train`` on cached data to its first step. The data
are training pictures of FER2013, a folder a class. ``--help`` has the settings; on a GPU
``--device cuda --precision bf16-mixed --size 96 --batch 256`` also gives the share of the peak.
"""

import argparse
import csv
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training_variants import ARMS

HERE = Path(__file__).parent
VARIANTS = ("loop", "loop, channels last", "limit, timm", "limit", *ARMS)
FIRST_STEP = """
import os, sys
from hybridface.training.module import HybridModule
inner = HybridModule.on_train_batch_end
def stop(self, *arguments):
    inner(self, *arguments)
    os._exit(0)
HybridModule.on_train_batch_end = stop
from hybridface.cli import main
main()
"""


def make_folder(source: Path, target: Path, pictures: int) -> None:
    """Copy training pictures of FER+ to ``target/train/CLASS``, and some to ``target/val``."""
    with (source / "fer2013_labels.csv").open() as table:
        rows = [row for row in csv.DictReader(table) if row["Usage"] == "Training"]
    random.Random(0).shuffle(rows)
    for number, row in enumerate(rows[: pictures + 256]):
        split = "train" if number < pictures else "val"
        folder = target / split / row["emotion"]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / "FER2013Train" / row["Image name"], folder)


def run_variant(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Run one variant in a process of its own."""
    command = [sys.executable, str(HERE / "training_variants.py"), name, json.dumps(options)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options["threads"])}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def throughput(
    options: dict[str, Any], rounds: int, variants: Sequence[str] = VARIANTS
) -> dict[str, float]:
    """Let variants take turns; print and return the median rate of each."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name in variants:
            found[name].append(run_variant(name, options))
            print(name, found[name][-1], file=sys.stderr)
    rates: dict[str, float] = {}
    for name, figures in found.items():
        every = [one["images_per_second"] for one in figures]
        rates[name] = statistics.median(every)
        line = {"variant": name, **options, **figures[-1], "images_per_second": rates[name]}
        line.pop("folder")
        print(json.dumps({**line, "lowest": min(every), "highest": max(every)}), flush=True)
    return rates


def ratios(rates: dict[str, float]) -> dict[str, float]:
    """Return what the goals are about."""
    supervised = rates["supervised"]
    found = {f"supervised / {name}": supervised / rates[name] for name in rates if name not in ARMS}
    arms = [name for name in ARMS if name in rates and name != "supervised"]
    found |= {f"step of {name} / supervised": supervised / rates[name] for name in arms}
    return {name: round(value, 3) for name, value in found.items()}


def start_up(options: dict[str, Any]) -> float:
    """Return the seconds from the command to the end of its first step, data cached."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", FIRST_STEP, "train", str(HERE / "../configs/folder.yaml")]
        command += [f"run={folder}/run", f"data.source=folder:{options['folder']}"]
        command += [f"data.size={options['size']}", "data.folds=null"]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("source", nargs="?", default="~/.cache/hybridface/data/ferplus")
    parser.add_argument("--pictures", type=int, default=2560)
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="32-true")
    parser.add_argument(
        "--only", action="append", choices=VARIANTS, help="beside supervised, and nothing else"
    )
    options = vars(parser.parse_args())
    source, rounds = Path(options.pop("source")).expanduser(), options.pop("rounds")
    only = options.pop("only")
    with tempfile.TemporaryDirectory() as folder:
        options["folder"] = f"{folder}/faces"
        make_folder(source, Path(options["folder"]), options["pictures"])
        variants = [name for name in VARIANTS if not only or name in (*only, "supervised")]
        print(json.dumps({"ratios": ratios(throughput(options, rounds, variants))}), flush=True)
        if only:
            return
        seconds = [round(start_up(options), 2) for _ in range(rounds)]
        print(json.dumps({"seconds_to_the_first_step": statistics.median(seconds)}), flush=True)
        ten_times = {**options, "folder": f"{folder}/more", "pictures": 10 * options["pictures"]}
        make_folder(source, Path(ten_times["folder"]), ten_times["pictures"])
        for name in ("supervised", "puzzle, own"):
            for data in (options, ten_times):
                figures = run_variant(name, {**data, "epochs": 1})
                print(json.dumps({"variant": name, "pictures": data["pictures"], **figures}))


if __name__ == "__main__":
    main()
