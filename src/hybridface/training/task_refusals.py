"""Tasks that a run could not end with, refused before it begins: classes of users, above all."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hybridface.errors import UsageError
from hybridface.inference.metadata import COLUMNS
from hybridface.network.model import HybridModel
from hybridface.tasks.base import Task


def refuse_half_said(tasks: Sequence[Task]) -> None:
    """Refuse supervised tasks that do not say what a run needs of them.

    Raises:
        UsageError: One names no label column, none is kept for use, or two make other things of
            the numbers of one column.
    """
    supervised = [task for task in tasks if task.supervised]
    for task in supervised:
        if task.label is None:
            raise UsageError(
                f"task {task.name}: learns from labels, but names no label column; give the Config "
                "of its class an option label, or the class a property label"
            )
    if supervised and not any(task.kept_at_inference for task in supervised):
        raise UsageError(
            f"task {supervised[0].name}: learns from labels, but no head would be left for use; "
            "set kept_at_inference = True in its class"
        )
    followed: dict[str | None, Task] = {}
    for task in supervised:
        other = followed.setdefault(task.label, task)
        if task.numeric and type(task).follow is not type(other).follow:
            raise UsageError(
                f"tasks {other.name} and {task.name}: both learn from label column '{task.label}', "
                "but by their follow it is not the same after augmentation; let the class of one "
                "take over the follow of the other"
            )


def refuse_undescribed(task: Task) -> None:
    """Refuse a supervised task whose output nobody could measure or use.

    Args:
        task: It has met its data.

    Raises:
        UsageError: It does not describe its output as one of the kinds that are known.
    """
    said = task.describe()
    kinds = tuple(COLUMNS) if task.numeric else ("classification",)
    if said.get("kind") not in kinds:
        raise UsageError(
            f"task {task.name}: its class describes an output of kind {said.get('kind')!r}; "
            f"expected describe() to say as 'kind' {' or '.join(kinds)}"
        )
    if not task.numeric and len(said.get("classes", ())) < 2:
        raise UsageError(
            f"task {task.name}: expected describe() to say as 'classes' the names of its classes"
        )


@torch.no_grad()
def refuse_unreadable(model: HybridModel, tasks: Sequence[Task], size: int) -> None:
    """Refuse supervised tasks that decode something else than they describe.

    Args:
        model: Their model, in training mode.
        tasks: The tasks; they have met their data.
        size: Side of the pictures in pixels.

    Raises:
        UsageError: Names the task, what is expected, and what it gives.
    """
    features = model.eval().features(torch.zeros(2, 3, size, size))
    for task in tasks:
        if not task.supervised:
            continue
        said, found = task.describe(), task.decode(model.heads[task.name](features))
        columns = COLUMNS.get(said["kind"]) or said["classes"]
        if found.shape != (2, len(columns)):
            raise UsageError(
                f"task {task.name}: its decode gives {tuple(found.shape)} for two pictures; "
                f"expected (2, {len(columns)}), for {', '.join(columns)}"
            )
        if not task.numeric and not torch.allclose(found.sum(1), torch.ones(2), atol=1e-3):
            raise UsageError(
                f"task {task.name}: its decode gives no probabilities, as they do not add up to 1; "
                "end it with softmax(1)"
            )
    model.train()
