"""The model: one backbone, a head a task; only supervised heads are kept for inference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Generator, Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hybridface.backbones import Backbone
from hybridface.config import BackboneConfig, BatchNormMode
from hybridface.data.batches import Batch
from hybridface.tasks import takes_shared_view
from hybridface.tasks.base import Features, SelfSupervisedConfig, Task, View


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
        self.backbone = Backbone(config, with_maps=any(task.reads_maps for task in tasks))
        shape = self.backbone.shape(size)
        self.heads = nn.ModuleDict({task.name: task.build_head(shape) for task in tasks})
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
    """

    def __init__(
        self, model: HybridModel, tasks: Sequence[Task], batch_norm: BatchNormMode
    ) -> None:
        super().__init__()
        self.model = model
        self.tasks = tasks
        self.batch_norm = batch_norm

    def forward(
        self, images: Tensor, batch: Batch, generator: Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the losses, and every loss and figure by name.

        Args:
            images: ``(B, 3, H, W)`` augmented pictures in [0, 1].
            batch: Where they came from.
            generator: Source of the random numbers of the views.
        """
        images, dealt = make_views(self.tasks, images, batch, generator)
        own = {name: view for name, view in dealt.items() if view.images is not None}
        with_intact = _intact_is_seen(self.tasks, own)
        stack = [images] if with_intact else []
        stack += [view.images for view in own.values() if view.images is not None]
        seen = self._features(stack)
        place = {name: number + with_intact for number, name in enumerate(own)}
        taught = [0] if with_intact else []
        taught = [n for n in taught if _supervises(self.tasks, own, "intact")]
        taught += [place[name] for name in own if _supervised_on_corrupted(self.tasks, name)]
        total = images.new_zeros(())
        figures: dict[str, Tensor] = {}
        for task in self.tasks:
            views = taught if task.supervised else [place.get(task.name, 0)]
            losses = []
            for number in views:
                output = self.model.heads[task.name](seen[number])
                losses.append(task.loss(output, dealt[task.name].target))
            for name, value in task.measure(output.detach(), dealt[task.name].target).items():
                figures[f"{task.name}/{name}"] = value
            loss = torch.stack(losses).mean()
            figures[f"{task.name}/loss"] = loss.detach()
            total = total + task.config.weight * loss
        figures["loss"] = total.detach()
        return total, figures

    def _features(self, views: Sequence[Tensor]) -> list[Features]:
        """Return the features of each view, from one pass or, for split batch norm, one each."""
        if self.batch_norm == "split" and len(views) > 1:
            first = self.model.features(views[0])
            with frozen_running_statistics(self.model.backbone):
                return [first, *(self.model.features(view) for view in views[1:])]
        joined = torch.cat(list(views)).contiguous(memory_format=torch.channels_last)
        features = self.model.features(joined)
        size = len(views[0])
        return [features.rows(start, start + size) for start in range(0, len(joined), size)]


def make_views(
    tasks: Sequence[Task], images: Tensor, batch: Batch, generator: Generator
) -> tuple[Tensor, dict[str, View]]:
    """Let every task make its view of a batch.

    Returns:
        The picture that all supervised heads see (corrupted, where a task takes the shared view),
        and each task's view; a view without pictures is seen through that shared picture.
    """
    views: dict[str, View] = {}
    for task in tasks:
        if takes_shared_view(task):
            shared = task.make_view(images, batch, generator)
            views[task.name] = View(None, shared.target)
            images = images if shared.images is None else shared.images
    for task in tasks:
        if task.name not in views:
            views[task.name] = task.make_view(images, batch, generator)
    return images, views


def _supervised_on_corrupted(tasks: Sequence[Task], name: str) -> bool:
    task = next(task for task in tasks if task.name == name)
    config = task.config
    return isinstance(config, SelfSupervisedConfig) and config.supervise in ("corrupted", "both")


def _supervises(tasks: Sequence[Task], own: dict[str, View], which: str) -> bool:
    """Say whether supervised heads learn from the intact view: unless every view objects."""
    modes = [task.config.supervise for task in tasks if task.name in own]
    return not modes or any(mode in (which, "both") for mode in modes)


def _intact_is_seen(tasks: Sequence[Task], own: dict[str, View]) -> bool:
    """Say whether any head sees the intact (or shared) picture."""
    others = any(not task.supervised and task.name not in own for task in tasks)
    return others or _supervises(tasks, own, "intact")


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """Return every batch norm in a module."""
    return [inner for inner in module.modules() if isinstance(inner, _BatchNorm)]


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


@contextmanager
def frozen_running_statistics(module: nn.Module) -> Iterator[None]:
    """Let batch norm use a batch's own statistics without moving its running ones."""
    norms = batch_norms(module)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
