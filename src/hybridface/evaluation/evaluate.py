"""Measure a model file on a data set: same pictures, same runtime as in use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.data.cache import Progress
from hybridface.data.decoding import (
    choose_workers,
    killed_workers_named,
    needed_workers,
    open_pictures,
)
from hybridface.data.source import SPLITS, Pictures, Rows
from hybridface.data.sources import open_source
from hybridface.errors import UsageError, unknown
from hybridface.evaluation.left_out import named, nothing_left, skipped_rows
from hybridface.evaluation.matching import (
    Mask,
    any_of,
    match_columns,
)
from hybridface.evaluation.measuring import keep_task, measure_task
from hybridface.evaluation.metrics import require_training_extra
from hybridface.evaluation.numeric_predictions import NumericPredictions
from hybridface.evaluation.overlap import overlap_notes
from hybridface.evaluation.predictions import (
    Predictions,
    TaskPredictions,
    check_place,
    save_predictions,
)
from hybridface.evaluation.text import print_evaluation
from hybridface.files import CACHE_LIMIT_GIB
from hybridface.inference.runtime import FaceModel

ALL = "all"

Index = NDArray[np.int64]


def evaluate(
    model: str | Path | FaceModel,
    data: str,
    split: str | None = None,
    label: str | None = None,
    *,
    batch_size: int = 256,
    progress: Progress | None = None,
    out: str | Path | None = None,
    cache_limit_gib: float = CACHE_LIMIT_GIB,
    workers: int | None = None,
) -> dict[str, Any]:
    """Measure a model on a data set.

    Every task of the model is measured on the column that goes by its name. Of poses and other
    numbers it gives errors (see :mod:`hybridface.evaluation.number_metrics`), of all tasks also
    the accuracy or error ``by_group``, where the data knows age, gender or ethnicity.
    Classes are matched by name, so the order of classes in the model and in the data does not
    matter. Rows of a class that the model does not have are left out and counted under
    ``unmatched``. Probabilities stay over all of the model's classes: predicting a class that the
    data does not have is an error of the model. Rows without a label and pictures that cannot be
    decoded are left out, counted and named under ``skipped``.

    Args:
        model: An ONNX file, a run folder, ``default`` for the model that ships, or a loaded model.
        data: ``KIND:PATH`` or ``KIND:PATH?option=value``.
        split: ``train``, ``val``, ``test`` or ``all``. None takes ``test``, or every row where
            the data set's layout has no row of split test.
        label: The label column of the data to measure on. None takes every column that goes by
            the name of a task of the model; one column and one task also match by their classes.
        batch_size: How many pictures the model sees at once.
        progress: Called with (done, total) while pictures are decoded, where they are not yet,
            and from the start again while the model sees them.
        out: A ``.npz`` file to keep the predictions in, for :func:`hybridface.compare`.
        cache_limit_gib: The largest cache of decoded pictures allowed, in GiB; a data set that
            would need more is decoded by worker processes while the model sees it.
        workers: How many worker processes decode what is not cached; None chooses from the cores.

    Returns:
        A dictionary that ``json.dumps`` takes::

            {"model": "runs/a/model.onnx", "data": "rafdb:/data/rafdb", "split": "test",
             "count": 3068,
             "tasks": {"expression": {…what classification_metrics gives…, "label": "expression",
                 "unlabelled": 0,
                 "unmatched": {"data_classes": {"contempt": 7}, "model_classes": ["sad"]}},
                 "pose": {…what pose_metrics gives…, "kind": "pose", "unit": "degrees",
                 "label": "pose", "unlabelled": 0}},
             "skipped": {"count": 2, "unlabelled": 1, "unreadable": 1,
                 "examples": [{"where": …, "what": …}]},
             "problems": {"count": 0, "examples": []}, "notes": []}

        ``count`` is how many rows were measured in at least one task. A row counts as unlabelled
        under ``skipped`` where no measured task has a label for it, and under a task where that
        task has none. ``problems`` and ``notes`` are what the data set's reader found; a note
        also says how many of the rows the model may have been trained on.

    Raises:
        UsageError: The model or data cannot be opened as asked, no row is of the split, no task
            matches a label column, ``batch_size`` is less than 1, or predictions cannot be kept
            in ``out``, as of a loaded model whose file is another by now.
        DataError: The data set is not of its kind, or no usable row is left.
        HybridFaceError: The model or the cache fails, or torch is not installed.
    """
    if out is not None:
        check_place(Path(out))
        if isinstance(model, FaceModel) and not model.digest:
            raise UsageError(
                f"{model.path}: is gone, or another model was put there since this one was loaded, "
                "so that kept predictions would not say what they are of; load it again"
            )
    result, predictions = measure(
        model, data, split, label, batch_size=batch_size, progress=progress,
        cache_limit_gib=cache_limit_gib, workers=workers,
    )  # fmt: skip
    if out is not None:
        save_predictions(Path(out), predictions)
    return result


@killed_workers_named()
def measure(
    model: str | Path | FaceModel,
    data: str,
    split: str | None = None,
    label: str | None = None,
    *,
    batch_size: int = 256,
    progress: Progress | None = None,
    cache_limit_gib: float = CACHE_LIMIT_GIB,
    workers: int | None = None,
) -> tuple[dict[str, Any], Predictions]:
    """Measure a model on a data set, and return the predictions beside the figures.

    Arguments and errors are those of :func:`evaluate`, which returns the figures alone.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size: expected at least 1, got {batch_size}")
    require_training_extra()
    face_model = model if isinstance(model, FaceModel) else FaceModel.load(model)
    source = open_source(data)
    rows = source.read()
    name, inside = _choose_rows(rows, split, data)
    matches = match_columns(face_model.tasks, {**rows.labels, **rows.numeric}, label, data)
    workers = choose_workers(workers)
    pictures = open_pictures(
        source, rows, face_model.size, progress, limit_gib=cache_limit_gib, workers=workers
    )
    usable = inside & pictures.decoded
    wanted = usable & any_of(match.measurable for match in matches)
    skipped = skipped_rows(rows, pictures, inside, matches)
    if not wanted.any():
        raise nothing_left(f"{data}, split '{name}'", int(inside.sum()), skipped, matches, usable)
    index = np.flatnonzero(wanted)
    measured = [match for match in matches if match.measurable[index].any()]
    unmeasured = (match.task for match in matches if match not in measured)
    empty = [f"task '{task}' has no usable row" for task in unmeasured]
    outputs = predict_rows(
        face_model, pictures.images, index, batch_size, progress=progress,
        workers=needed_workers(workers, pictures.images),
    )  # fmt: skip
    notes = [*overlap_notes(face_model.path, source, rows, index), *rows.notes, *empty]
    notes += filter(None, [pictures.note])
    result = {
        "model": str(face_model.path),
        "data": data,
        "split": name,
        "count": len(index),
        "tasks": {
            match.task: measure_task(match, outputs[match.task], rows, index, usable)
            for match in measured
        },
        "skipped": skipped,
        "problems": {"count": len(rows.problems), "examples": named(rows.problems)},
        "notes": notes,
    }
    kept = {m.task: keep_task(m, outputs[m.task], rows, index) for m in measured}
    classes = {task: each for task, each in kept.items() if isinstance(each, TaskPredictions)}
    numbers = {task: each for task, each in kept.items() if isinstance(each, NumericPredictions)}
    path = str(face_model.path)
    origin = (path, data, name, pictures.fingerprint)
    digest = face_model.digest
    return result, Predictions(path, *origin, classes, tuple(notes), numbers, digest)


def _choose_rows(rows: Rows, split: str | None, data: str) -> tuple[str, Mask]:
    """Return the name of the split that is measured, and ``(N,)`` which rows are in it."""
    if split is not None and split not in (*SPLITS, ALL):
        raise unknown("split", split, (*SPLITS, ALL))
    name = split or ("test" if (rows.split == "test").any() else ALL)
    inside = np.ones(len(rows), dtype=bool) if name == ALL else np.asarray(rows.split == name)
    if not inside.any():
        counts = {each: int((rows.split == each).sum()) for each in (*SPLITS, "")}
        found = ", ".join(f"{each or 'no split'} {count}" for each, count in counts.items())
        raise UsageError(
            f"{data}: no row of split '{name}'; rows by split: {found}; choose one that has rows, "
            "or all"
        )
    return name, inside


def predict_rows(
    model: FaceModel,
    pictures: Pictures,
    index: Index,
    batch_size: int,
    *,
    progress: Progress | None = None,
    workers: int = 0,
) -> dict[str, NDArray[np.float32]]:
    """Predict some of the pictures, never more than a few batches of them in memory.

    Args:
        model: The model.
        pictures: The pictures, of the model's size.
        index: ``(M,)`` which of them.
        batch_size: How many the model sees at once.
        progress: Called with (done, total).
        workers: How many processes decode pictures that are not cached.

    Returns:
        ``(M, K)`` by task.
    """
    from hybridface.data.workers import WorkerLoader

    parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in model.tasks}
    batches = [index[start : start + batch_size] for start in range(0, len(index), batch_size)]
    done = 0
    for seen in WorkerLoader(pictures, batches, workers):
        for name, output in model.predict(seen, batch_size).items():
            parts[name].append(output)
        done += len(seen)
        if progress is not None:
            progress(done, len(index))
    return {name: np.concatenate(blocks) for name, blocks in parts.items()}


def run_evaluate(
    model: str | Path,
    data: str,
    split: str | None = None,
    as_json: bool = False,
    progress: Progress | None = None,
    *,
    label: str | None = None,
    out: Path | None = None,
    cache_limit_gib: float = CACHE_LIMIT_GIB,
    workers: int | None = None,
) -> int:
    """Measure a model and print the result: the command line's ``evaluate``.

    Args:
        model: An ONNX file, a run folder or ``default``.
        data: ``KIND:PATH`` or ``KIND:PATH?option=value``.
        split: See :func:`evaluate`.
        as_json: Print exactly one JSON object instead of tables, and nothing else, on stdout.
        progress: See :func:`evaluate`; must not write to stdout.
        label: See :func:`evaluate`.
        out: See :func:`evaluate`.
        cache_limit_gib: See :func:`evaluate`.
        workers: See :func:`evaluate`.

    Returns:
        The exit code, 0.

    Raises:
        HybridFaceError: See :func:`evaluate`.
    """
    result = evaluate(
        model, data, split, label, progress=progress, out=out,
        cache_limit_gib=cache_limit_gib, workers=workers,
    )  # fmt: skip
    if as_json:
        print(json.dumps(result, indent=2, allow_nan=False))
    else:
        print_evaluation(result)
    return 0
