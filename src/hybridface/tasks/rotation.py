"""Rotation: the picture is turned by a quarter of a circle or more; say by how many quarters.

After Gidaris et al. 2018, "Unsupervised Representation Learning by Predicting Image Rotations"
(arXiv:1803.07728); where they show every picture in all four positions, each is dealt once here, so
that a view costs one pass.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from hybridface import draws
from hybridface.data.batches import Batch
from hybridface.tasks.base import FeatureShape, SelfSupervisedConfig, Task, View
from hybridface.tasks.heads import PooledHead


def turn(images: Tensor, quarters: Tensor) -> Tensor:
    """Turn each square picture to the left.

    Args:
        images: ``(B, C, H, H)``.
        quarters: ``(B,)`` int64 quarter turns, 0 to 3.

    Returns:
        ``(B, C, H, H)``.
    """
    turned = torch.stack([images.rot90(count, (2, 3)) for count in range(4)])
    rows = torch.arange(len(images), device=images.device)
    return turned[quarters, rows].contiguous(memory_format=torch.channels_last)


class Rotation(Task):
    """Say by how many quarters a picture was turned; cross-entropy."""

    type_name = "rotation"
    summary = "by how many quarters the picture was turned (arXiv:1803.07728)"
    Config = SelfSupervisedConfig
    fights = {"pose": "it turns the picture in its plane, and so changes the roll to be told"}

    def build_head(self, shape: FeatureShape) -> nn.Module:
        """Return the classifier."""
        return PooledHead(shape, 4)

    def make_view(self, images: Tensor, batch: Batch, generator: Generator) -> View:
        """Turn each picture by 0 to 3 quarters; the target is ``(B,)`` their number."""
        quarters = draws.randint(4, len(images), generator=generator).to(images.device)
        return View(turn(images, quarters), quarters)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropy, averaged over pictures."""
        return F.cross_entropy(output, target)

    @torch.no_grad()
    def measure(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the part of the pictures that is right; chance is a quarter."""
        return {"accuracy": (output.argmax(1) == target).float().mean()}

    def decode(self, output: Tensor) -> Tensor:
        """Return ``(B, 4)`` probabilities."""
        return output.softmax(1)

    def describe(self) -> dict[str, Any]:
        """Return the turns to the left, in degrees, in the order of the probabilities."""
        return {"kind": "rotation", "turns": [0, 90, 180, 270]}

    def picture(self, images: Tensor, view: View, output: Tensor) -> dict[str, Tensor]:
        """Return the picture, how it was dealt, and the same turned back as the head answered."""
        dealt = images if view.images is None else view.images
        back = (4 - output.argmax(1)) % 4
        return {"intact": images, "dealt": dealt, "answered": turn(dealt, back)}
