"""Recipes that cannot be trained, refused before anything is read."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hybridface.augment import STRENGTHS, Geometry
from hybridface.config import Recipe
from hybridface.errors import UsageError
from hybridface.network.backbones import check_backbone
from hybridface.network.model import intact_is_supervised
from hybridface.tasks import takes_shared_view
from hybridface.tasks.base import Task
from hybridface.training.processes import refuse_unequal_shares


def refuse_early(recipe: Recipe, tasks: Sequence[Task]) -> None:
    """Refuse what can be refused before any picture is decoded.

    Raises:
        UsageError: Names the key, and what it could be.
    """
    if not any(task.supervised for task in tasks):
        raise UsageError("tasks: none of them is supervised; add one, such as expression")
    first = next((task for task in tasks if task.supervised), None)
    if recipe.training.sampling == "balanced" and first is not None and first.numeric:
        raise UsageError(
            f"training.sampling: task '{first.name}', the first that is supervised, has no classes "
            "to balance; put a task with classes before it, or take natural"
        )
    if recipe.training.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("training.device is cuda, but PyTorch sees no CUDA device")
    check_backbone(recipe.backbone)
    refuse_unequal_shares(recipe)
    for task in tasks:
        if not task.supervised:
            task.adopt(None, None, recipe.data.size)
    if recipe.data.unlabelled and all(task.supervised for task in tasks):
        raise UsageError(
            "data.unlabelled: no task can learn from pictures without labels; add one, such as "
            "puzzle or inpaint"
        )
    if recipe.data.unlabelled and recipe.augment.views > 1:
        raise UsageError(
            "augment.views: several views of a picture cannot go with data.unlabelled; take 1"
        )
    shared = [task.name for task in tasks if takes_shared_view(task)]
    if recipe.augment.mixup and (shared or not intact_is_supervised(tasks)):
        raise UsageError(
            "augment.mixup: it mixes intact pictures, which the supervised heads do not see here "
            f"({', '.join(shared) or 'supervise: corrupted'}); take view: own and supervise: intact"
        )


def refuse_lost_labels(recipe: Recipe, task: Task, numbers: Tensor) -> None:
    """Refuse an augmentation after which no label of a task is known any more.

    Args:
        recipe: The recipe.
        task: A task of numbers.
        numbers: ``(N, K)`` its labels of the training rows, NaN where missing.

    Raises:
        UsageError: None of them would be known after a turn of the picture, and the recipe turns
            pictures.
    """
    if not STRENGTHS[recipe.augment.level].rotation:
        return
    turned = Geometry(torch.ones(len(numbers)), torch.zeros(len(numbers), dtype=torch.bool))
    if numbers.isfinite().any() and not task.follow(numbers, turned).isfinite().any():
        raise UsageError(
            f"task {task.name}: augment.level: {recipe.augment.level} turns pictures, after which "
            f"nothing of label column '{task.label}' is known, as each row has one angle alone; "
            "take augment.level: none, which flips alone"
        )
