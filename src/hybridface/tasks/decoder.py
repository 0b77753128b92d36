"""A light decoder from a backbone's maps to a picture."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hybridface.tasks.features import Features, FeatureShape


class PictureDecoder(nn.Module):
    """Goes from the last map to finer ones; gives ``(B, 3, size, size)`` in [0, 1].

    Args:
        shape: What it is given.
        channels: Its width.
        stride: Pixels a side of the picture for each place of its own last map; above 1, the last
            convolution gives each place its pixels (sub-pixel convolution, Shi et al. 2016,
            arXiv:1609.05158).
        maps: Whether it reads the backbone's intermediate maps, those no finer than its own last
            one; without, all it knows comes through the last map.

    Raises:
        ValueError: The side of the picture is no multiple of ``stride``.
    """

    def __init__(
        self, shape: FeatureShape, channels: int, stride: int = 1, *, maps: bool = True
    ) -> None:
        super().__init__()
        if shape.size % stride:
            raise ValueError(f"expected one that divides the side of {shape.size} px, got {stride}")
        self.side = shape.size // stride
        sides = zip(shape.maps, shape.map_sides, strict=True)
        read = [(width, side) for width, side in sides if maps and side <= self.side]
        self.top = nn.Conv2d(shape.final, channels, 1)
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width, _ in reversed(read))
        self.mix = nn.ModuleList(_mixing_block(channels) for _ in read)
        steps = 1 if read else 4
        if stride > 1 and read and read[0][1] == self.side:
            steps = 0
        self.up = nn.ModuleList(_mixing_block(channels) for _ in range(steps))
        self.out = nn.Conv2d(channels, 3 * stride**2, 3, padding=1)
        self.stride = stride

    def forward(self, features: Features) -> Tensor:
        """Return the pictures."""
        x = self.top(features.final)
        read = features.maps[len(features.maps) - len(self.lateral) :]
        for lateral, mix, finer in zip(self.lateral, self.mix, reversed(read), strict=True):
            x = mix(_grow(x, finer.shape[-1]) + lateral(finer))
        for number, block in enumerate(self.up, start=1):
            goal = self.side if number == len(self.up) else min(self.side, x.shape[-1] * 2)
            x = block(_grow(x, goal))
        x = self.out(x)
        return torch.sigmoid(x if self.stride == 1 else F.pixel_shuffle(x, self.stride))


def _mixing_block(channels: int) -> nn.Module:
    """Mix a map by a depthwise and a pointwise convolution."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.SiLU(),
    )


def _grow(x: Tensor, size: int) -> Tensor:
    if x.shape[-1] == size:
        return x
    return F.interpolate(x, (size, size), mode="bilinear", align_corners=False)
