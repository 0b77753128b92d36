"""Batch norm whose statistics are those of the pictures of all processes.

PyTorch's own ``SyncBatchNorm`` refuses the CPU; this one is the same sums on every device.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from hybridface.errors import UsageError
from hybridface.network.split_batch_norm import batch_norms, other_classes
from hybridface.tasks.means import widened


class _Shared1d(nn.BatchNorm1d):
    def forward(self, input: Tensor) -> Tensor:
        return shared_batch_norm(self, input) if self.training else super().forward(input)


class _Shared2d(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:
        return shared_batch_norm(self, input) if self.training else super().forward(input)


class _SharedAct2d(BatchNormAct2d):
    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)  # type: ignore[no-untyped-call, no-any-return]
        return self.act(self.drop(shared_batch_norm(self, x)))  # type: ignore[no-any-return]


SHARED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: _Shared1d,
    nn.BatchNorm2d: _Shared2d,
    BatchNormAct2d: _SharedAct2d,
}


def check_batch_norm(model: nn.Module) -> None:
    """Refuse a model with a batch norm whose statistics cannot be shared.

    Raises:
        UsageError: Names it.
    """
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and type(module) not in SHARED:
            raise UsageError(
                f"training.devices: the batch norm {name} is a {type(module).__name__}, which "
                "cannot take its statistics over several processes; train with one, or take "
                "another backbone"
            )


@contextmanager
def shared_statistics(model: nn.Module) -> Iterator[None]:
    """Let every batch norm in training mode take its statistics over the pictures of all processes.

    All processes must pass through the same ones, in the same order, also backwards.
    """
    norms = [norm for norm in batch_norms(model) if type(norm) in SHARED]
    with other_classes(norms, lambda kind: SHARED[kind]):
        yield


@torch.compiler.disable  # type: ignore[untyped-decorator]
def shared_batch_norm(norm: _BatchNorm, input: Tensor) -> Tensor:
    """Normalise as ``norm`` does in training, by the statistics of all processes together.

    The running statistics move as they do in one process, by the same values in all.

    Args:
        norm: The batch norm.
        input: ``(B, C, ...)``, this process's part of the batch, of whatever size.
    """
    mean, variance, count = _statistics(input.detach())
    if norm.track_running_stats and norm.running_mean is not None:
        assert norm.num_batches_tracked is not None and norm.running_var is not None
        norm.num_batches_tracked.add_(1)
        momentum = norm.momentum
        if momentum is None:
            momentum = 1 / int(norm.num_batches_tracked)
        unbiased = variance * (count / (count - 1).clamp(min=1))
        for running, value in ((norm.running_mean, mean), (norm.running_var, unbiased)):
            running.mul_(1 - momentum).add_(value.to(running.dtype), alpha=momentum)
    kind = widened(input).dtype
    output: Tensor = _Normalise.apply(
        input, norm.weight, norm.bias, mean.to(kind), variance.to(kind), count.to(kind), norm.eps
    )
    return output


def _statistics(input: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and biased variance ``(C,)`` over all processes, and how many values each had."""
    variance, mean = torch.var_mean(widened(input), _all_but_channels(input), correction=0)
    count = mean.new_full((1,), input.numel() / input.shape[1])
    own = torch.cat([mean, variance, count])
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, own)
    every = torch.stack(parts).double()
    means, variances = every[:, :-1].chunk(2, dim=1)
    counts = every[:, -1:]
    total = counts.sum()
    mean = (means * counts).sum(0) / total
    variance = ((variances + (means - mean) ** 2) * counts).sum(0) / total
    return mean, variance, total


def _all_but_channels(values: Tensor) -> list[int]:
    return [0, *range(2, values.ndim)]


class _Normalise(torch.autograd.Function):
    """Batch norm by statistics that depend on the input of every process."""

    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: Any,
        input: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        count: Tensor,
        epsilon: float,
    ) -> Tensor:
        ctx.save_for_backward(input, weight, mean, (variance + epsilon).rsqrt(), count)
        return F.batch_norm(input, mean, variance, weight, bias, training=False, eps=epsilon)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        input, weight, mean, scale, count = ctx.saved_tensors
        per_channel = [1, -1, *[1] * (input.ndim - 2)]
        gradient = widened(gradients[0])
        normalised = (widened(input) - mean.view(per_channel)) * scale.view(per_channel)
        dims = _all_but_channels(input)
        by_bias, by_weight = gradient.sum(dims), (gradient * normalised).sum(dims)
        sums = torch.cat([by_bias, by_weight])
        dist.all_reduce(sums)
        common, along = (part.view(per_channel) for part in (sums / count).chunk(2))
        slope = scale if weight is None else scale * weight
        by_input = (gradient - common - normalised * along) * slope.view(per_channel)
        affine = (None, None) if weight is None else (by_weight, by_bias)
        return by_input.to(input.dtype), *affine, None, None, None, None
