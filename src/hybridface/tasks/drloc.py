"""Dense relative localisation: how far apart do two places of a feature map lie?

After Liu et al. 2021, "Efficient Training of Visual Transformers with Small Datasets"
(arXiv:2106.03746): pairs of places are drawn at random, a small network sees the features of both
and tells their distance along either axis, as a part of the map's side. The picture stays intact,
so the backbone does no extra work.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from hybridface import draws
from hybridface.data.batches import Batch
from hybridface.errors import UsageError
from hybridface.tasks.base import Features, FeatureShape, Task, TaskConfig, View


class DrlocConfig(TaskConfig):
    """Options of ``drloc``.

    Attributes:
        pairs: Pairs of places drawn in each picture.
        hidden: Width of the network that compares two places.
        least_side: The coarsest map with so many places along a side is taken. At 48 to 64 px the
            last map of an EfficientNet has two, too few to tell places apart.
    """

    pairs: int = Field(64, ge=1)
    hidden: int = Field(512, ge=1)
    least_side: int = Field(6, ge=2)


class DrlocHead(nn.Module):
    """Tells how far apart two places of a map lie.

    Args:
        channels: Channels of the map.
        number: Which of the intermediate maps; None for the last map.
        hidden: Width of the hidden layer.
    """

    def __init__(self, channels: int, number: int | None, hidden: int) -> None:
        super().__init__()
        self.number = number
        self.compare = nn.Sequential(
            nn.Linear(2 * channels, hidden), nn.ReLU(), nn.Linear(hidden, 2)
        )

    def forward(self, features: Features, places: Tensor | None = None) -> Tensor:
        """Return ``(B, pairs, 2)`` distances down and across, as parts of the map's side.

        Args:
            features: What the backbone made of the pictures.
            places: ``(B, pairs, 2)`` int64 numbers of places, row by row; every place with the
                first one where None.
        """
        chosen = features.final if self.number is None else features.maps[self.number]
        batch, channels, height, width = chosen.shape
        embedded = chosen.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        if places is None:
            every = torch.arange(height * width, device=chosen.device)
            pairs = torch.stack([every, torch.zeros_like(every)], dim=1)
            places = pairs.expand(batch, -1, -1)
        index = places.flatten(1).unsqueeze(-1).expand(-1, -1, channels)
        both = embedded.gather(1, index).view(batch, -1, 2 * channels)
        distances: Tensor = self.compare(both)
        return distances


class Drloc(Task):
    """Say how far apart pairs of places lie; mean absolute error, summed over both axes.

    The side of the map is known once the head is built.
    """

    type_name = "drloc"
    summary = "how far apart two places of a feature map lie (arXiv:2106.03746)"
    reads_maps = True
    Config = DrlocConfig
    side: int

    def build_head(self, shape: FeatureShape) -> nn.Module:
        """Return the head on the coarsest map that is fine enough.

        Raises:
            UsageError: No map is.
        """
        maps = zip(shape.map_sides, shape.maps, range(len(shape.maps)), strict=True)
        candidates = [(shape.final_side, shape.final, None), *maps]
        wide = [one for one in candidates if one[0] >= self.config.least_side]
        if not wide:
            raise UsageError(
                f"task {self.name}: no map of the backbone has {self.config.least_side} places "
                f"along a side at data.size {shape.size}, the finest has "
                f"{max(one[0] for one in candidates)}; take a larger data.size"
            )
        self.side, channels, number = min(wide, key=lambda one: one[0])
        return DrlocHead(channels, number, self.config.hidden)

    def make_view(self, images: Tensor, batch: Batch, generator: Generator) -> View:
        """Draw pairs; the target is ``(B, pairs, 2)`` numbers of places, row by row."""
        shape = (len(images), self.config.pairs, 2)
        places = draws.randint(self.side**2, *shape, generator=generator)
        return View(None, places.to(images.device))

    def answer(self, head: nn.Module, features: Features, target: Tensor) -> Any:
        """Ask the head about the pairs drawn."""
        return head(features, target)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the absolute errors of both axes, summed, averaged over pairs and pictures."""
        return (output - self._distances(target)).abs().sum(-1).mean()

    @torch.no_grad()
    def measure(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the mean error of a distance, in places of the map."""
        error = (output - self._distances(target)).abs().mean()
        return {"places_off": error * self.side}

    def describe(self) -> dict[str, Any]:
        """Return the kind: exported, it gives the distance of every place from the first."""
        return {"kind": "drloc"}

    def _distances(self, places: Tensor) -> Tensor:
        """Return ``(B, pairs, 2)`` true distances down and across, as parts of the side."""
        row, column = places // self.side, places % self.side
        apart = [(axis[..., 0] - axis[..., 1]).abs() for axis in (row, column)]
        return torch.stack(apart, dim=-1) / self.side
