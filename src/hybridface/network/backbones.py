"""Backbones: any timm network, giving pooled features, the last map and finer maps."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, Self

import timm
import torch
from torch import Tensor, nn

from hybridface.config import BackboneConfig
from hybridface.errors import HybridFaceError, UsageError, unknown
from hybridface.network.cpu_convolutions import train_faster_on_cpu
from hybridface.network.imagenet import PACKAGES, imagenet_network
from hybridface.tasks.base import Features, FeatureShape


def check_backbone(
    config: BackboneConfig, sizes: Collection[int], *, with_maps: bool = False
) -> None:
    """Refuse, before any picture is read, a backbone that timm does not have or cannot make.

    Args:
        config: The backbone.
        sizes: Sides in pixels of the pictures that it is to take, the first those of the data.
            It is tried on each, without weights, in a fraction of a second.
        with_maps: Whether intermediate maps are wanted too.

    Raises:
        UsageError: timm has no such network, of which the nearest is named, or no weights of it
            that are asked for, or it does not take the options or the sizes, or gives no features
            of a picture.
        HybridFaceError: The network cannot be made.
    """
    _check_name(config)
    known = timm.get_pretrained_cfg(config.name)
    there = config.name in PACKAGES or (known is not None and known.has_weights)
    if config.init == "imagenet" and not there:
        raise UsageError(
            f"backbone.init: timm has no ImageNet weights of {config.name}; take random, or "
            "another backbone"
        )
    without_weights = config.model_copy(update={"init": "random"})
    try:
        with torch.device("meta"):
            _try_sizes(without_weights, sizes, with_maps)
    except HybridFaceError:  # older ones of timm reckon with numbers, which that device lacks
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            _try_sizes(without_weights, sizes, with_maps)


def _try_sizes(config: BackboneConfig, sizes: Collection[int], with_maps: bool) -> None:
    first, *_ = sizes
    backbone = Backbone(config, with_maps=with_maps, size=first)
    for size in sizes:
        backbone.shape(size)


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


def _check_name(config: BackboneConfig) -> None:
    if not timm.is_model(config.name):
        raise unknown("timm backbone", config.name, timm.list_models())
    try:
        timm.get_pretrained_cfg(config.name)
    except RuntimeError as error:  # what stands behind a dot names weights, by its own list
        network, _, tag = config.name.partition(".")
        tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{network}.*")]
        raise unknown(f"weights of timm's {network}", tag, tags) from error


def create_network(config: BackboneConfig, size: int | None = None) -> tuple[Any, dict[str, Any]]:
    """Create a timm network without its classifier.

    Args:
        config: Which network.
        size: Side in pixels of the pictures that it is for; what timm's own is for where null. A
            network that has to know, as one with learned positions, is made for it.

    Returns:
        The network, and what ``timm.create_model`` has to be told to make one of the same weights.

    Raises:
        UsageError: timm has no such network, or it cannot be created with the options.
        HybridFaceError: It cannot be created, or the ImageNet weights cannot be had.
    """
    _check_name(config)
    create = imagenet_network if config.init == "imagenet" else timm.create_model
    told: dict[str, Any] = {"num_classes": 0, **config.options}
    in_training: dict[str, Any] = {"drop_path_rate": config.drop_path} if config.drop_path else {}
    made_for = _size_made_for(config.name)
    sized: dict[str, Any] = {} if size is None or made_for in (None, size) else {"img_size": size}
    try:
        try:
            return create(config.name, **told, **in_training, **sized), told | sized
        except TypeError as error:
            if not sized or "img_size" not in str(error):
                raise
            return create(config.name, **told, **in_training), told
    except HybridFaceError:
        raise
    except Exception as error:  # what an option may be is known to each network alone
        if config.options:
            raise UsageError(
                f"backbone.options: {config.name} cannot be created with {config.options}: "
                f"{_said(error)}"
            ) from error
        raise HybridFaceError(
            f"backbone {config.name} cannot be created: {_said(error)}"
        ) from error


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _size_made_for(name: str) -> int | None:
    """Return the side of the pictures that a network is for, or None where it takes many."""
    known = timm.get_pretrained_cfg(name)
    return known.input_size[-1] if known is not None and known.fixed_input_size else None


class Backbone(nn.Module):
    """A timm network without its classifier.

    Args:
        config: Which network.
        with_maps: Whether to give intermediate maps too.
        size: See :func:`create_network`.

    Raises:
        UsageError, HybridFaceError: It cannot be created; see :func:`create_network`.

    Attributes:
        told: What ``timm.create_model`` has to be told to make a network of the same weights.
    """

    network: Any

    def __init__(self, config: BackboneConfig, *, with_maps: bool, size: int | None = None) -> None:
        super().__init__()
        network, self.told = create_network(config, size)
        if config.zero_init_residual and config.init == "random":
            zero_last_norms(network)
        self.network = train_faster_on_cpu(network)
        self.with_maps = with_maps
        self.name = config.name
        self.mean = tuple(network.pretrained_cfg.get("mean", (0.485, 0.456, 0.406)))
        self.std = tuple(network.pretrained_cfg.get("std", (0.229, 0.224, 0.225)))
        self.frozen = config.frozen
        self.requires_grad_(not config.frozen)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; what is frozen stays in that of evaluation."""
        return super().train(mode and not self.frozen)

    def without_weight_decay(self) -> set[str]:
        """Return the weights that timm lets no weight decay shrink, as learned positions."""
        said = getattr(self.network, "no_weight_decay", set)
        return {f"network.{name}" for name in said()}

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
        if not isinstance(final, Tensor):
            raise TypeError(f"its features are a {type(final).__name__}, not one map")
        channels = self.network.num_features
        if final.ndim == 3:  # transformers: tokens of no place, then those of the picture's rows
            count = final.shape[1]
            placeless = getattr(self.network, "num_prefix_tokens", count - math.isqrt(count) ** 2)
            places = final[:, placeless:]
            side = math.isqrt(places.shape[1])
            # len() would fix the number of pictures in an export.
            return places.transpose(1, 2).reshape(places.shape[0], channels, side, -1)
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
        except Exception as error:  # each of timm's networks refuses in its own way
            raise UsageError(
                f"the backbone {self.name} cannot take pictures of {size} px: "
                f"{_said(error)}; many take multiples of 32 alone: change "
                "data.size, the view_size of a task, or the backbone"
            ) from error
        if features.pooled.ndim != 2:
            raise UsageError(
                f"the backbone {self.name} does not pool its map: its features are of shape "
                f"{tuple(features.pooled.shape)}, expected one vector a picture; leave "
                "backbone.options.global_pool out"
            )
        self.train(was_training)
        return FeatureShape(
            features.pooled.shape[1],
            features.final.shape[1],
            tuple(m.shape[1] for m in features.maps),
            size,
            features.final.shape[-1],
            tuple(m.shape[-1] for m in features.maps),
        )
