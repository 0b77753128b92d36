"""The predictions that a finished run kept of its validation and test split."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hybridface.config.content import read_yaml
from hybridface.data.source import MISSING, is_file
from hybridface.data.sources import open_source
from hybridface.errors import DataError, HybridFaceError, UsageError
from hybridface.evaluation.numeric_predictions import NumericPredictions
from hybridface.evaluation.predictions import (
    ABOUT,
    SPLITS_OF_RUN,
    UNREADABLE,
    WHAT_RUNS_KEEP,
    About,
    Arrays,
    Predictions,
    TaskPredictions,
    array_of,
    check_numbers,
    check_task,
    damaged,
    load_arrays,
    read_about,
)
from hybridface.files import read_json_object

RUN_FILE = "predictions.npz"
MODEL_DIGEST = "model_digest"  # in result.json: the SHA-256 of the run's model.onnx


class RunAbout(About):
    """What a run's ``predictions.npz`` says of itself, as JSON under ``about``.

    That is of the run's first supervised task; of a further one it stands under ``TASK/about``,
    and so do that task's labels and outputs.

    Attributes:
        format: Version of the layout.
        task: The supervised task that the predictions are of.
        label: Its label column.
        classes: Its class names, in the order of the columns.
        data: The data set as ``KIND:PATH``.
        fingerprint: See :class:`Predictions`.
        kind: What the task's output means; see :class:`hybridface.inference.runtime.ModelTask`.
        names: What the numbers of the label column are called, where it holds numbers.
        unit: What they are counted in.
    """

    format: Literal[1] = 1
    task: str
    label: str
    classes: tuple[str, ...]
    data: str
    fingerprint: str = ""
    kind: str = "classification"
    names: tuple[str, ...] = ()
    unit: str = ""


def load_run_predictions(folder: Path) -> dict[str, Predictions]:
    """Read the predictions of a finished run's best weights, without those for unlabelled rows.

    Args:
        folder: The run folder.

    Returns:
        The predictions by split: ``test`` where the run read it, and ``val``.

    Raises:
        UsageError: The folder holds no finished run, or the run is of a version that kept no
            picture names and its data set is not there or not as it was.
        DataError: A file of the run is damaged.
    """
    path = folder / RUN_FILE
    if not is_file(path):
        raise UsageError(
            f"{folder}: holds no {RUN_FILE}, which a run writes at its end; if this is a run's "
            "folder, let the run finish or resume it, else name a finished run's folder"
        )
    arrays = load_arrays(path)
    older = ABOUT not in arrays
    about = _about_older_run(folder) if older else read_about(RunAbout, arrays, path)
    digest = _digest_of_model(folder)
    found = {}
    for split in SPLITS_OF_RUN:
        classes: dict[str, TaskPredictions] = {}
        numbers: dict[str, NumericPredictions] = {}
        for of in (arrays, *_further(arrays)):
            if not any(f"{split}_{what}" in of for what in WHAT_RUNS_KEEP):
                continue
            task = about if of is arrays else read_about(RunAbout, of, path)
            if task.kind == "classification":
                if (labelled := _labelled(of, split, task, path)) is not None:
                    classes[task.task] = labelled
            elif (numbered := _numbers(of, split, task, path)) is not None:
                numbers[task.task] = numbered
        if classes or numbers:
            origin = (str(folder / "model.onnx"), about.data, split, about.fingerprint)
            notes = _notes_of_run(split, older)
            found[split] = Predictions(str(folder), *origin, classes, notes, numbers, digest)
    if not found:
        raise damaged(path, "it has no predictions of a labelled picture")
    return found


def _digest_of_model(folder: Path) -> str:
    """Return which model the run exported, as its result says; empty of an older run."""
    try:
        return str(read_json_object(folder / "result.json")[MODEL_DIGEST])
    except (DataError, KeyError):
        return ""


def _further(arrays: Arrays) -> list[Arrays]:
    """Return the arrays of each further task, with the keys and groups that all share."""
    shared = {name: arrays[name] for name in arrays if name.endswith(("_keys", "_groups"))}
    ends = [name for name in arrays if name.endswith(f"/{ABOUT}")]
    starts = [name.removesuffix(ABOUT) for name in ends]
    return [
        shared
        | {name.removeprefix(start): arrays[name] for name in arrays if name.startswith(start)}
        for start in starts
    ]


def _labelled(arrays: Arrays, split: str, about: RunAbout, path: Path) -> TaskPredictions | None:
    """Return the predictions of a split's labelled pictures; None where there are none."""
    labels = array_of(arrays, f"{split}_labels", path)
    probabilities = array_of(arrays, f"{split}_probabilities", path)
    if ABOUT in arrays:
        keys = array_of(arrays, f"{split}_keys", path)
    else:
        index = array_of(arrays, f"{split}_rows", path)
        if index.ndim != 1 or index.dtype.kind not in "iu" or not len(index):
            raise damaged(path, f"'{split}_rows' holds no numbers of rows")
        keys = _keys_of_older_run(about, index, labels)
    if not labels.shape == keys.shape == probabilities.shape[:1]:
        raise damaged(path, f"the arrays of split {split} differ in length")
    known = labels != MISSING
    if not known.any():
        return None
    groups = arrays.get(f"{split}_groups")
    if groups is not None and groups.shape != labels.shape:
        raise damaged(path, f"the arrays of split {split} differ in length")
    kept = (keys[known], labels[known], probabilities[known])
    persons = None if groups is None else groups[known]
    return check_task(path, about.task, TaskPredictions(about.label, about.classes, *kept, persons))


def _numbers(arrays: Arrays, split: str, about: RunAbout, path: Path) -> NumericPredictions | None:
    """Return the predicted numbers of a split's labelled pictures; None where there are none."""
    keys, labels, outputs = (
        array_of(arrays, f"{split}_{part}", path) for part in ("keys", "labels", "outputs")
    )
    kept = NumericPredictions(
        about.label, about.kind, about.names, about.unit, keys, labels, outputs,
        arrays.get(f"{split}_groups"),
    )  # fmt: skip
    known = check_numbers(path, about.task, kept).known
    return kept.rows(known) if known.any() else None


def _notes_of_run(split: str, older: bool) -> tuple[str, ...]:
    notes = []
    if split == "val":
        notes.append(
            "the weights were chosen by this validation split, which flatters these figures"
        )
    if older:
        notes.append(
            "this run kept no names of its pictures: they were looked up in the data set as it is "
            "now"
        )
    return tuple(notes)


def _about_older_run(folder: Path) -> RunAbout:
    """Gather from a run's other files what its predictions do not say."""
    try:
        result = read_json_object(folder / "result.json")
        tasks = read_json_object(folder / "config.json")["tasks"]
        task = next(name for name, each in tasks.items() if each.get("classes"))
        source = read_yaml(folder / "config.yaml")["data"]["source"]
        return RunAbout(task=task, label=result["label"], classes=result["classes"], data=source)
    except (*UNREADABLE, StopIteration, UsageError) as error:
        raise DataError(
            f"{folder}: result.json, config.json or config.yaml is missing or damaged; is this a "
            "finished run?"
        ) from error


def _keys_of_older_run(
    about: RunAbout, index: NDArray[np.int64], labels: NDArray[np.int64]
) -> NDArray[np.str_]:
    """Look the names of a run's pictures up in its data set, and hold its labels against it."""
    again = "compare the models on data that is there: --data KIND:PATH"
    try:
        rows = open_source(about.data).read()
    except HybridFaceError as error:
        raise UsageError(
            f"a run on {about.data} kept no names of its pictures, and they cannot be looked up "
            f"({error}); {again}"
        ) from error
    column = rows.labels.get(about.label)
    inside = column is not None and 0 <= index.min() <= index.max() < len(rows)
    if column is None or not inside or not np.array_equal(column.ids[index], labels):
        raise UsageError(
            f"a run on {about.data} kept no names of its pictures, and the data set is no longer "
            f"as the run saw it: its labels differ; {again}"
        )
    return np.array([rows.keys[row] for row in index])
