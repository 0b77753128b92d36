"""Jigsaw puzzling: the picture is cut into tiles and shuffled; say which tile sits where.

After the public code of arXiv:2105.06421's authors: a uniformly random permutation, no gap between
tiles, the picture put together again and seen by the same backbone, one softmax per slot.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from hybridface import draws
from hybridface.data.batches import Batch
from hybridface.data.source import Labels
from hybridface.errors import UsageError
from hybridface.tasks.base import Features, FeatureShape, SelfSupervisedConfig, Task, View


class PuzzleConfig(SelfSupervisedConfig):
    """Options of ``puzzle``.

    Attributes:
        grid: Tiles along each side.
    """

    grid: int = Field(3, ge=2, le=16)


def shuffle_tiles(images: Tensor, order: Tensor, grid: int) -> Tensor:
    """Put tile ``order[b, slot]`` of picture b in each slot, counted row by row.

    Args:
        images: ``(B, C, H, W)``, H and W divisible by ``grid``.
        order: ``(B, grid * grid)`` int64, a permutation a picture.
        grid: Tiles along each side.

    Returns:
        ``(B, C, H, W)``.
    """
    batch, channels, height, width = images.shape
    tall, wide = height // grid, width // grid
    tiles = images.reshape(batch, channels, grid, tall, grid, wide)
    tiles = tiles.permute(0, 2, 4, 3, 5, 1).reshape(batch, grid * grid, -1)
    dealt = tiles.gather(1, order.unsqueeze(-1).expand_as(tiles))
    dealt = dealt.reshape(batch, grid, grid, tall, wide, channels).permute(0, 5, 1, 3, 2, 4)
    return dealt.reshape(batch, channels, height, width).contiguous(
        memory_format=torch.channels_last
    )


def random_orders(count: int, slots: int, generator: Generator) -> Tensor:
    """Return ``(count, slots)`` uniformly random permutations."""
    return draws.rand(count, slots, generator=generator).argsort(1)


class PuzzleHead(nn.Module):
    """One linear softmax per slot on the pooled features; gives ``(B, slots, tiles)`` logits."""

    def __init__(self, channels: int, slots: int) -> None:
        super().__init__()
        self.slots = slots
        self.linear = nn.Linear(channels, slots * slots)

    def forward(self, features: Features) -> Tensor:
        """Return ``(B, slots, tiles)`` logits."""
        logits: Tensor = self.linear(features.pooled).view(-1, self.slots, self.slots)
        return logits


class Puzzle(Task):
    """Say for each slot which tile sits there; cross-entropy summed over slots as in the paper."""

    type_name = "puzzle"
    summary = "jigsaw puzzling: which tile sits in which slot (arXiv:2105.06421)"
    Config = PuzzleConfig

    @property
    def slots(self) -> int:
        """Return the number of slots."""
        return int(self.config.grid) ** 2

    def adopt(self, labels: Labels | None, train_ids: Tensor | None, size: int) -> None:
        """Refuse a size that the grid does not divide; see :meth:`Task.adopt`."""
        grid, side = self.config.grid, self.view_side(size)
        if side % grid:
            lower, upper = side // grid * grid, math.ceil(side / grid) * grid
            key = "data.size" if self.config.view_size is None else f"tasks.{self.name}.view_size"
            raise UsageError(
                f"task {self.name}: a {grid}x{grid} puzzle needs a size divisible by {grid}, "
                f"{key} is {side}; the nearest that fit are {lower} and {upper}"
            )

    def build_head(self, shape: FeatureShape) -> nn.Module:
        """Return the slot classifier."""
        return PuzzleHead(shape.pooled, self.slots)

    def make_view(self, images: Tensor, batch: Batch, generator: Generator) -> View:
        """Deal each picture as a puzzle; the target is ``(B, slots)`` tile numbers."""
        order = random_orders(len(images), self.slots, generator).to(images.device)
        return View(shuffle_tiles(images, order, self.config.grid), order)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropy summed over slots, averaged over pictures."""
        return F.cross_entropy(output.flatten(0, 1), target.flatten()) * self.slots

    @torch.no_grad()
    def measure(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the part of the slots that is right; chance is 1 / slots."""
        return {"slot_accuracy": (output.argmax(-1) == target).float().mean()}

    def decode(self, output: Tensor) -> Tensor:
        """Return for each slot the probability of each tile, ``(B, slots, tiles)``."""
        return output.softmax(2)

    def describe(self) -> dict[str, Any]:
        """Return the grid: slots and tiles are counted row by row."""
        return {"kind": "puzzle", "grid": self.config.grid}

    def picture(self, images: Tensor, view: View, output: Tensor) -> dict[str, Tensor]:
        """Return the picture, the puzzle dealt, and the puzzle laid as the head answered.

        Each place of the answer shows the slot that most surely claims to hold its tile.
        """
        dealt = images if view.images is None else view.images
        laid = shuffle_tiles(dealt, output.softmax(-1).argmax(1), self.config.grid)
        return {"intact": images, "dealt": dealt, "answered": laid}
