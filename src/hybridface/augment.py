"""Augmentation by batch, on the device, each picture with its own random parameters.

The levels follow the public code of arXiv:2105.06421's authors: ``none`` flips; ``weak`` adds
rotation by up to 15 degrees, a random crop and contrast; ``strong`` rotates by up to 25 degrees,
crops wider and adds brightness, noise, blur, a down-up resize, grey and a cut-out of about a
quarter of the side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from hybridface import draws
from hybridface.config import AugmentLevel


@dataclass(frozen=True)
class Strength:
    """How far a level goes.

    Attributes:
        rotation: Largest rotation in degrees, either way.
        zoom: Smallest and largest side of the crop, as a part of the side.
        shift: Largest shift of the crop's centre, as a part of the side.
        contrast: Largest change of contrast, as a part; half of the pictures change.
        brightness: Largest change of brightness, of a range of 1; half of the pictures change.
        noise: Largest standard deviation of pixel noise; half get some. Drawn a channel,
            so that it is all the colour a grey picture gets.
        blur: Part of the pictures that is blurred.
        coarse: Part of the pictures that is resized to half and back.
        grey: Part of the pictures that loses its colour.
        cutout: Side of the hole as a part of the side; 0 for none.
    """

    rotation: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    coarse: float = 0.0
    grey: float = 0.0
    cutout: float = 0.0


STRENGTHS: dict[AugmentLevel, Strength] = {
    "none": Strength(),
    "weak": Strength(rotation=15, zoom=(0.85, 1.0), shift=0.05, contrast=0.2),
    "strong": Strength(
        rotation=25,
        zoom=(0.75, 1.1),
        shift=0.1,
        contrast=0.4,
        brightness=0.2,
        noise=0.05,
        blur=0.3,
        coarse=0.2,
        grey=0.2,
        cutout=0.25,
    ),
}


@dataclass(frozen=True)
class Geometry:
    """What augmentation did to the geometry of each picture, for labels that follow it.

    A picture is turned first, then flipped. How far it was zoomed and shifted is not said: a crop
    changes neither what a face is nor, but for perspective, how its head is posed.

    Attributes:
        turned: ``(B,)`` degrees by which it was turned in its plane, positive to the right.
        flipped: ``(B,)`` bool, whether it was flipped left to right.
    """

    turned: Tensor
    flipped: Tensor


def augment(images: Tensor, level: AugmentLevel, generator: Generator) -> Tensor:
    """Augment a batch; see :func:`augment_and_tell`, which gives the same pictures."""
    return augment_and_tell(images, level, generator)[0]


def augment_and_tell(
    images: Tensor, level: AugmentLevel, generator: Generator
) -> tuple[Tensor, Geometry]:
    """Augment a batch, and tell what was done to the geometry of each picture.

    Args:
        images: ``(B, 3, H, W)`` uint8 RGB.
        level: How strongly.
        generator: Source of every random number, on the CPU or on the images' device.

    Returns:
        ``(B, 3, H, W)`` float32 in [0, 1], ``channels_last``; and their geometry.
    """
    strength = STRENGTHS[level]
    pixels = images.float().div_(255)
    draw = _Draw(len(images), images.device, generator)
    pixels, geometry = _move(pixels, strength, draw)
    pixels = _recolour(pixels, strength, draw)
    pixels = _degrade(pixels, strength, draw)
    if strength.cutout:
        pixels = _cut_out(pixels, strength.cutout, draw)
    return pixels.clamp_(0, 1).contiguous(memory_format=torch.channels_last), geometry


class _Draw:
    """Random numbers, one a picture, shaped to broadcast over ``(B, C, H, W)``."""

    def __init__(self, count: int, device: torch.device, generator: Generator) -> None:
        self.count, self.device, self.generator = count, device, generator

    def uniform(self, low: float, high: float) -> Tensor:
        values = draws.rand(self.count, 1, 1, 1, generator=self.generator)
        return values.to(self.device, non_blocking=True).mul_(high - low).add_(low)

    def chance(self, probability: float) -> Tensor:
        return self.uniform(0, 1) < probability

    def sometimes(self, most: float) -> Tensor:
        """Return zero for about half of the pictures, else up to ``most`` either way."""
        return self.uniform(-most, most) * self.chance(0.5)

    def normal_like(self, images: Tensor) -> Tensor:
        values = draws.randn(*images.shape, generator=self.generator)
        return values.to(self.device, non_blocking=True)


def _move(images: Tensor, strength: Strength, draw: _Draw) -> tuple[Tensor, Geometry]:
    """Flip, rotate, zoom and shift in one resampling."""
    flip = 1 - 2 * draw.chance(0.5).float()
    flipped = flip.flatten() < 0
    if not strength.rotation and not strength.shift and strength.zoom == (1.0, 1.0):
        still = torch.zeros_like(flip).flatten()
        return torch.where(flip < 0, images.flip(-1), images), Geometry(still, flipped)
    angle = draw.uniform(-strength.rotation, strength.rotation) * (math.pi / 180)
    zoom = draw.uniform(*strength.zoom)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    right = draw.uniform(-2 * strength.shift, 2 * strength.shift)
    down = draw.uniform(-2 * strength.shift, 2 * strength.shift)
    matrix = torch.cat([cos * flip, -sin, right, sin * flip, cos, down], dim=-1).view(-1, 2, 3)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    # The grid says where a pixel comes from, so the picture turns the other way.
    return moved, Geometry(-angle.flatten() * (180 / math.pi), flipped)


def _recolour(images: Tensor, strength: Strength, draw: _Draw) -> Tensor:
    """Change contrast and brightness; take the colour of some."""
    if strength.contrast:
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = (images - mean) * (1 + draw.sometimes(strength.contrast)) + mean
    if strength.brightness:
        images = images + draw.sometimes(strength.brightness)
    if strength.grey:
        grey = 0.299 * images[:, :1] + 0.587 * images[:, 1:2] + 0.114 * images[:, 2:]
        images = torch.where(draw.chance(strength.grey), grey, images)
    return images


def _degrade(images: Tensor, strength: Strength, draw: _Draw) -> Tensor:
    """Blur some, resize some to half and back, add noise."""
    if strength.blur:
        amount = draw.uniform(0, 1) * draw.chance(strength.blur)
        images = torch.lerp(images, _binomial_blur(images), amount)
    if strength.coarse:
        half = F.avg_pool2d(images, 2, ceil_mode=True)
        back = F.interpolate(half, images.shape[-2:], mode="bilinear", align_corners=False)
        images = torch.where(draw.chance(strength.coarse), back, images)
    if strength.noise:
        images = images + draw.normal_like(images) * draw.sometimes(strength.noise)
    return images


def _binomial_blur(images: Tensor) -> Tensor:
    """Blur with the separable kernel (1, 4, 6, 4, 1) / 16."""
    padded = F.pad(images, (2, 2, 2, 2), mode="reflect")
    for dim in (-1, -2):
        size = padded.shape[dim] - 4
        a, b, c, d, e = (padded.narrow(dim, start, size) for start in range(5))
        padded = (a + e) / 16 + (b + d) / 4 + c * 0.375
    return padded


def _cut_out(images: Tensor, side: float, draw: _Draw) -> Tensor:
    """Replace a square of each picture by grey (DeVries and Taylor, arXiv:1708.04552)."""
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device).view(1, 1, height, 1) / height
    columns = torch.arange(width, device=images.device).view(1, 1, 1, width) / width
    half = side * draw.uniform(0.6, 1.2) / 2
    inside = ((rows - draw.uniform(0, 1)).abs() < half) & (
        (columns - draw.uniform(0, 1)).abs() < half
    )
    return images.masked_fill(inside, 0.5)
