"""What the tasks of a step see: shared and own views, of the whole batch or cheaper ones.

What a view costs is decided here and nowhere else: which of a batch's pictures it is made of
(``part``), how large they are (``view_size``), and at which steps there is one (``every``,
``until``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from hybridface import draws
from hybridface.data.batches import Batch
from hybridface.tasks import takes_shared_view
from hybridface.tasks.base import SelfSupervisedConfig, Task, View

FEWEST = 2  # of one picture batch norm can take no statistics


def make_views(
    tasks: Sequence[Task],
    images: Tensor,
    batch: Batch,
    generator: Generator,
    copies: int = 1,
) -> tuple[Tensor, dict[str, View]]:
    """Let every task make its view of a batch; supervised ones, of its labelled pictures.

    Args:
        tasks: The tasks.
        images: ``(B, 3, H, W)`` augmented pictures in [0, 1].
        batch: Where they came from.
        generator: Source of every random number.
        copies: How many augmented versions of each picture the batch holds, one whole version
            after the other.

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
    labelled = slice(0, batch.labelled)
    for task in tasks:
        if task.name not in views and task.supervised:
            views[task.name] = task.make_view(images[labelled], batch.rows(labelled), generator)
        elif task.name not in views:
            views[task.name] = _own_view(task, images, batch, generator, copies)
    return images, views


def _own_view(task: Task, images: Tensor, batch: Batch, generator: Generator, copies: int) -> View:
    """Let a task make its view of the pictures that its options leave it, at their size."""
    rows = rows_of_view(task, batch, copies)
    if rows is None:
        return task.make_view(shrink(images, task), batch, generator)
    images = images[rows].contiguous(memory_format=torch.channels_last)
    images, batch = shrink(images, task), batch.rows(rows)
    if not isinstance(generator, draws.SharedGenerator):
        return task.make_view(images, batch, generator)
    of_part = generator.of_part(_part(task), FEWEST)
    view = task.make_view(images, batch, of_part)
    generator.set_state(of_part.get_state())
    return view


def shrink(images: Tensor, task: Task) -> Tensor:
    """Return pictures ``(B, 3, H, W)`` at the size at which a task sees them."""
    side = task.view_side(images.shape[-1])
    if side == images.shape[-1]:
        return images
    images = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
    return images.contiguous(memory_format=torch.channels_last)


def rows_of_view(task: Task, batch: Batch, copies: int = 1) -> Tensor | None:
    """Return which of a batch's pictures a task's view is made of; None for all.

    They are spread evenly over the batch, whose order is random, so that several processes take
    those that one would. Each augmented version of the pictures, and the pictures without labels,
    give the same part of theirs.

    Args:
        task: The task.
        batch: The batch.
        copies: See :func:`make_views`.

    Returns:
        Sorted int64 row numbers, where the batch is.
    """
    part = _part(task)
    if part == 1:
        return None
    labelled = batch.labelled_count
    sizes = [labelled // copies] * copies + [len(batch.images) - labelled]
    rows, start = [], 0
    for size in sizes:
        count = draws.part_of(size, part, FEWEST)
        numbers = torch.arange(count, device=batch.images.device)
        rows.append(start + numbers * size // max(1, count))
        start += size
    return torch.cat(rows)


def _part(task: Task) -> float:
    return task.config.part if isinstance(task.config, SelfSupervisedConfig) else 1.0


def is_due(task: Task, number: int, progress: float) -> bool:
    """Say whether a task takes part in a batch.

    Args:
        task: The task.
        number: Number of the batch in the run, from 0; what is due depends on nothing else, so
            that a resumed run is the same run.
        progress: The part of all steps that is done, from 0 to 1.
    """
    config = task.config
    if not isinstance(config, SelfSupervisedConfig):
        return True
    return number % config.every == 0 and (config.until == 1 or progress < config.until)


def part_of_steps(task: Task) -> float:
    """Return at which part of all steps a task takes part."""
    config = task.config
    if not isinstance(config, SelfSupervisedConfig):
        return 1.0
    return config.until / config.every


def shared_is_dealt(tasks: Sequence[Task]) -> bool:
    """Say whether a task without labels sees the picture that the supervised heads see."""
    own = own_views(tasks)
    return any(not task.supervised and task not in own for task in tasks)


def own_views(tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks that have a view of their own beside the intact picture."""
    return [
        task
        for task in tasks
        if isinstance(task.config, SelfSupervisedConfig) and task.config.view == "own"
    ]


def supervised_on_corrupted(tasks: Sequence[Task]) -> list[str]:
    """Return the tasks whose own view the supervised heads learn from."""
    return [
        task.name for task in own_views(tasks) if task.config.supervise in ("corrupted", "both")
    ]


def intact_is_supervised(tasks: Sequence[Task]) -> bool:
    """Say whether supervised heads learn from the first picture: unless every own view objects."""
    if not any(task.supervised for task in tasks):
        return False
    modes = [task.config.supervise for task in own_views(tasks)]
    return not modes or any(mode in ("intact", "both") for mode in modes)


def intact_is_seen(tasks: Sequence[Task]) -> bool:
    """Say whether any head sees the intact (or shared) picture."""
    return shared_is_dealt(tasks) or intact_is_supervised(tasks)


def passes_a_picture(tasks: Sequence[Task], size: int, *, labelled: bool = True) -> float:
    """Return how many times a training step shows each picture to the backbone, in the mean.

    A view of a part of the pictures, or at some of the steps, counts by that part, and one of
    smaller pictures by their pixels.

    Args:
        tasks: The tasks.
        size: Side of the pictures in pixels.
        labelled: Whether the picture is of the labelled data set; the others are not shown intact.
    """
    first = intact_is_seen(tasks) if labelled else shared_is_dealt(tasks)
    passes = float(first)
    for task in own_views(tasks):
        passes += part_of_steps(task) * task.config.part * (task.view_side(size) / size) ** 2
    return passes
