"""Batch norm whose statistics are those of each view by itself, in one pass of all views.

A pass that holds several views costs less than a pass a view: convolutions of small maps, and the
launches of a GPU's kernels, cost much the same for twice the pictures.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """Return every batch norm in a module."""
    return [inner for inner in module.modules() if isinstance(inner, _BatchNorm)]


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


@contextmanager
def other_classes(norms: Sequence[_BatchNorm], other: Callable[[Any], Any]) -> Iterator[None]:
    """Let batch norms be of the classes that ``other`` gives for their own, and back again."""
    kinds = [type(norm) for norm in norms]
    for norm, kind in zip(norms, kinds, strict=True):
        norm.__class__ = other(kind)
    try:
        yield
    finally:
        for norm, kind in zip(norms, kinds, strict=True):
            norm.__class__ = kind


@contextmanager
def split_statistics(module: nn.Module, sizes: Sequence[int]) -> Iterator[None]:
    """Let every batch norm in training mode normalise each part of a batch by itself.

    The running statistics move by the first part alone.

    Args:
        module: What the whole batch goes through, picture by picture but for its batch norms.
        sizes: How many pictures each part has, in the order of the batch.
    """
    if len(sizes) == 1:
        yield
        return
    norms = batch_norms(module)
    for norm in norms:
        norm.part_sizes = tuple(sizes)  # type: ignore[assignment]
    try:
        with other_classes(norms, _split):
            yield
    finally:
        for norm in norms:
            del norm.part_sizes


class _Split(_BatchNorm):
    """What is put before a batch norm's own class."""

    part_sizes: tuple[int, ...]

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        rows_a_picture = len(input) // sum(self.part_sizes)  # tokens may lie along the batch
        sizes = [size * rows_a_picture for size in self.part_sizes]
        first, *others = torch.split(input, sizes)
        outputs = [super().forward(first)]
        with frozen_running_statistics(self):
            outputs += [super(_Split, self).forward(part) for part in others]
        return torch.cat(outputs)


@functools.cache
def _split(kind: Any) -> Any:
    return type(f"Split{kind.__name__}", (_Split, kind), {})
