"""ImageNet weights: they are the right ones in the right places, and errors say what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from skimage import data as skimage_data
from torch import Tensor

from hybridface.config import BackboneConfig
from hybridface.errors import HybridFaceError
from hybridface.network import imagenet
from hybridface.network.backbones import Backbone
from hybridface.network.imagenet import PACKAGES, PackagedWeights, imagenet_network

LITE0 = "tf_efficientnet_lite0"
PICTURES = {
    "coffee": {967, 504},  # espresso, coffee mug
    "chelsea": {281, 282, 285},  # tabby, tiger cat, Egyptian cat
    "rocket": {657, 812},  # missile, space shuttle
}


def picture(name: str, size: int = 224) -> Tensor:
    """Return the middle of a picture of scikit-image, ``(1, 3, size, size)`` in [-1, 1]."""
    image = Image.fromarray(getattr(skimage_data, name)()).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side)).resize((size, size), 3)
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.view(1, size, size, 3).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("network_name", PACKAGES)
def test_real_pictures_are_recognised(network_name: str, name: str) -> None:
    network = imagenet_network(network_name).eval()
    assert set(network(picture(name))[0].topk(3).indices.tolist()) & PICTURES[name]


@torch.no_grad()
def test_a_grey_picture_is_seen_as_timm_sees_one_channel() -> None:
    """timm sums the first convolution over colours; we repeat the grey picture."""
    coloured = imagenet_network(LITE0, num_classes=0).eval()
    grey = timm.create_model(LITE0, num_classes=0, in_chans=1).eval()
    weights = dict(coloured.state_dict())
    weights["conv_stem.weight"] = weights["conv_stem.weight"].sum(1, keepdim=True)
    grey.load_state_dict(weights)
    seen = picture("chelsea", 96).mean(1, keepdim=True)
    torch.testing.assert_close(
        coloured(seen.expand(-1, 3, -1, -1)), grey(seen), rtol=1e-3, atol=1e-4
    )


def test_a_backbone_starts_from_them() -> None:
    config = BackboneConfig(name=LITE0, init="imagenet")
    backbone = Backbone(config, with_maps=False)
    expected = imagenet_network(LITE0, num_classes=0).state_dict()
    found = backbone.network.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert backbone.mean == backbone.std == (0.5, 0.5, 0.5)


def test_other_weights_than_the_known_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "weights.pth"
    torch.save({}, other)
    monkeypatch.setattr(PackagedWeights, "find", lambda _: other)
    with pytest.raises(HybridFaceError, match=r"weights\.pth: not the weights that are known"):
        imagenet_network(LITE0)


def test_without_package_and_network_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    nowhere = replace(PACKAGES[LITE0], package="efficientnet_lite0_that_is_not_there")
    monkeypatch.setitem(imagenet.PACKAGES, LITE0, nowhere)
    monkeypatch.setattr(timm, "create_model", unreachable)
    for name in (LITE0, "resnet18"):
        with pytest.raises(HybridFaceError, match=rf"{name}.*hybridface\[imagenet\]"):
            imagenet_network(name)
