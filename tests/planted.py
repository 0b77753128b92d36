"""Copies of a face as they come about: encoded again, resized, cut, brightened, mirrored."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps

Change = Callable[[Image.Image], Image.Image]


def encoded(image: Image.Image, quality: int = 80) -> Image.Image:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return Image.open(out).convert("RGB")


def resized(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BILINEAR)


def cropped(image: Image.Image) -> Image.Image:
    edge = round(0.03 * image.width)
    return image.crop((edge, edge, image.width - edge, image.height - edge))


def shifted(image: Image.Image) -> Image.Image:
    edge = round(0.04 * image.width)
    return image.crop((edge, edge, image.width, image.height))


def brightened(image: Image.Image) -> Image.Image:
    return image.point(lambda level: round(min(255, 1.15 * level + 8)))


def turned(image: Image.Image) -> Image.Image:
    return image.rotate(2, Image.Resampling.BILINEAR)


def mirrored(image: Image.Image) -> Image.Image:
    return ImageOps.mirror(image)


CHANGES: dict[str, Change] = {
    each.__name__: each
    for each in (encoded, resized, cropped, shifted, brightened, turned, mirrored)
}


def changed(pixels: np.ndarray, name: str) -> np.ndarray:
    """Return a changed copy of a picture, ``(H, W, 3)`` uint8."""
    return np.asarray(CHANGES[name](Image.fromarray(pixels)))
