from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor

from conftest import picture_pixels
from hybridface import augment as augment_module
from hybridface.augment import STRENGTHS, Strength, augment
from hybridface.config import AugmentLevel

LEVELS: tuple[AugmentLevel, ...] = ("none", "weak", "strong")
LevelOf = Callable[..., None]
SEEDS = st.integers(0, 2**32 - 1)


def pictures(count: int = 6, size: int = 32, seed: int = 0) -> Tensor:
    pixels = [torch.tensor(picture_pixels(100 * seed + n, size)) for n in range(count)]
    return torch.stack(pixels).permute(0, 3, 1, 2)


def run(images: Tensor, level: AugmentLevel, seed: int = 0) -> Tensor:
    return augment(images, level, Generator().manual_seed(seed))


@pytest.fixture
def level_of(monkeypatch: pytest.MonkeyPatch) -> LevelOf:
    """Return a function that makes the level ``weak`` do one thing alone."""

    def set_level(**strength: float) -> None:
        monkeypatch.setitem(STRENGTHS, "weak", Strength(**strength))  # type: ignore[arg-type]

    return set_level


@given(st.sampled_from(LEVELS), st.integers(1, 4), st.integers(7, 40), st.integers(7, 40), SEEDS)
def test_any_batch_stays_a_batch_of_pictures(
    level: AugmentLevel, count: int, height: int, width: int, seed: int
) -> None:
    generator = Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, height, width), generator=generator).byte()
    before = images.clone()
    result = augment(images, level, generator)
    assert result.shape == images.shape
    assert result.dtype == torch.float32
    assert result.min() >= 0
    assert result.max() <= 1
    assert result.isfinite().all()
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)


@pytest.mark.parametrize("level", LEVELS)
def test_the_seed_decides(level: AugmentLevel) -> None:
    images = pictures(16)
    assert torch.equal(run(images, level, 1), run(images, level, 1))
    assert not torch.equal(run(images, level, 1), run(images, level, 2))


@pytest.mark.parametrize("level", LEVELS)
def test_each_picture_has_parameters_of_its_own(level: AugmentLevel) -> None:
    same = pictures(1).expand(32, -1, -1, -1)
    variants = len(run(same, level).flatten(1).unique(dim=0))
    assert variants == (2 if level == "none" else 32)


@pytest.mark.parametrize("level", LEVELS)
def test_a_picture_does_not_depend_on_its_neighbours(level: AugmentLevel) -> None:
    images = pictures(5)
    others = torch.cat([images[:2], 255 - images[2:]])
    assert torch.equal(run(images, level)[:2], run(others, level)[:2])


def test_none_flips_about_half_and_does_nothing_else() -> None:
    images = pictures(200, 8)
    plain = images.float() / 255
    result = run(images, "none")
    flipped = (result == plain.flip(-1)).flatten(1).all(1)
    kept = (result == plain).flatten(1).all(1)
    assert (flipped ^ kept).all()
    assert 70 <= flipped.sum() <= 130


@pytest.mark.parametrize("level", LEVELS)
def test_grey_stays_grey_but_for_noise(
    level: AugmentLevel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STRENGTHS, level, replace(STRENGTHS[level], noise=0))
    grey = pictures(24)[:, :1].expand(-1, 3, -1, -1)
    result = run(grey, level)
    assert (result - result[:, :1]).abs().max() < 1e-6


def test_a_plain_picture_stays_plain_when_moved() -> None:
    """Nothing from outside the picture comes in: what moves in at the border is its mirror."""
    images = torch.full((8, 3, 33, 33), 128, dtype=torch.uint8)
    result = run(images, "weak")
    torch.testing.assert_close(result, torch.full_like(result, 128 / 255))


def blob(size: int = 65, radius: float = 0.6, degrees: float = 0.0) -> Tensor:
    """Return a bright dot (1, 3, size, size) at an angle, anticlockwise from the right."""
    place = (torch.arange(size) + 0.5) / size * 2 - 1
    x, y = radius * math.cos(math.radians(degrees)), -radius * math.sin(math.radians(degrees))
    dot = torch.exp(-((place.view(1, -1) - x) ** 2 + (place.view(-1, 1) - y) ** 2) / 0.01)
    return (255 * dot).byte().expand(1, 3, -1, -1)


def angles_of(images: Tensor) -> Tensor:
    """Return where the bright dot of each picture is, in degrees, anticlockwise from the right."""
    size = images.shape[-1]
    place = (torch.arange(size) + 0.5) / size * 2 - 1
    mass = images[:, 0] / images[:, 0].sum((1, 2), keepdim=True)
    x, y = (mass.sum(1) * place).sum(1), -(mass.sum(2) * place).sum(1)
    return torch.rad2deg(torch.atan2(y, x))


@pytest.mark.parametrize("level", ["weak", "strong"])
def test_rotations_stay_within_the_stated_degrees(level: AugmentLevel, level_of: LevelOf) -> None:
    most = STRENGTHS[level].rotation
    level_of(rotation=most)
    images = blob(degrees=90).expand(400, -1, -1, -1)
    turned = angles_of(run(images, "weak")) - 90
    assert turned.abs().max() <= most + 0.5
    assert turned.min() < -0.9 * most
    assert turned.max() > 0.9 * most
    assert turned.abs().mean().item() == pytest.approx(most / 2, rel=0.15)


def test_a_flip_is_of_the_turned_picture_or_the_turn_of_a_flipped(level_of: LevelOf) -> None:
    """The dot at 0 degrees ends within the rotation of 0 or, flipped, of 180 degrees."""
    level_of(rotation=20)
    angles = angles_of(run(blob(degrees=0).expand(300, -1, -1, -1), "weak"))
    off = torch.minimum(angles.abs(), 180 - angles.abs())
    assert off.max() <= 20.5
    flipped = angles.abs() > 90
    assert 100 <= flipped.sum() <= 200
    for part in (angles[~flipped], angles[flipped]):
        assert (part > 0).sum() > 30
        assert (part < 0).sum() > 30


def test_a_moved_flip_is_the_mirror_of_a_move() -> None:
    """Flipped pictures vary as unflipped ones do: no side is preferred."""
    images = pictures(1, 33)
    symmetric = torch.cat([images, images.flip(-1)])
    turned = [F.interpolate(run(symmetric, "weak", seed), 9, mode="area") for seed in range(400)]
    mean = torch.stack(turned).mean((0, 1))
    torch.testing.assert_close(mean, mean.flip(-1), atol=0.03, rtol=0)


def test_zoom_and_shift_stay_within_bounds(level_of: LevelOf) -> None:
    level_of(shift=0.05)
    dot = blob(radius=0).expand(300, -1, -1, -1)
    result = run(dot, "weak")[:, 0]
    place = (torch.arange(65) + 0.5) / 65 - 0.5
    mass = result / result.sum((1, 2), keepdim=True)
    for across in ((mass.sum(1) * place).sum(1), (mass.sum(2) * place).sum(1)):
        assert across.abs().max() <= 0.0505
        assert across.min() < -0.045
        assert across.max() > 0.045


def test_brightness_and_contrast_stay_within_bounds(level_of: LevelOf) -> None:
    images = torch.full((300, 3, 16, 16), 100, dtype=torch.uint8)
    images[..., 8:] = 150
    level_of(brightness=0.2)
    change = run(images, "weak").mean((1, 2, 3)) - 125 / 255
    assert 0.19 < change.abs().max() <= 0.2001
    level_of(contrast=0.4)
    result = run(images, "weak")
    torch.testing.assert_close(result.mean((1, 2, 3)), torch.full((300,), 125 / 255))
    spread = (result.amax((1, 2, 3)) - result.amin((1, 2, 3))) / (50 / 255)
    assert 0.6 - 1e-4 <= spread.min() < 0.62
    assert 1.38 < spread.max() <= 1.4 + 1e-4


def test_cut_out_is_one_grey_square_of_the_stated_side(level_of: LevelOf) -> None:
    level_of(cutout=0.25)
    images = torch.full((200, 3, 64, 64), 255, dtype=torch.uint8)
    result = run(images, "weak")
    assert set(result.unique().tolist()) == {0.5, 1.0}
    for hole in result[:, 0] == 0.5:
        rows, columns = hole.any(1), hole.any(0)
        assert torch.equal(hole, rows.unsqueeze(1) & columns.unsqueeze(0))
        assert rows.sum() <= 0.25 * 1.2 * 64 + 1
        assert columns.sum() <= 0.25 * 1.2 * 64 + 1
    assert (result == 0.5).float().mean() < 0.25**2


def test_noise_is_of_the_stated_strength(level_of: LevelOf) -> None:
    level_of(noise=0.05)
    result = run(torch.full((100, 3, 32, 32), 128, dtype=torch.uint8), "weak")
    deviations = result.std((1, 2, 3))
    assert deviations.max() <= 0.053
    noisy = deviations[deviations > 0]
    assert 30 <= len(noisy) <= 70  # about half of the pictures
    assert noisy.mean().item() == pytest.approx(0.025, abs=0.005)


def test_blur_is_the_binomial_kernel() -> None:
    images = torch.rand(2, 3, 9, 9)
    kernel = torch.tensor([1.0, 4, 6, 4, 1]) / 16
    weights = torch.outer(kernel, kernel).expand(3, 1, 5, 5)
    expected = F.conv2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), weights, groups=3)
    torch.testing.assert_close(augment_module._binomial_blur(images), expected)


def test_part_of_the_pictures_loses_its_colour(level_of: LevelOf) -> None:
    level_of(grey=0.2)
    result = run(pictures(1, 8).expand(500, -1, -1, -1), "weak")
    grey = (result - result[:, :1]).abs().amax((1, 2, 3)) < 1e-6
    assert 60 <= grey.sum() <= 145
