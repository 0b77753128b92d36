"""What is behind a face, and the camera's faults."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hybridface.data.drawn_faces.exact import (
    Array,
    clip01,
    cos_turns,
    keys,
    mixed,
    noise,
    sin_turns,
    smoothstep,
    uniforms,
)
from hybridface.data.drawn_faces.looks import Colour, hue_colour
from hybridface.data.drawn_faces.parameters import FaceParameters

_BACKGROUND, _GRAIN = 11, 13


def pixel_grid(size: int) -> tuple[Array, Array]:
    """Return x (1, 1, size) and y (1, size, 1) of pixel centres in picture widths."""
    middle = ((np.arange(size) + 0.5) / size).astype(np.float32)
    return middle[None, None, :], middle[None, :, None]


def numbers(faces: FaceParameters, stream: int, count: int) -> list[Array]:
    """Return `count` arrays (F, 1, 1) from 0 to 1."""
    table = uniforms(keys(faces.seed, stream, faces.index), count).astype(np.float32)
    return [table[:, k, None, None] for k in range(count)]


def muted(hue: Array, strength: Array, level: Array) -> Colour:
    """Return a colour of a hue, strength and level from 0 to 1, not too bright."""
    red, green, blue = (mixed(1.0, part, strength * 0.6) * level for part in hue_colour(hue))
    return red, green, blue


def background(faces: FaceParameters, size: int) -> Colour:
    """Return backgrounds (F, size, size), linear in light: a gradient, a pattern and clutter."""
    n = iter(numbers(faces, _BACKGROUND, 48))
    x, y = pixel_grid(size)
    turn = next(n)
    along = cos_turns(turn) * (x - 0.5) + sin_turns(turn) * (y - 0.5)
    share = clip01(along + 0.5)
    first = muted(next(n), next(n), 0.12 + 0.85 * next(n))
    second = muted(next(n), next(n), 0.12 + 0.85 * next(n))
    planes = [mixed(a, b, share) for a, b in zip(first, second, strict=True)]
    kind, strength = next(n), 0.1 + 0.3 * next(n)
    across = cos_turns(turn) * (y - 0.5) - sin_turns(turn) * (x - 0.5)
    period = 3.0 + 7.0 * next(n)
    wave, weave = along * period, across * period
    wave, weave = np.abs(wave - np.floor(wave) - 0.5), np.abs(weave - np.floor(weave) - 0.5)
    stripes = smoothstep(0.2, 0.3, wave)
    blobs = smoothstep(0.1, 0.5, wave * weave * 4.0)
    pattern = np.where(kind < 0.35, 0.0, np.where(kind < 0.55, stripes, blobs))
    planes = [plane * (1.0 - strength * pattern) for plane in planes]
    clutter = kind > 0.4
    for _ in range(3):
        planes = _thing(planes, n, clutter, (x, y), size)
    red, green, blue = (plane * plane for plane in planes)
    return red, green, blue


def _thing(
    planes: list[Array], n: Iterator[Array], wanted: Array, grid: tuple[Array, Array], size: int
) -> list[Array]:
    """Lay a tilted rectangle or a disc over the background where it is wanted."""
    x, y = grid
    dx, dy, turn = x - next(n), y - next(n), next(n)
    c, s = cos_turns(turn), sin_turns(turn)
    wide, high = 0.06 + 0.25 * next(n), 0.06 + 0.35 * next(n)
    a, b = np.abs(c * dx + s * dy) / wide, np.abs(c * dy - s * dx) / high
    inside = np.where(next(n) < 0.5, 1.0 - np.maximum(a, b), 1.0 - np.sqrt(a * a + b * b))
    alpha = clip01(inside * wide * (size / 2.0)) * wanted
    colour = muted(next(n), next(n), 0.1 + 0.8 * next(n))
    return [mixed(plane, part, alpha) for plane, part in zip(planes, colour, strict=True)]


def develop(planes: list[Array], faces: FaceParameters) -> NDArray[np.uint8]:
    """Return uint8 pictures (F, size, size, 3) from linear planes: blur, tone, grain.

    Args:
        planes: Red, green and blue (F, size, size), linear in light, 1 being white.
        faces: The F faces.
    """
    count, size = planes[0].shape[:2]
    blur = np.maximum(faces.between("blur", -0.6, 0.5), 0.0)[..., None] * min(1.0, size / 64 + 0.25)
    gain = faces.between("exposure", 0.85, 1.15)[..., None]
    contrast = faces.between("contrast", 0.85, 1.15)[..., None]
    colourful = faces.between("saturation", 0.35, 1.15)[..., None]
    grain = np.maximum(faces.between("noise", -0.01, 0.02), 0.004)[..., None]
    light = [_blurred(plane, blur) * gain for plane in planes]
    tones = [np.sqrt(part * 1.2 / (1.0 + 0.3 * part)) for part in light]
    grey = 0.3 * tones[0] + 0.59 * tones[1] + 0.11 * tones[2]
    speckle = noise(keys(faces.seed, _GRAIN, faces.index), 3 * size * size)
    result = np.empty((count, size, size, 3), dtype=np.uint8)
    for k, tone in enumerate(tones):
        dots = speckle[:, k * size * size : (k + 1) * size * size].reshape(tone.shape)
        value = grey + colourful * (tone - grey)
        value = (value - 0.5) * contrast + 0.5 + grain * dots
        result[..., k] = (clip01(value) * 255.0 + 0.5).astype(np.uint8)
    return result


def _blurred(plane: Array, amount: Array) -> Array:
    """Blend a plane (F, S, S) with the mean of each pixel's neighbours, rows then columns."""
    for axis in (1, 2):
        lines = np.moveaxis(plane, axis, 0)
        near = np.concatenate([lines[:1], lines[:-1]])
        far = np.concatenate([lines[1:], lines[-1:]])
        share = amount[None, :, 0]
        plane = np.moveaxis(lines + share * 0.5 * ((near + far) * 0.5 - lines), 0, axis)
    return plane
