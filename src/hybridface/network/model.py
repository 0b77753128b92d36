"""The model: one backbone, a head a task; only supervised heads are kept for inference."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from hybridface import draws
from hybridface.config import BackboneConfig, BatchNormMode
from hybridface.data.batches import Batch
from hybridface.network.backbones import Backbone
from hybridface.network.collectives import gather_batch, gather_rows, share_means
from hybridface.network.loss_balance import BalanceMode, LossBalance
from hybridface.network.shared_batch_norm import shared_statistics
from hybridface.network.split_batch_norm import (
    batch_norms,
    frozen_running_statistics,
    split_statistics,
)
from hybridface.network.views import (
    intact_is_seen,
    intact_is_supervised,
    is_due,
    make_views,
    rows_of_view,
    shared_is_dealt,
    supervised_on_corrupted,
)
from hybridface.tasks.base import Features, Task, sum_of_means


class HybridModel(nn.Module):
    """A backbone shared by all tasks and a head for each.

    Args:
        config: Which backbone.
        tasks: The tasks; each has met its data already (:meth:`Task.adopt`).
        size: Side of the pictures in pixels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: BackboneConfig, tasks: Sequence[Task], size: int) -> None:
        super().__init__()
        with_maps = any(task.reads_maps for task in tasks)
        self.backbone = Backbone(config, with_maps=with_maps, size=size)
        shape = self.backbone.shape(size)
        heads = {}
        for task in tasks:
            side = task.view_side(size)
            seen = shape if side == size else self.backbone.shape(side)
            heads[task.name] = task.build_head(seen)
        self.heads = nn.ModuleDict(heads)
        self.register_buffer("mean", torch.tensor(self.backbone.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(self.backbone.std).view(1, 3, 1, 1))

    def features(self, images: Tensor) -> Features:
        """Return the features of pictures ``(B, 3, H, W)`` in [0, 1]."""
        features: Features = self.backbone((images - self.mean) / self.std)
        return features

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the output of every head for pictures ``(B, 3, H, W)`` in [0, 1]."""
        features = self.features(images)
        return {name: head(features) for name, head in self.heads.items()}


class HybridStep(nn.Module):
    """One joint forward of all views and the loss of every task.

    Args:
        model: The model.
        tasks: Its tasks.
        batch_norm: What batch norm's statistics are taken over.
        copies: How many augmented versions of each picture a batch holds, one whole version after
            the other; to split batch norm, each is a view.
        loss_balance: How the tasks' losses become one.
        mixup: Strength of mixup on the intact pictures; 0 for none.
        processes: How many train the model together, each a part of every batch; more than one
            need a :class:`hybridface.draws.SharedGenerator`.

    Attributes:
        weighted: The weighted loss of each task in the batch that was seen last, with its graph,
            for what takes their gradients one by one; None where nobody does.
    """

    def __init__(
        self,
        model: HybridModel,
        tasks: Sequence[Task],
        batch_norm: BatchNormMode = "split",
        *,
        copies: int = 1,
        loss_balance: BalanceMode = "fixed",
        mixup: float = 0.0,
        processes: int = 1,
    ) -> None:
        super().__init__()
        self.model = model
        self.tasks = tasks
        self.batch_norm = batch_norm
        self.copies = copies
        self.balance = LossBalance(tasks, loss_balance)
        self.mixup = mixup
        self.processes = processes
        self.weighted: dict[str, Tensor] | None = None

    def forward(
        self,
        images: Tensor,
        batch: Batch,
        generator: Generator,
        progress: float = 0.0,
        number: int = 0,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the joint loss, and every loss and figure of the tasks that are due by name.

        Args:
            images: ``(B, 3, H, W)`` augmented pictures in [0, 1].
            batch: Where they came from.
            generator: Source of the random numbers of the views.
            progress: The part of all steps that is done, from 0 to 1.
            number: Number of the batch in the run, from 0.
        """
        due = [task for task in self.tasks if is_due(task, number, progress)]
        shared = shared_statistics(self.model) if self.processes > 1 else nullcontext()
        with shared:
            return self._joint_loss(due, images, batch, generator, progress)

    def _joint_loss(
        self,
        due: Sequence[Task],
        images: Tensor,
        batch: Batch,
        generator: Generator,
        progress: float,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        labelled = batch.labelled_count
        taught_of = batch.rows(slice(0, labelled))
        with torch.autocast(images.device.type, enabled=False):
            images, dealt = make_views(due, images, batch, generator, self.copies)
            if not shared_is_dealt(self.tasks):
                images = images[:labelled]
            images, mix = self._mix(images, taught_of, generator)
        own = {name: view.images for name, view in dealt.items() if view.images is not None}
        intact = intact_is_seen(self.tasks)
        seen = self._features([*([images] if intact else []), *own.values()])
        place = {name: number + intact for number, name in enumerate(own)}
        taught = [0] if intact and intact_is_supervised(self.tasks) else []
        taught += [place[name] for name in supervised_on_corrupted(self.tasks) if name in place]
        losses: dict[str, Tensor] = {}
        figures: dict[str, Tensor] = {}
        for task in due:
            views = taught if task.supervised else [place.get(task.name, 0)]
            target = dealt[task.name].target
            parts = [
                seen[number].rows(0, labelled) if task.supervised else seen[number]
                for number in views
            ]
            head = self.model.heads[task.name]
            outputs = [task.answer(head, part, target) for part in parts]
            of = taught_of if task.supervised else self._seen_by(task, batch)
            loss = torch.stack([self._loss(task, output, target, of) for output in outputs]).mean()
            if mix is not None and task.supervised:
                other = task.make_view(images, mix.batch, generator).target
                change = self._loss(task, outputs[0], other, mix.batch)
                change = change - self._loss(task, outputs[0], target, of)
                loss = loss + (1 - mix.share) * change / len(views)
            with torch.no_grad():
                measured = task.measure(outputs[0], target)
            figures |= {f"{task.name}/{name}": value for name, value in measured.items()}
            figures[f"{task.name}/loss"] = loss.detach()
            losses[task.name] = loss
        total = self.balance(losses, progress)
        if self.weighted is not None:
            factors = {name: self.balance.factor(name, progress) for name in losses}
            self.weighted = {name: factors[name] * loss for name, loss in losses.items()}
        figures["loss"] = total.detach()
        return total, figures

    def _seen_by(self, task: Task, batch: Batch) -> Batch:
        """Return the pictures of a task's view, for which only several processes ask."""
        rows = rows_of_view(task, batch, self.copies) if self.processes > 1 else None
        return batch if rows is None else batch.rows(rows)

    def _loss(self, task: Task, output: Any, target: Any, batch: Batch) -> Tensor:
        """Return the loss of a task, over the pictures of all processes where there are several."""
        if self.processes == 1:
            return task.loss(output, target)
        return sum_of_means(share_means(task.means(output, target, batch)))

    def _mix(self, images: Tensor, batch: Batch, generator: Generator) -> tuple[Tensor, Mix | None]:
        """Mix each picture of ``batch``, the first of ``images``, with another one of these."""
        if not self.mixup or not intact_is_supervised(self.tasks):
            return images, None
        random = np.random.default_rng(draws.shared_seed(generator))
        share = float(random.beta(self.mixup, self.mixup))
        share = max(share, 1 - share)
        count = len(batch.images)
        other = draws.partners(count, generator)
        own = shown = images[:count]
        if isinstance(generator, draws.SharedGenerator):
            shown, batch = gather_rows(own, generator), gather_batch(batch, generator)
        mixed = torch.cat([share * own + (1 - share) * shown[other], images[count:]])
        return mixed, Mix(share, batch.rows(other))

    def _features(self, views: Sequence[Tensor]) -> list[Features]:
        """Return the features of each view, from one pass for all views of a size."""
        found: list[Features] = []
        backbone = self.model.backbone
        for _, group in itertools.groupby(views, lambda view: view.shape[-1]):
            stacked = list(group)
            rows = torch.cat(stacked).contiguous(memory_format=torch.channels_last)
            parts = [rows]
            if self.batch_norm == "split":
                parts = [part for view in stacked for part in view.chunk(self.copies)]
            frozen = frozen_running_statistics(backbone) if found else nullcontext()
            with frozen, split_statistics(backbone, [len(part) for part in parts]):
                joined = self.model.features(rows)
            bounds = itertools.accumulate((len(view) for view in stacked), initial=0)
            found += [joined.rows(start, stop) for start, stop in itertools.pairwise(bounds)]
        return found


@dataclass(frozen=True)
class Mix:
    """What mixup did to a batch.

    Attributes:
        share: How much of each picture is its own, from 0.5 to 1.
        batch: The batch that the other parts came from.
    """

    share: float
    batch: Batch


@torch.no_grad()
def reestimate_batch_norm(model: HybridModel, batches: Iterable[Tensor]) -> None:
    """Take batch norm's running statistics anew, as the plain mean over batches of pictures.

    All else is as in use, so without dropout; the model is left in evaluation mode.

    Args:
        model: The model.
        batches: ``(B, 3, H, W)`` pictures in [0, 1].
    """
    norms = batch_norms(model.eval())
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch's way to ask for the plain mean
        norm.train()
    for pictures in batches:
        model(pictures)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
