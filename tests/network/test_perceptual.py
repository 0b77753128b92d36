"""The perceptual distance: what it is, and what it sees that pixels do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data as skimage_data
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from hybridface.errors import UsageError
from hybridface.network.imagenet import imagenet_network
from hybridface.network.perceptual import PerceptualDistance

LITE0 = "tf_efficientnet_lite0"


@pytest.fixture(scope="module")
def distance() -> PerceptualDistance:
    return PerceptualDistance(LITE0, 112, (2, 0, 1))


@pytest.fixture(scope="module")
def faces() -> Tensor:
    """The astronaut's face in four crops, ``(4, 3, 48, 48)``."""
    image = torch.from_numpy(skimage_data.astronaut()).permute(2, 0, 1)[None].float() / 255
    starts = ((60, 170), (60, 180), (70, 170), (70, 180))
    crops = [image[..., y : y + 96, x : x + 96] for y, x in starts]
    return F.interpolate(torch.cat(crops), (48, 48), mode="area")


@torch.no_grad()
def test_it_is_what_a_slow_sum_gives(distance: PerceptualDistance, faces: Tensor) -> None:
    network = imagenet_network(LITE0, num_classes=0).eval()

    def maps(images: Tensor) -> list[np.ndarray]:
        seen = F.interpolate(images, (112, 112), mode="bilinear") * 2 - 1
        return [m.double().numpy() for m in network.forward_intermediates(seen)[1][:3]]

    one, other = maps(faces[:2]), maps(faces[2:])
    for row, found in enumerate(distance(faces[:2], faces[2:]).tolist()):
        by_depth = []
        for a, b in zip(one, other, strict=True):
            places = []
            for y, x in np.ndindex(a.shape[2:]):
                u, v = a[row, :, y, x], b[row, :, y, x]
                u, v = u / max(np.linalg.norm(u), 1e-6), v / max(np.linalg.norm(v), 1e-6)
                places.append(np.sum((u - v) ** 2))
            by_depth.append(np.mean(places))
        assert found == pytest.approx(np.mean(by_depth), rel=1e-3)


def test_equal_pictures_are_not_apart(distance: PerceptualDistance, faces: Tensor) -> None:
    assert distance(faces, faces).tolist() == [0, 0, 0, 0]


def test_gradients_reach_the_picture_alone(distance: PerceptualDistance, faces: Tensor) -> None:
    filled, truth = (faces * 0.9).requires_grad_(), faces.clone().requires_grad_()
    distance.train()(filled, truth).sum().backward()
    assert filled.grad is not None
    assert bool((filled.grad != 0).any())
    assert truth.grad is None
    assert all(parameter.grad is None for parameter in distance.parameters())
    assert not any(module.training for module in distance.modules())


@torch.no_grad()
def test_it_tells_a_blur_from_more_light_where_pixels_say_the_opposite(
    distance: PerceptualDistance, faces: Tensor
) -> None:
    blurred, lighter = gaussian_blur(faces, [13, 13], [2.0, 2.0]), (faces + 0.15).clamp(0, 1)
    errors = [(picture - faces).abs().mean((1, 2, 3)) for picture in (blurred, lighter)]
    assert bool((errors[0] < errors[1]).all())
    assert bool((distance(blurred, faces) > distance(lighter, faces)).all())


def test_only_small_pictures_are_enlarged_and_none_is_shrunk(distance: PerceptualDistance) -> None:
    sides: list[tuple[int, ...]] = []
    hook = distance.network.conv_stem.register_forward_pre_hook(
        lambda _, given: sides.append(tuple(given[0].shape[2:]))
    )
    for height, width in ((48, 48), (128, 128), (96, 128)):
        picture = torch.rand(1, 3, height, width)
        distance(picture, picture)
    hook.remove()
    assert sides[::2] == [(112, 112), (128, 128), (112, 112)]


@pytest.mark.parametrize("depth", [5, 7])
def test_a_depth_that_is_not_there_is_refused(depth: int) -> None:
    with pytest.raises(UsageError, match=rf"depths 0 to 4, so {depth} is none"):
        PerceptualDistance(LITE0, 112, (0, depth))
