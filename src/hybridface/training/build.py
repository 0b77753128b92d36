"""From a recipe and its data to what Lightning trains: module and loaders."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from hybridface.config import Recipe
from hybridface.data.batches import Batch, make_loader
from hybridface.data.orders import BatchOrder, MixedOrder
from hybridface.data.prepare import PreparedData
from hybridface.data.source import NumericLabels
from hybridface.data.workers import WorkerLoader
from hybridface.network.model import HybridModel
from hybridface.network.shared_batch_norm import check_batch_norm
from hybridface.tasks.base import Task
from hybridface.training.module import REESTIMATION_BATCHES, HybridModule
from hybridface.training.pretraining import load_backbone
from hybridface.training.refusals import refuse_lost_labels
from hybridface.training.task_refusals import refuse_undescribed, refuse_unreadable

START_BATCHES = 8


def meet_data(recipe: Recipe, tasks: Sequence[Task], data: PreparedData) -> None:
    """Let the tasks of a recipe meet its data.

    Args:
        recipe: The recipe.
        tasks: Its tasks.
        data: Its data.

    Raises:
        UsageError: A task does not fit the data.
    """
    for task in tasks:
        labels = None if task.label is None else data.column(task.label)
        rows = data.splits["train"]
        if isinstance(labels, NumericLabels):
            numbers = torch.from_numpy(labels.values[rows])
            task.adopt_numbers(labels, numbers, recipe.data.size)
            refuse_lost_labels(recipe, task, numbers)
        else:
            ids = None if labels is None else torch.from_numpy(labels.ids[rows])
            task.adopt(labels, ids, recipe.data.size)
        if task.supervised:
            refuse_undescribed(task)


def build_module(
    recipe: Recipe, tasks: Sequence[Task], data: PreparedData, start: Path | None = None
) -> tuple[HybridModule, HybridModel]:
    """Make the model of a recipe, with random weights or ImageNet's, and what trains it.

    Args:
        recipe: The recipe.
        tasks: Its tasks; they meet the data here.
        data: Its data.
        start: Weights for the backbone; see :func:`hybridface.training.pretraining.load_backbone`.

    Raises:
        HybridFaceError: A task does not fit the data, or the weights the backbone.
    """
    meet_data(recipe, tasks, data)
    torch.manual_seed(recipe.seed)
    model = HybridModel(recipe.backbone, tasks, recipe.data.size)
    refuse_unreadable(model, tasks, recipe.data.size)

    def intact() -> Any:
        pictures = make_loader(
            data, "train", BatchOrder(len(data.splits["train"]), 64, seed=recipe.seed)
        )
        return (batch for batch, _ in zip(pictures, range(REESTIMATION_BATCHES), strict=False))

    if start is not None:
        seen = (batch.images.float() / 255 for batch in islice(intact(), START_BATCHES))
        pictures = ((images - model.mean) / model.std for images in seen)
        load_backbone(model.backbone, start, pictures)
    model = model.to(memory_format=torch.channels_last)
    if recipe.training.processes > 1:
        check_batch_norm(model)
    batches = len(training_order(recipe, data))
    return HybridModule(recipe, model, tasks, batches, intact), model


def make_loaders(
    recipe: Recipe, data: PreparedData, trainer: pl.Trainer
) -> tuple[BatchOrder | MixedOrder, WorkerLoader[Batch], WorkerLoader[Batch]]:
    """Return the order of this process's training batches, and their and the validation loader."""
    rank, world = trainer.global_rank, trainer.world_size
    pin = trainer.strategy.root_device.type == "cuda"
    order = training_order(recipe, data, rank, world)
    looked_at = BatchOrder(len(data.splits["val"]), 256, seed=None, rank=rank, world=world)
    training = make_loader(data, "train", order, pin=pin)
    return order, training, make_loader(data, "val", looked_at, pin=pin)


def training_order(
    recipe: Recipe, data: PreparedData, rank: int = 0, world: int = 1
) -> BatchOrder | MixedOrder:
    """Return the order of the training rows for one process of several."""
    rows = data.splits["train"]
    classes = None
    if recipe.training.sampling == "balanced":
        classes = next(iter(data.labels.values())).ids[rows]
    shares = None
    if data.weights and data.origin is not None:
        shares = np.array(data.weights)[data.origin[rows]]
    order = BatchOrder(
        len(rows), recipe.training.batch_size, seed=recipe.seed, rank=rank, world=world,
        classes=classes, shares=shares,
    )  # fmt: skip
    if data.unlabelled is None:
        return order
    return MixedOrder(order, len(data.unlabelled), recipe.unlabelled_a_step)
