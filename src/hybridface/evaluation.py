"""Measure a model file on a data set: same pictures, same runtime as in use."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.data.cache import CachedPictures, Progress, open_cache
from hybridface.data.source import MISSING, SPLITS, Labels, Problem, Rows
from hybridface.data.sources import open_source
from hybridface.errors import DataError, UsageError, unknown
from hybridface.evaluation_overlap import overlap_notes
from hybridface.evaluation_text import print_evaluation
from hybridface.labels import match_classes
from hybridface.metrics import classification_metrics, require_training_extra
from hybridface.runtime import FaceModel, ModelTask

ALL = "all"
EXAMPLES = 20
FOREIGN = -2

Index = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Match:
    """A task of the model and the label column that it is measured on.

    Attributes:
        task: The task's name in the model.
        column: The label column's name in the data.
        targets: ``(N,)`` the model's class of each row of the data; -1 where the row has no
            label, -2 where the model does not have its class.
        labels: The column.
        classes: The model's classes.
    """

    task: str
    column: str
    targets: Index
    labels: Labels
    classes: tuple[str, ...]


def evaluate(
    model: str | Path | FaceModel,
    data: str,
    split: str | None = None,
    label: str | None = None,
    *,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure a model on a data set.

    Classes are matched by name, so the order of classes in the model and in the data does not
    matter. Rows of a class that the model does not have are left out and counted under
    ``unmatched``. Probabilities stay over all of the model's classes: predicting a class that the
    data does not have is an error of the model. Rows without a label and pictures that cannot be
    decoded are left out, counted and named under ``skipped``.

    Args:
        model: An ONNX file, a run folder, or a loaded model.
        data: ``KIND:PATH`` or ``KIND:PATH?option=value``.
        split: ``train``, ``val``, ``test`` or ``all``. None takes ``test``, or every row where
            the data set's layout has no row of split test.
        label: The label column of the data to measure on. None takes every column that goes by
            the name of a task of the model; one column and one task also match by their classes.
        batch_size: How many pictures the model sees at once.
        progress: Called with (done, total) while pictures are decoded, where they are not yet,
            and from the start again while the model sees them.

    Returns:
        A dictionary that ``json.dumps`` takes::

            {"model": "runs/a/model.onnx", "data": "rafdb:/data/rafdb", "split": "test",
             "count": 3068,
             "tasks": {"expression": {…what classification_metrics gives…, "label": "expression",
                 "unlabelled": 0,
                 "unmatched": {"data_classes": {"contempt": 7}, "model_classes": ["sad"]}}},
             "skipped": {"count": 2, "unlabelled": 1, "unreadable": 1,
                 "examples": [{"where": …, "what": …}]},
             "problems": {"count": 0, "examples": []}, "notes": []}

        ``count`` is how many rows were measured in at least one task. A row counts as unlabelled
        under ``skipped`` where no measured task has a label for it, and under a task where that
        task has none. ``problems`` and ``notes`` are what the data set's reader found; a note
        also says how many of the rows the model may have been trained on.

    Raises:
        UsageError: The model or data cannot be opened as asked, no row is of the split, no task
            matches a label column, or ``batch_size`` is less than 1.
        DataError: The data set is not of its kind, or no usable row is left.
        HybridFaceError: The model or the cache fails, or torch is not installed.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size: expected at least 1, got {batch_size}")
    require_training_extra()
    face_model = model if isinstance(model, FaceModel) else FaceModel.load(model)
    source = open_source(data)
    rows = source.read()
    name, inside = _choose_rows(rows, split, data)
    matches = _match(face_model.tasks, rows.labels, label, data)
    pictures = open_cache(source, rows, face_model.size, progress)
    usable = inside & pictures.decoded
    wanted = usable & np.any([match.targets >= 0 for match in matches], axis=0)
    skipped = _skipped(rows, pictures, inside, matches)
    if not wanted.any():
        raise _nothing_left(f"{data}, split '{name}'", int(inside.sum()), skipped, matches, usable)
    index = np.flatnonzero(wanted)
    measured = [match for match in matches if (match.targets[index] >= 0).any()]
    unmeasured = (match.task for match in matches if match not in measured)
    empty = [f"task '{task}' has no usable row" for task in unmeasured]
    outputs = _predict(face_model, pictures.images, index, batch_size, progress)
    return {
        "model": str(face_model.path),
        "data": data,
        "split": name,
        "count": len(index),
        "tasks": {
            match.task: _measure(match, outputs[match.task], index, usable) for match in measured
        },
        "skipped": skipped,
        "problems": {"count": len(rows.problems), "examples": _named(rows.problems)},
        "notes": [*overlap_notes(face_model.path, source, rows, index), *rows.notes, *empty],
    }


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


def _match(
    tasks: dict[str, ModelTask], columns: dict[str, Labels], label: str | None, data: str
) -> list[_Match]:
    """Pair tasks with label columns; see :func:`evaluate`."""
    if label is not None:
        if label not in columns:
            raise unknown(f"label column of {data}", label, columns)
        columns = {label: columns[label]}
    pairs = [(name, name) for name in tasks if name in columns]
    if not pairs and len(tasks) == 1 and len(columns) == 1:
        pairs = list(zip(tasks, columns, strict=True))
    paired = (_pair(name, tasks[name], column, columns[column]) for name, column in pairs)
    if not (matches := [match for match in paired if match is not None]):
        ours = "; ".join(f"{name} ({', '.join(task.classes)})" for name, task in tasks.items())
        theirs = "; ".join(f"{name} ({', '.join(each.names)})" for name, each in columns.items())
        raise UsageError(
            f"{data}: no label column matches a task of the model by its name and its classes.\n"
            f"  tasks of the model: {ours}\n  label columns of the data: {theirs or 'none'}"
        )
    return matches


def _pair(name: str, task: ModelTask, column: str, labels: Labels) -> _Match | None:
    """Bring a column's labels to the model's classes; None where they share no class."""
    places = match_classes(labels.names, task.classes)
    if all(place is None for place in places):
        return None
    lookup = np.array([FOREIGN if place is None else place for place in places] + [MISSING])
    # a missing label is -1, and so takes the last entry
    return _Match(name, column, lookup[labels.ids].astype(np.int64), labels, task.classes)


def _skipped(
    rows: Rows, pictures: CachedPictures, inside: Mask, matches: list[_Match]
) -> dict[str, Any]:
    """Count and name the rows of the split that cannot be measured in any task."""
    unreadable = inside & ~pictures.decoded
    unlabelled = inside & pictures.decoded
    for match in matches:
        unlabelled &= match.targets == MISSING
    reasons = {problem.where: problem.what for problem in pictures.problems}
    columns = " or ".join(f"'{match.column}'" for match in matches)
    first = np.flatnonzero(unreadable | unlabelled)[:EXAMPLES]
    problems = []
    for row in first:
        where = Problem(rows.keys[row], "").where  # as text, as the cache's problems have it
        unread = reasons.get(where, "cannot be decoded")
        what = f"no label in column {columns}" if unlabelled[row] else unread
        problems.append(Problem(where, what))
    counts = {"unlabelled": int(unlabelled.sum()), "unreadable": int(unreadable.sum())}
    return {"count": sum(counts.values()), **counts, "examples": _named(problems)}


def _named(problems: Iterable[Problem]) -> list[dict[str, str]]:
    return [{"where": each.where, "what": each.what} for each in problems][:EXAMPLES]


def _nothing_left(
    where: str, count: int, skipped: dict[str, Any], matches: list[_Match], usable: Mask
) -> DataError:
    foreign = sum(sum(_unmatched(match, usable).values()) for match in matches)
    example = f"; first: {skipped['examples'][0]}" if skipped["examples"] else ""
    return DataError(
        f"{where}: none of its {count} rows can be measured: "
        f"{skipped['unlabelled']} without label, {skipped['unreadable']} unreadable, {foreign} of "
        f"classes that the model does not have{example}"
    )


def _unmatched(match: _Match, usable: Mask) -> dict[str, int]:
    """Count the usable rows of each class that the model does not have."""
    ids = match.labels.ids[usable & (match.targets == FOREIGN)]
    numbers, counts = np.unique(ids, return_counts=True)
    return {
        match.labels.names[number]: int(count)
        for number, count in zip(numbers, counts, strict=True)
    }


def _predict(
    model: FaceModel,
    pictures: NDArray[np.uint8],
    index: Index,
    batch_size: int,
    progress: Progress | None,
) -> dict[str, NDArray[np.float32]]:
    """Predict some of the cached pictures, never more than a batch of them in memory."""
    parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in model.tasks}
    for start in range(0, len(index), batch_size):
        chosen = index[start : start + batch_size]
        for name, output in model.predict(pictures[chosen], batch_size).items():
            parts[name].append(output)
        if progress is not None:
            progress(start + len(chosen), len(index))
    return {name: np.concatenate(blocks) for name, blocks in parts.items()}


def _measure(
    match: _Match, probabilities: NDArray[np.float32], index: Index, usable: Mask
) -> dict[str, Any]:
    """Measure one task on those of the predicted rows that it has a target for."""
    targets = match.targets[index]
    matched = set(match_classes(match.labels.names, match.classes))
    return {
        **classification_metrics(probabilities[targets >= 0], targets[targets >= 0], match.classes),
        "label": match.column,
        "unlabelled": int((usable & (match.targets == MISSING)).sum()),
        "unmatched": {
            "data_classes": _unmatched(match, usable),
            "model_classes": [
                name for place, name in enumerate(match.classes) if place not in matched
            ],
        },
    }


def run_evaluate(
    model: str | Path,
    data: str,
    split: str | None = None,
    as_json: bool = False,
    progress: Progress | None = None,
    *,
    label: str | None = None,
) -> int:
    """Measure a model and print the result: the command line's ``evaluate``.

    Args:
        model: An ONNX file or a run folder.
        data: ``KIND:PATH`` or ``KIND:PATH?option=value``.
        split: See :func:`evaluate`.
        as_json: Print exactly one JSON object instead of tables, and nothing else, on stdout.
        progress: See :func:`evaluate`; must not write to stdout.
        label: See :func:`evaluate`.

    Returns:
        The exit code, 0.

    Raises:
        HybridFaceError: See :func:`evaluate`.
    """
    result = evaluate(model, data, split, label, progress=progress)
    if as_json:
        print(json.dumps(result, indent=2, allow_nan=False))
    else:
        print_evaluation(result)
    return 0
