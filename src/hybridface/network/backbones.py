"""Backbones: any timm network, giving pooled features, the last map and finer maps."""

from __future__ import annotations

import math
from typing import Any

import timm
import torch
from torch import Tensor, nn

from hybridface.config import BackboneConfig
from hybridface.errors import HybridFaceError, unknown
from hybridface.network.cpu_convolutions import train_faster_on_cpu
from hybridface.network.imagenet import imagenet_network
from hybridface.tasks.base import Features, FeatureShape


def check_backbone(config: BackboneConfig) -> None:
    """Refuse a backbone that timm does not have.

    Raises:
        UsageError: Names the nearest one that it has.
    """
    if not timm.is_model(config.name):
        raise unknown("timm backbone", config.name, timm.list_models())


@torch.no_grad()
def zero_last_norms(network: nn.Module) -> int:
    """Let the residual blocks of timm's EfficientNet family start as the identity.

    timm does the same for its ResNets by itself, but not for these. Measured in
    ``benchmarks/README.md``: the plateau at the start of a training from random weights shrinks
    several times.

    Args:
        network: Changed in place.

    Returns:
        How many blocks were changed; 0 for a network of another family.
    """
    count = 0
    for block in network.modules():
        if not getattr(block, "has_skip", False):
            continue
        norms = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d)]
        if norms and isinstance(getattr(norms[-1], "act", None), nn.Identity | None):
            nn.init.zeros_(norms[-1].weight)
            count += 1
    return count


class Backbone(nn.Module):
    """A timm network without its classifier.

    Args:
        config: Which network.
        with_maps: Whether to give intermediate maps too.

    Raises:
        UsageError: timm has no such network.
        HybridFaceError: The ImageNet weights cannot be had.
    """

    network: Any

    def __init__(self, config: BackboneConfig, *, with_maps: bool) -> None:
        super().__init__()
        check_backbone(config)
        options: dict[str, Any] = {"drop_path_rate": config.drop_path} if config.drop_path else {}
        create = imagenet_network if config.init == "imagenet" else timm.create_model
        try:
            network: Any = create(config.name, num_classes=0, **options)
        except (RuntimeError, OSError, ValueError, TypeError) as error:
            raise HybridFaceError(f"backbone {config.name} cannot be created: {error}") from error
        if config.zero_init_residual and config.init == "random":
            zero_last_norms(network)
        self.network = train_faster_on_cpu(network)
        self.with_maps = with_maps
        self.name = config.name
        self.mean = tuple(network.pretrained_cfg.get("mean", (0.485, 0.456, 0.406)))
        self.std = tuple(network.pretrained_cfg.get("std", (0.229, 0.224, 0.225)))

    def forward(self, images: Tensor) -> Features:
        """Return features of normalised pictures ``(B, 3, H, W)``."""
        if self.with_maps:
            final, maps = self.network.forward_intermediates(images)
        else:
            final, maps = self.network.forward_features(images), []
        pooled = self.network.forward_head(final, pre_logits=True)
        final = self._channels_first(final)
        finer = tuple(m for m in maps if m.shape[-1] > final.shape[-1])
        return Features(pooled, final, finer)

    def _channels_first(self, final: Tensor) -> Tensor:
        """Bring tokens, or a map whose channels come last, to ``(B, C, h, w)``."""
        channels = self.network.num_features
        if final.ndim == 3:  # transformers: tokens of no place, then those of the picture's rows
            places = final[:, getattr(self.network, "num_prefix_tokens", 0) :]
            side = math.isqrt(places.shape[1])
            return places.transpose(1, 2).reshape(len(places), channels, side, -1)
        channels_last = final.shape[1] != channels and final.shape[-1] == channels
        return final.permute(0, 3, 1, 2) if channels_last else final

    @torch.no_grad()
    def shape(self, size: int) -> FeatureShape:
        """Return the sizes of the features for pictures of ``size``, by trying one."""
        was_training = self.training
        self.eval()
        device = next(self.parameters()).device
        try:
            features = self(torch.zeros(1, 3, size, size, device=device))
        except (RuntimeError, AssertionError) as error:
            raise HybridFaceError(
                f"the backbone cannot take pictures of {size} px: {error}; change data.size, or "
                "the view_size of a task"
            ) from error
        self.train(was_training)
        return FeatureShape(
            features.pooled.shape[1],
            features.final.shape[1],
            tuple(m.shape[1] for m in features.maps),
            size,
            features.final.shape[-1],
            tuple(m.shape[-1] for m in features.maps),
        )
