"""Which label column of the data each task of a model is measured on, class by class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridface.data.source import MISSING, Labels
from hybridface.errors import UsageError, unknown
from hybridface.inference.runtime import ModelTask
from hybridface.labels import match_classes

FOREIGN = -2


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


def match_columns(
    tasks: dict[str, ModelTask], columns: dict[str, Labels], label: str | None, data: str
) -> list[Match]:
    """Pair tasks with label columns by name, or one with one by their classes.

    Args:
        tasks: The model's tasks.
        columns: The data's label columns.
        label: The one column to measure on, or None for all that match.
        data: How the data is named in errors.

    Raises:
        UsageError: There is no such label column, or none matches a task.
    """
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


def _pair(name: str, task: ModelTask, column: str, labels: Labels) -> Match | None:
    """Bring a column's labels to the model's classes; None where they share no class."""
    places = match_classes(labels.names, task.classes)
    if all(place is None for place in places):
        return None
    lookup = np.array([FOREIGN if place is None else place for place in places] + [MISSING])
    # a missing label is -1, and so takes the last entry
    return Match(name, column, lookup[labels.ids].astype(np.int64), labels, task.classes)


def count_unmatched(match: Match, usable: NDArray[np.bool_]) -> dict[str, int]:
    """Count the usable rows, ``(N,)`` bool, of each class that the model does not have."""
    ids = match.labels.ids[usable & (match.targets == FOREIGN)]
    numbers, counts = np.unique(ids, return_counts=True)
    return {
        match.labels.names[number]: int(count)
        for number, count in zip(numbers, counts, strict=True)
    }
