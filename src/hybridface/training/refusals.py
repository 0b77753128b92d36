"""Recipes that cannot be trained, refused before anything is read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hybridface.augment import STRENGTHS, Geometry
from hybridface.config import Recipe
from hybridface.data.prepare import PreparedData
from hybridface.data.source import NumericLabels
from hybridface.errors import UsageError
from hybridface.evaluation.number_metrics import countable
from hybridface.network.backbones import check_backbone
from hybridface.network.views import FEWEST, intact_is_supervised, own_views, part_of_steps
from hybridface.tasks import build_tasks, takes_shared_view
from hybridface.tasks.base import SelfSupervisedConfig, Task
from hybridface.training.aggregation import find_aggregator
from hybridface.training.loggers import refuse_loggers
from hybridface.training.pretraining import first_stage
from hybridface.training.processes import on_gpu, refuse_unequal_shares
from hybridface.training.task_refusals import refuse_half_said


def refuse_unselectable(recipe: Recipe, tasks: Sequence[Task], data: PreparedData) -> None:
    """Refuse data by whose validation pictures no epoch can be chosen.

    Raises:
        UsageError: None has a label of the first supervised task, or none that
            ``training.select`` can be measured by.
    """
    task = next((task for task in tasks if task.supervised), None)
    if task is None or task.label is None:
        return
    rows, column = data.splits["val"], data.column(task.label)
    known = column.known()[rows]
    where = f"{len(rows)} validation pictures"
    if not known.any():
        raise UsageError(
            f"task {task.name}: none of the {where} has a label in column '{task.label}', and the "
            "best epoch is chosen by it; put a task first that they have labels for, or give the "
            "data a validation split that has some (data.validation, data.folds)"
        )
    if task.numeric and isinstance(column, NumericLabels) and task.describe().get("kind") == "pose":
        poses = column.values[rows]
        counted = countable("pose", poses)
        whole = counted & np.isfinite(poses).all(axis=1)
        what = "geodesic" if recipe.training.select == "geodesic" else "mae"
        if not (whole if what == "geodesic" else counted).any():
            needed = "all three angles known" if what == "geodesic" else "an angle known"
            raise UsageError(
                f"training.select: {what} cannot be measured: none of the {where} has {needed} and "
                "none beyond 99 degrees; "
                + ("take mae" if counted.any() else "give the data other validation pictures")
            )


def refuse_unlearnable(tasks: Sequence[Task], data: PreparedData) -> None:
    """Refuse tasks whose heads would stay as they begin, and be used and exported so.

    Raises:
        UsageError: No training picture has a label of one.
    """
    rows = data.splits["train"]
    for task in tasks:
        if task.label is None or (column := data.column(task.label)).known()[rows].any():
            continue
        parts = column.names if isinstance(column, NumericLabels) else ()
        named = {f"'{name}'" for name in (task.label, *parts)}
        of_it = [each for each in data.problems if any(name in each.what for name in named)]
        first = "".join(f" ({each.where}: {each.what})" for each in of_it[:1])
        raise UsageError(
            f"task {task.name}: none of the {len(rows)} training pictures has a label in column "
            f"'{task.label}'{first}; give them some, or leave the task out"
        )


def refuse_early(recipe: Recipe, tasks: Sequence[Task]) -> None:
    """Refuse what can be refused before any picture is decoded.

    Raises:
        UsageError: Names the key, and what it could be.
    """
    refuse_half_said(tasks)
    _refuse_sampling(recipe, tasks)
    below = [task.name for task in tasks if task.below_zero]
    if below and recipe.training.loss_balance == "geometric":
        raise UsageError(
            f"training.loss_balance: geometric needs losses from 0 on, and that of {below[0]} may "
            "be below; take fixed or uncertainty"
        )
    _refuse_aggregator(recipe)
    _refuse_frozen(recipe, tasks)
    refuse_loggers(recipe)
    if recipe.training.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("training.device is cuda, but PyTorch sees no CUDA device")
    if recipe.training.precision == "16-mixed" and not on_gpu(recipe.training):
        raise UsageError(
            "training.precision: 16-mixed needs a CUDA device; take bf16-mixed or 32-true"
        )
    refuse_backbone(recipe, tasks)
    refuse_unequal_shares(recipe)
    _refuse_cheaper_views(recipe, tasks)
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
    _refuse_first_stage(recipe)
    _refuse_mixup(recipe, tasks)


def refuse_backbone(recipe: Recipe, tasks: Sequence[Task]) -> None:
    """Refuse a backbone that timm does not have, or that cannot take the pictures of the tasks.

    Raises:
        UsageError, HybridFaceError: See :func:`hybridface.network.backbones.check_backbone`.
    """
    size = recipe.data.size
    check_backbone(
        recipe.backbone,
        dict.fromkeys([size, *(task.view_side(size) for task in tasks)]),
        with_maps=any(task.reads_maps for task in tasks),
    )


def _refuse_mixup(recipe: Recipe, tasks: Sequence[Task]) -> None:
    """Refuse to mix intact pictures where no supervised head sees them."""
    if not recipe.augment.mixup:
        return
    if not any(task.supervised for task in tasks):
        raise UsageError("augment.mixup: it needs a supervised task, for the labels that it mixes")
    shared = [task.name for task in tasks if takes_shared_view(task)]
    if shared or not intact_is_supervised(tasks):
        raise UsageError(
            "augment.mixup: it mixes intact pictures, which the supervised heads do not see here "
            f"({', '.join(shared) or 'supervise: corrupted'}); take view: own and supervise: intact"
        )


def _refuse_sampling(recipe: Recipe, tasks: Sequence[Task]) -> None:
    """Refuse to balance classes where there are none, or beside what weighs rows otherwise."""
    if recipe.training.sampling != "balanced":
        return
    first = next((task for task in tasks if task.supervised), None)
    if first is None:
        raise UsageError("training.sampling: balanced needs a supervised task, for its classes")
    if first.numeric:
        raise UsageError(
            f"training.sampling: task '{first.name}', the first that is supervised, has no classes "
            "to balance; put a task with classes before it, or take natural"
        )
    if any(each.weight != 1 for each in recipe.data.sources.values()):
        raise UsageError(
            "training.sampling: balanced and the weights of data.sources both say how often a row "
            "comes; leave one of them out"
        )


def _refuse_aggregator(recipe: Recipe) -> None:
    """Refuse an aggregator that is not there, or beside what it cannot go with."""
    training = recipe.training
    if training.aggregator is None:
        return
    if training.loss_balance != "fixed":
        raise UsageError(
            f"training.aggregator: it takes the place of loss_balance: {training.loss_balance}; "
            "leave one of them out"
        )
    if training.processes > 1:
        raise UsageError("training.aggregator: it cannot be used by several processes; take one")
    if training.precision == "16-mixed":
        raise UsageError(
            "training.aggregator: it does not go with 16-mixed, which scales the joint loss; take "
            "bf16-mixed"
        )
    find_aggregator(training.aggregator)


def _refuse_frozen(recipe: Recipe, tasks: Sequence[Task]) -> None:
    """Refuse a frozen backbone that knows nothing or is of no use, or what would change it."""
    backbone, training = recipe.backbone, recipe.training
    if not backbone.frozen:
        return
    if backbone.init == "random" and backbone.checkpoint is None and recipe.pretrain is None:
        raise UsageError(
            "backbone.frozen: its weights are random, so the heads have nothing to learn from; "
            "give it some by backbone.checkpoint, backbone.init=imagenet or pretrain"
        )
    if not any(task.supervised for task in tasks):
        raise UsageError(
            "backbone.frozen: without a task that learns from labels a run gives a backbone to "
            "start from, and this one would be what it began with; add such a task, as expression, "
            "or leave backbone.frozen out"
        )
    if backbone.learning_rate_factor != 1:
        raise UsageError(
            "backbone.learning_rate_factor: what is frozen has no learning rate; leave it or "
            "backbone.frozen out"
        )
    if backbone.drop_path and recipe.pretrain is None:
        raise UsageError(
            "backbone.drop_path: what is frozen is as in use, and drops no paths; leave it or "
            "backbone.frozen out"
        )
    if training.batch_norm == "reestimated":
        raise UsageError(
            "training.batch_norm: reestimated takes the statistics of batch norm anew, which "
            "backbone.frozen keeps; take split"
        )
    if training.aggregator is not None:
        raise UsageError(
            "training.aggregator: it joins gradients on the backbone, which is frozen; leave it or "
            "backbone.frozen out"
        )


def _refuse_first_stage(recipe: Recipe) -> None:
    """Refuse a first stage that learns from labels, from nothing, or in several processes."""
    first = first_stage(recipe)
    if first is None:
        return
    tasks = build_tasks(first.tasks, "pretrain.tasks")
    if not tasks:
        raise UsageError(
            "pretrain.tasks: none of the recipe's tasks is self-supervised; name some here, such "
            "as puzzle"
        )
    for task in tasks:
        if task.supervised:
            raise UsageError(
                f"pretrain.tasks.{task.name}: it learns from labels, which the first stage does "
                "without; leave it to tasks"
            )
    if recipe.training.processes > 1:
        raise UsageError(
            "pretrain: the two stages cannot be trained by several processes; train the first as "
            "a run of its own, and start from it by backbone.checkpoint"
        )
    refuse_early(first, tasks)


def _refuse_cheaper_views(recipe: Recipe, tasks: Sequence[Task]) -> None:
    """Refuse cheaper views that cannot be had, or that leave a step nothing to learn."""
    training, size = recipe.training, recipe.data.size
    for task in own_views(tasks):
        config, where = task.config, f"tasks.{task.name}"
        if config.view_size is not None and config.view_size > size:
            raise UsageError(
                f"{where}.view_size: {config.view_size} is more than data.size, {size}"
            )
        if task.view_side(size) != size and training.batch_norm != "split":
            raise UsageError(
                f"{where}.view_size: pictures of two sizes do not pass through the backbone "
                f"together, as training.batch_norm {training.batch_norm} has it; take split"
            )
        if config.every > 1 and training.loss_balance == "geometric":
            raise UsageError(
                f"{where}.every: training.loss_balance geometric needs every loss at every step; "
                "take another of them"
            )
        _refuse_unequal_parts(recipe, where, config)
    if all(part_of_steps(task) < 1 for task in tasks):
        raise UsageError(
            "tasks: at some steps there would be nothing to learn; give a task every: 1 and "
            "until: 1"
        )


def _refuse_unequal_parts(recipe: Recipe, where: str, config: SelfSupervisedConfig) -> None:
    """Refuse parts of a batch that several processes would take other pictures for than one."""
    count = recipe.training.processes
    if count == 1 or config.part == 1:
        return
    sizes = [recipe.training.batch_size]
    sizes += [recipe.unlabelled_a_step] if recipe.data.unlabelled else []
    for size in sizes:
        share = size // count * config.part
        if share < FEWEST or abs(share - round(share)) > 1e-9:
            raise UsageError(
                f"{where}.part: of the {size // count} pictures that each of {count} processes "
                f"has in a step, {config.part:g} is {share:g}; it must be a whole number, at "
                f"least {FEWEST}"
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
