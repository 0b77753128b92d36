"""What several processes share within a step, so that they train as one process would.

All of them call these functions in the same order; where one is gone the others get an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch import distributed as dist

from hybridface.data.batches import Batch
from hybridface.draws import SharedGenerator
from hybridface.tasks.base import Mean


def share_means(means: Sequence[Mean]) -> list[Mean]:
    """Take means over the pictures of all processes.

    DDP averages the gradients of the processes. So each mean is scaled by what this process's
    pictures weigh in it; its value is that of the mean over all, the same in every process.

    Args:
        means: The means over this process's pictures.

    Returns:
        The same, whose gradients, averaged over the processes, are those of the mean over all.
    """
    values = torch.stack([mean.value for mean in means])
    weights = torch.stack([mean.weight.to(values.device, torch.float64) for mean in means])
    sums = torch.stack([weights, weights * values.detach()])
    dist.all_reduce(sums)
    totals = sums[0].clamp(min=1e-12)
    scaled = values * (weights * dist.get_world_size() / totals).to(values.dtype)
    over_all = (sums[1] / totals).to(values.dtype)
    shared = scaled + (over_all - scaled).detach()
    return [replace(mean, value=value) for mean, value in zip(means, shared, strict=True)]


def gather_batch(batch: Batch, generator: SharedGenerator) -> Batch:
    """Return the pictures of all processes, in the order of the whole batch."""
    return Batch(
        gather_rows(batch.images, generator),
        {name: gather_rows(value, generator) for name, value in batch.labels.items()},
        {name: gather_rows(value, generator) for name, value in batch.soft.items()},
        numeric={name: gather_rows(value, generator) for name, value in batch.numeric.items()},
    )


def gather_rows(values: Tensor, generator: SharedGenerator) -> Tensor:
    """Return what all processes have of each picture, in the order of the whole batch.

    Args:
        values: ``(B, ...)``, what this process has; no gradient flows back.
        generator: Knows which pictures are whose.

    Returns:
        ``(B * processes, ...)``.
    """
    values = values.detach().contiguous()
    parts = [torch.empty_like(values) for _ in range(generator.processes)]
    dist.all_gather(parts, values)
    places = [generator.rows(len(values), rank) for rank in range(generator.processes)]
    whole = torch.cat(parts)
    return whole[torch.cat(places).argsort()]
