"""Predictions for picture files, as lines, JSON or CSV. No torch here."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hybridface import images
from hybridface.errors import DataError, UsageError, unknown
from hybridface.inference.runtime import FaceModel

Output = Literal["text", "json", "csv"]


@dataclass(frozen=True)
class TaskPrediction:
    """What a model says about one picture in one task.

    Attributes:
        label: The most probable class.
        probability: Its probability.
        probabilities: The probability of every class by name, in the model's order.
    """

    label: str
    probability: float
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Prediction:
    """What became of one picture file.

    Attributes:
        path: The file.
        tasks: What the model says, by task; empty where the file failed.
        error: What is wrong with the file, or None.
    """

    path: Path
    tasks: dict[str, TaskPrediction] = field(default_factory=dict)
    error: str | None = None


def find_pictures(paths: Iterable[str | Path]) -> list[Path]:
    """Expand folders to the picture files in them, at any depth, sorted, each file once.

    Files are taken as they are, whatever their suffix. Hidden files and folders are passed over.
    A path that leads to no picture is kept, so that it is reported like a broken file; only
    where no path leads to one is there nothing to do.

    Args:
        paths: Files and folders.

    Raises:
        UsageError: Not one picture was found.
    """
    found: dict[Path, bool] = {}
    for path in map(Path, paths):
        inside = _pictures_at(path)
        found.update(dict.fromkeys(inside, True) if inside else {path: False})
    if not any(found.values()):
        names = ", ".join(f"'{path}'" for path in found) or "no path at all"
        suffixes = " ".join(sorted(images.SUFFIXES))
        raise UsageError(
            f"no picture found in: {names}; expected picture files, or folders that hold files "
            f"ending in {suffixes}"
        )
    return list(found)


def _pictures_at(path: Path) -> list[Path]:
    """Return the file itself, the pictures in the folder, or nothing."""
    try:
        if not path.is_dir():
            return [path] if path.exists() else []
        return sorted(
            inner
            for inner in path.rglob("*")
            if inner.suffix.lower() in images.SUFFIXES
            and inner.is_file()
            and not any(part.startswith(".") for part in inner.relative_to(path).parts)
        )
    except (OSError, ValueError):  # too long a name, a folder that may not be entered
        return []


def predict_files(
    model: FaceModel, paths: Iterable[str | Path], batch_size: int = 64
) -> Iterator[Prediction]:
    """Predict picture files, in order, decoding a batch at a time.

    Args:
        model: A loaded model.
        paths: Files and folders; see :func:`find_pictures`.
        batch_size: How many pictures the model sees at once, and how many are held in memory.

    Returns:
        An iterator with one :class:`Prediction` a file. A file that is no picture, or for which
        the model gives no numbers, comes with an error in its place.

    Raises:
        UsageError: Not one picture was found, or ``batch_size`` is less than 1.
        HybridFaceError: ONNX Runtime failed.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size: expected at least 1, got {batch_size}")
    return _predict_in_batches(model, find_pictures(paths), batch_size)


def _predict_in_batches(
    model: FaceModel, files: Sequence[Path], batch_size: int
) -> Iterator[Prediction]:
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(files), batch_size):
            batch = files[start : start + batch_size]
            pictures = list(pool.map(partial(_load, model.size), batch))
            intact = [each for each in pictures if not isinstance(each, str)]
            outputs = model.predict(intact, batch_size)
            rows = iter(range(len(batch)))
            for path, picture in zip(batch, pictures, strict=True):
                if isinstance(picture, str):
                    yield Prediction(path, error=picture)
                else:
                    row = next(rows)
                    yield _judge(model, path, {name: each[row] for name, each in outputs.items()})


def _load(size: int, path: Path) -> NDArray[np.uint8] | str:
    """Return the picture at the model's size, or what is wrong with its file."""
    try:
        if path.is_dir():
            return "a folder that holds no picture"
        pixels: NDArray[np.uint8] = images.resize(images.read(path), size)
        return pixels
    except (DataError, OSError) as error:
        return str(error).removeprefix(f"{path}: ")


def _judge(model: FaceModel, path: Path, rows: dict[str, NDArray[np.float32]]) -> Prediction:
    tasks = {}
    for name, row in rows.items():
        if not np.isfinite(row).all():
            return Prediction(path, error=f"the model gives no numbers (NaN) for task '{name}'")
        if model.tasks[name].kind != "classification":
            continue
        probabilities = dict(zip(model.tasks[name].classes, row.tolist(), strict=True))
        label = max(probabilities, key=probabilities.__getitem__)
        tasks[name] = TaskPrediction(label, probabilities[label], probabilities)
    return Prediction(path, tasks)


def run_predict(
    images: Sequence[str | Path],
    model: str | Path,
    output: Output = "text",
    batch_size: int = 64,
) -> int:
    """Predict picture files and print the result: the command line's ``predict``.

    Only the result goes to stdout; files that failed are named on stderr, and in the JSON. The
    CSV has a row a picture: its path, then for each task the label, its probability, and a
    column ``TASK.CLASS`` for the probability of each class.

    Args:
        images: Files and folders; see :func:`find_pictures`.
        model: An ONNX file or a run folder.
        output: ``text`` for lines to read, ``json`` for one JSON object, ``csv`` for a table.
        batch_size: How many pictures the model sees at once.

    Returns:
        The exit code: 0, or 1 where any file failed; the others are printed all the same.

    Raises:
        UsageError: No picture, no model, an unknown output, or ``batch_size`` is less than 1.
        HybridFaceError: The model cannot be loaded or run.
    """
    if output not in _WRITERS:
        raise unknown("output", output, _WRITERS)
    files = find_pictures(images)
    face_model = FaceModel.load(model)
    failed: list[Prediction] = []
    good = _set_aside(predict_files(face_model, files, batch_size), failed)
    _WRITERS[output](face_model, files, good, failed)
    return 1 if failed else 0


def _set_aside(predictions: Iterable[Prediction], failed: list[Prediction]) -> Iterator[Prediction]:
    """Pass on what succeeded; name on stderr, and collect, what did not."""
    for prediction in predictions:
        if prediction.error is None:
            yield prediction
        else:
            failed.append(prediction)
            print(f"warning: {_shown(prediction.path)}: {prediction.error}", file=sys.stderr)


def _shown(path: Path) -> str:
    """Return the path as text that any stream can take, whatever bytes are in it."""
    return os.fsencode(path).decode("utf-8", "replace")


def _write_text(
    model: FaceModel, files: Sequence[Path], good: Iterator[Prediction], failed: list[Prediction]
) -> None:
    """Print a line a picture and task: ``PATH  TASK: LABEL 93.1%  (sad 4.0%, neutral 2.1%)``."""
    width = max(len(_shown(path)) for path in files)
    names = [name for task in model.tasks.values() for name in task.classes]
    widest = max(map(len, names), default=0)
    for prediction in good:
        for name, task in prediction.tasks.items():
            ranked = sorted(task.probabilities, key=lambda each: -task.probabilities[each])
            others = ", ".join(f"{each} {task.probabilities[each]:.1%}" for each in ranked[1:3])
            print(
                f"{_shown(prediction.path):<{width}}  {name}: {task.label:<{widest}} "
                f"{task.probability:6.1%}" + (f"  ({others})" if others else "")
            )


def _write_json(
    model: FaceModel, files: Sequence[Path], good: Iterator[Prediction], failed: list[Prediction]
) -> None:
    """Print one JSON object."""
    predictions = [
        {
            "path": _shown(prediction.path),
            "tasks": {
                name: {
                    "label": task.label,
                    "probability": task.probability,
                    "probabilities": task.probabilities,
                }
                for name, task in prediction.tasks.items()
            },
        }
        for prediction in good
    ]
    result: dict[str, Any] = {
        "model": _shown(model.path),
        "predictions": predictions,
        "failed": [{"path": _shown(each.path), "what": each.error} for each in failed],
    }
    print(json.dumps(result, indent=2, allow_nan=False))


def _write_csv(
    model: FaceModel, files: Sequence[Path], good: Iterator[Prediction], failed: list[Prediction]
) -> None:
    """Print a table with a header and a row a picture."""
    header = ["path"]
    for name, model_task in model.tasks.items():
        if model_task.kind != "classification":
            continue
        header += [name, f"{name}_probability", *(f"{name}.{each}" for each in model_task.classes)]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(header)
    for prediction in good:
        row = [_shown(prediction.path)]
        for task in prediction.tasks.values():
            numbers = (task.probability, *task.probabilities.values())
            row += [task.label, *(f"{number:.6g}" for number in numbers)]
        writer.writerow(row)


_Writer = Callable[[FaceModel, Sequence[Path], Iterator[Prediction], list[Prediction]], None]
_WRITERS: dict[str, _Writer] = {"text": _write_text, "json": _write_json, "csv": _write_csv}
