"""Means over the pictures that count, which losses are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Mean:
    """A mean that a loss is made of, which several processes take over the pictures of all.

    Attributes:
        value: The mean over this batch, a scalar.
        weight: What the batch weighs in the mean over several, such as the number of pictures
            that count; a scalar.
        factor: Factor of the mean in the loss.
    """

    value: Tensor
    weight: Tensor
    factor: float = 1.0


def widened(values: Tensor) -> Tensor:
    """Return values in single precision where they are in half."""
    return values if values.dtype == torch.float64 else values.float()


def masked_mean(values: Tensor, counted: Tensor) -> Tensor:
    """Return the mean of ``values`` weighted by ``counted``; zero, with a gradient, for none."""
    weights = counted.to(values.dtype)
    return (values * weights).sum() / weights.sum().clamp(min=1e-12)


def sum_of_means(means: Sequence[Mean]) -> Tensor:
    """Return the loss that is made of some means, a scalar."""
    first, *others = (mean.factor * mean.value for mean in means)
    for other in others:
        first = first + other
    return first
