"""Predictions kept with an evaluation or a run, picture by picture; numpy files, no pickles."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from hybridface.errors import DataError, HybridFaceError, UsageError
from hybridface.evaluation.numeric_predictions import NumericPredictions
from hybridface.files import write_arrays
from hybridface.inference.metadata import COLUMNS

SUFFIX = ".npz"
SPLITS_OF_RUN = ("test", "val")
WHAT_RUNS_KEEP = ("probabilities", "outputs")
ABOUT = "about"
_PARTS = ("keys", "targets", "probabilities")
_PARTS_OF_NUMBERS = ("keys", "targets", "outputs")
UNREADABLE = (
    OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, MemoryError, RuntimeError,
    BadZipFile, struct.error, zlib.error,
)  # fmt: skip

Arrays = dict[str, NDArray[Any]]
Content = TypeVar("Content", bound=BaseModel)


@dataclass(frozen=True, eq=False)
class TaskPredictions:
    """What a model said of the labelled pictures in one task.

    Attributes:
        label: The label column that the targets come from.
        classes: K class names.
        keys: ``(N,)`` str, the names of the pictures in their data set.
        targets: ``(N,)`` int64 true classes, 0 to K - 1.
        probabilities: ``(N, K)`` float32.
        groups: ``(N,)`` int64, whose picture each is; None where the data does not say.
    """

    label: str
    classes: tuple[str, ...]
    keys: NDArray[np.str_]
    targets: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    groups: NDArray[np.int64] | None = None

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The ``(N,)`` most probable classes, 0 to K - 1."""
        classes: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return classes


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model said of the pictures of one split.

    Attributes:
        where: The file or run that they come from, for people.
        model: The model's file.
        data: The data set as ``KIND:PATH``.
        split: The split.
        fingerprint: Equal for equal content of all pictures of the data set; empty where unknown.
        tasks: The predictions by task.
        notes: What a reader of their figures should know.
        numbers: The predictions of tasks of numbers, by task.
        digest: The SHA-256 of the model's file as it was; empty where it is not known.
    """

    where: str
    model: str
    data: str
    split: str
    fingerprint: str
    tasks: dict[str, TaskPredictions]
    notes: tuple[str, ...] = ()
    numbers: dict[str, NumericPredictions] = field(default_factory=dict)
    digest: str = ""


class About(BaseModel):
    """What a file of predictions says of itself, as JSON under ``about``."""

    model_config = ConfigDict(frozen=True)


class _AboutTask(About):
    label: str
    classes: tuple[str, ...]


class _AboutNumbers(About):
    label: str
    kind: str
    names: tuple[str, ...]
    unit: str


class _About(About):
    format: Literal[1] = 1
    model: str
    data: str
    split: str
    fingerprint: str
    tasks: dict[str, _AboutTask]
    notes: tuple[str, ...]
    numbers: dict[str, _AboutNumbers] = {}
    digest: str = ""  # which files of older versions do not have


def check_place(path: Path) -> None:
    """Refuse, before anything is measured, a file that predictions are not to be written to.

    Raises:
        UsageError: The name does not end in ``.npz``, or something else than the predictions of
            an earlier evaluation lies there.
    """
    if path.suffix != SUFFIX:
        raise UsageError(f"{path}: predictions are kept in a file whose name ends in {SUFFIX}")
    if path.exists():
        try:
            load_predictions(path)
        except HybridFaceError as error:
            raise UsageError(
                f"{path} is there and holds no predictions of an evaluation, so it is not "
                "overwritten; name another file"
            ) from error


def save_predictions(path: Path, predictions: Predictions) -> None:
    """Write predictions to a file, whole or not at all.

    Raises:
        HybridFaceError: The file cannot be written.
    """
    about = _About(
        model=predictions.model,
        data=predictions.data,
        split=predictions.split,
        fingerprint=predictions.fingerprint,
        tasks={
            name: _AboutTask(label=task.label, classes=task.classes)
            for name, task in predictions.tasks.items()
        },
        notes=predictions.notes,
        numbers={
            name: _AboutNumbers(label=task.label, kind=task.kind, names=task.names, unit=task.unit)
            for name, task in predictions.numbers.items()
        },
        digest=predictions.digest,
    )
    arrays: Arrays = {ABOUT: np.array(about.model_dump_json())}
    for kept, parts in ((predictions.tasks, _PARTS), (predictions.numbers, _PARTS_OF_NUMBERS)):
        for name, task in kept.items():
            arrays |= {f"{name}/{part}": getattr(task, part) for part in parts}
            if task.groups is not None:
                arrays[f"{name}/groups"] = task.groups
    write_arrays(path, arrays)


def load_predictions(path: Path) -> Predictions:
    """Read what :func:`save_predictions` wrote.

    Raises:
        DataError: The file is damaged, or something else.
        UsageError: The file is the predictions of a run, which are read by the run's folder.
    """
    arrays = load_arrays(path)
    if any(f"{split}_{what}" in arrays for split in SPLITS_OF_RUN for what in WHAT_RUNS_KEEP):
        raise UsageError(f"{path}: these are the predictions of a run: name the run's folder")
    about = read_about(_About, arrays, path)
    tasks = {}
    for name, told in about.tasks.items():
        keys, targets, found = (array_of(arrays, f"{name}/{part}", path) for part in _PARTS)
        groups = arrays.get(f"{name}/groups")
        task = TaskPredictions(told.label, told.classes, keys, targets, found, groups)
        tasks[name] = check_task(path, name, task)
    origin = (about.model, about.data, about.split, about.fingerprint)
    numbers = {}
    for name, said in about.numbers.items():
        keys, targets, outputs = (array_of(arrays, f"{name}/{p}", path) for p in _PARTS_OF_NUMBERS)
        kept = NumericPredictions(
            said.label, said.kind, said.names, said.unit, keys, targets, outputs,
            arrays.get(f"{name}/groups"),
        )  # fmt: skip
        numbers[name] = check_numbers(path, name, kept)
    return Predictions(str(path), *origin, tasks, about.notes, numbers, about.digest)


def damaged(path: Path, what: str) -> DataError:
    """Build the error for a file that holds no predictions."""
    return DataError(
        f"{path}: not predictions that hybridface kept, or damaged ({what}); expected what "
        f"evaluate --out FILE{SUFFIX} or a finished run writes: make it again"
    )


def load_arrays(path: Path) -> Arrays:
    """Return the arrays of a file by name.

    Raises:
        DataError: It is no whole ``.npz`` file, or holds pickles.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    except UNREADABLE as error:
        raise damaged(path, "no whole .npz file without pickles") from error
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise damaged(path, "an archive of something else than arrays")
    return arrays


def array_of(arrays: Arrays, name: str, path: Path) -> NDArray[Any]:
    """Return one array of a file.

    Raises:
        DataError: The file holds none of that name.
    """
    if name not in arrays:
        raise damaged(path, f"there is no '{name}'")
    return arrays[name]


def read_about(kind: type[Content], arrays: Arrays, path: Path) -> Content:
    """Return what a file says of itself.

    Raises:
        DataError: It says nothing, or not what ``kind`` expects.
    """
    text = array_of(arrays, ABOUT, path)
    try:
        return kind.model_validate_json(str(text))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join([ABOUT, *map(str, first["loc"])])
        raise damaged(path, f"{place}: {first['msg']}") from error


def check_task(path: Path, name: str, task: TaskPredictions) -> TaskPredictions:
    """Return predictions as they were given.

    Raises:
        DataError: Shapes, kinds or targets do not fit together.
    """
    count, classes = len(task.keys) if task.keys.ndim else 0, len(task.classes)
    fits = task.keys.shape == task.targets.shape == (count,) and count
    kinds = "".join(each.dtype.kind for each in (task.keys, task.targets, task.probabilities))
    if not fits or task.probabilities.shape != (count, classes) or kinds not in ("Uif",):
        raise damaged(
            path,
            f"task '{name}': expected keys (N,), targets (N,), probabilities (N, {classes}), found "
            f"{task.keys.shape}, {task.targets.shape}, {task.probabilities.shape} of kinds {kinds}",
        )
    if not 0 <= task.targets.min() <= task.targets.max() < classes:
        raise damaged(path, f"task '{name}': a target is not from 0 to {classes - 1}")
    _check_groups(path, name, task)
    return task


def check_numbers(path: Path, name: str, task: NumericPredictions) -> NumericPredictions:
    """Return predictions of numbers as they were given.

    Raises:
        DataError: Shapes or kinds do not fit together.
    """
    columns = len(COLUMNS.get(task.kind, ()))
    count = len(task.keys) if task.keys.ndim else 0
    kinds = "".join(each.dtype.kind for each in (task.keys, task.targets, task.outputs))
    wanted = ((count, len(task.names)), (count, columns))
    fits = (task.targets.shape, task.outputs.shape) == wanted and task.keys.shape == (count,)
    if not (fits and count and columns and task.names) or kinds != "Uff":
        raise damaged(
            path,
            f"task '{name}' of kind '{task.kind}': expected keys (N,), targets "
            f"(N, {len(task.names)}), outputs (N, {columns}), found {task.keys.shape}, "
            f"{task.targets.shape}, {task.outputs.shape} of kinds {kinds}",
        )
    _check_groups(path, name, task)
    return task


def _check_groups(path: Path, name: str, task: TaskPredictions | NumericPredictions) -> None:
    groups, count = task.groups, len(task.keys)
    if groups is not None and (groups.shape, groups.dtype.kind) != ((count,), "i"):
        raise damaged(path, f"task '{name}': groups are no {count} whole numbers")
