"""Which column of the data each task of a model is measured on, class by class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hybridface.data.source import MISSING, Labels, NumericLabels
from hybridface.errors import UsageError, unknown
from hybridface.inference.runtime import ModelTask
from hybridface.labels import match_classes
from hybridface.rotations import ANGLES

FOREIGN = -2

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Match:
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
    targets: NDArray[np.int64]
    labels: Labels
    classes: tuple[str, ...]

    @property
    def measurable(self) -> Mask:
        """The rows ``(N,)`` of a class that the model has."""
        measurable: Mask = self.targets >= 0
        return measurable

    @property
    def unlabelled(self) -> Mask:
        """The rows ``(N,)`` without a label."""
        unlabelled: Mask = self.targets == MISSING
        return unlabelled


@dataclass(frozen=True, eq=False)
class NumericMatch:
    """A task of the model and the column of numbers that it is measured on.

    Attributes:
        task: The task's name in the model.
        column: The column's name in the data.
        labels: The column.
        kind: The kind of the task.
    """

    task: str
    column: str
    labels: NumericLabels
    kind: str

    @property
    def measurable(self) -> Mask:
        """The rows ``(N,)`` with any number."""
        return self.labels.known()

    @property
    def unlabelled(self) -> Mask:
        """The rows ``(N,)`` without any."""
        return ~self.labels.known()


AnyMatch: TypeAlias = Match | NumericMatch


def match_columns(
    tasks: dict[str, ModelTask],
    columns: Mapping[str, Labels | NumericLabels],
    label: str | None,
    data: str,
) -> list[AnyMatch]:
    """Pair tasks with columns by name, else by what they hold where only one fits.

    A classification without a column of its name takes the only one of classes, where it is the
    only classification; a pose takes the only column of poses, a regression the only one of single
    numbers of its unit.

    Args:
        tasks: The model's tasks.
        columns: The data's columns, of classes and of numbers.
        label: The one column to measure on, or None for all that match.
        data: How the data is named in errors.

    Raises:
        UsageError: There is no such column, or none matches a task.
    """
    if label is not None:
        if label not in columns:
            raise unknown(f"label column of {data}", label, columns)
        columns = {label: columns[label]}
    found = (_match(name, tasks, columns) for name in tasks)
    if not (matches := [match for match in found if match is not None]):
        ours = "; ".join(f"{name} ({', '.join(task.columns)})" for name, task in tasks.items())
        theirs = "; ".join(f"{name} ({', '.join(each.names)})" for name, each in columns.items())
        raise UsageError(
            f"{data}: no label column matches a task of the model by its name and its classes.\n"
            f"  tasks of the model: {ours}\n  label columns of the data: {theirs or 'none'}"
        )
    return matches


def _match(
    name: str, tasks: dict[str, ModelTask], columns: Mapping[str, Labels | NumericLabels]
) -> AnyMatch | None:
    """Return a task and its column; None where it has none."""
    task = tasks[name]
    fitting = {column: each for column, each in columns.items() if _fits(task, each)}
    if name in fitting:
        column = name
    else:
        alike = [each for each in tasks.values() if each.kind == task.kind]
        free = [column for column in fitting if column not in tasks]
        if len(alike) > 1 or len(free) != 1 or len(fitting) > 1:
            return None
        column = free[0]
    labels = fitting[column]
    if isinstance(labels, Labels):
        return _pair(name, task, column, labels)
    return NumericMatch(name, column, labels, task.kind)


def _fits(task: ModelTask, labels: Labels | NumericLabels) -> bool:
    """Say whether a column holds what a task tells."""
    if isinstance(labels, Labels):
        return task.kind == "classification"
    if task.kind == "pose":
        return labels.names == ANGLES
    return task.kind == "regression" and len(labels.names) == 1 and labels.unit in ("", task.unit)


def _pair(name: str, task: ModelTask, column: str, labels: Labels) -> Match | None:
    """Bring a column's labels to the model's classes; None where they share no class."""
    places = match_classes(labels.names, task.classes)
    if all(place is None for place in places):
        return None
    lookup = np.array([FOREIGN if place is None else place for place in places] + [MISSING])
    # a missing label is -1, and so takes the last entry
    return Match(name, column, lookup[labels.ids].astype(np.int64), labels, task.classes)


def count_unmatched(match: AnyMatch, usable: Mask) -> dict[str, int]:
    """Count the usable rows, ``(N,)`` bool, of each class that the model does not have."""
    if isinstance(match, NumericMatch):
        return {}
    ids = match.labels.ids[usable & (match.targets == FOREIGN)]
    numbers, counts = np.unique(ids, return_counts=True)
    return {
        match.labels.names[number]: int(count)
        for number, count in zip(numbers, counts, strict=True)
    }


def any_of(masks: Iterable[Mask]) -> Mask:
    """Mark the rows ``(N,)`` that any of some masks marks."""
    marked: Mask = np.any(list(masks), axis=0)
    return marked
