"""Distance of pictures as a frozen ImageNet network sees them, for perceptual losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hybridface.errors import UsageError
from hybridface.network.imagenet import imagenet_network


class PerceptualDistance(nn.Module):
    """Mean squared distance of a network's features of two pictures, at several depths.

    At every place of a map the features are scaled to length 1, as LPIPS does it (Zhang et al.
    2018, arXiv:1801.03924); all depths count the same, with no learned weights. The network stays
    frozen and in evaluation mode, and hands gradients on to its input.

    Args:
        name: A timm network with ImageNet weights.
        size: Smallest side in pixels at which it sees a picture; smaller ones are enlarged.
        depths: Which of its maps count, 0 for the finest.

    Raises:
        HybridFaceError: The weights cannot be had.
        UsageError: The network has no such depth, or gives no maps.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, size: int, depths: Sequence[int]) -> None:
        super().__init__()
        network: Any = imagenet_network(name, num_classes=0)
        maps = getattr(network, "feature_info", ())
        if not maps or not hasattr(network, "forward_intermediates"):
            raise UsageError(f"{name}: gives no maps of several depths; take another network")
        if max(depths) >= len(maps):
            raise UsageError(
                f"{name}: has the depths 0 to {len(maps) - 1}, so {max(depths)} is none"
            )
        self.network = network.requires_grad_(False).to(memory_format=torch.channels_last)
        self.size = size
        self.depths = sorted(set(depths))
        for key in ("mean", "std"):
            value = torch.tensor(network.pretrained_cfg[key]).view(1, 3, 1, 1)
            self.register_buffer(key, value, persistent=False)
        self.train(False)

    def train(self, mode: bool = True) -> PerceptualDistance:
        """Stay in evaluation mode, whatever ``mode`` says."""
        super().train(False)
        return self

    def forward(self, images: Tensor, references: Tensor) -> Tensor:
        """Return the distance ``(B,)`` of pictures from their references, 0 where equal.

        Args:
            images: ``(B, 3, H, W)`` in [0, 1]; gradients flow to them.
            references: The same of the references; no gradient flows to them.
        """
        with torch.no_grad():
            expected = self._directions(references)
        distances = [
            ((found - true) ** 2).sum(1).mean((1, 2))
            for found, true in zip(self._directions(images), expected, strict=True)
        ]
        return torch.stack(distances).mean(0)

    def _directions(self, images: Tensor) -> list[Tensor]:
        """Return the features at each depth, of length 1 at every place."""
        if min(images.shape[-2:]) < self.size:
            images = F.interpolate(images, (self.size, self.size), mode="bilinear")
        images = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        maps = self.network.forward_intermediates(
            images, indices=self.depths, stop_early=True, intermediates_only=True
        )
        return [F.normalize(features, dim=1, eps=1e-6) for features in maps]
