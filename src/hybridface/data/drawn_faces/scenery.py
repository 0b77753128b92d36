"""What surrounds a face: the background, things in front of it and the camera's faults."""

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
from hybridface.data.drawn_faces.looks import Colour, Looks, hue_colour
from hybridface.data.drawn_faces.parameters import FaceParameters

_BACKGROUND, _OCCLUDER, _GRAIN = 11, 12, 13
_OCCLUDED = 0.2
"""Share of the faces that have something in front of them."""


def pixel_grid(size: int) -> tuple[Array, Array]:
    """Return x (1, 1, size) and y (1, size, 1) of pixel centres in picture widths."""
    middle = ((np.arange(size) + 0.5) / size).astype(np.float32)
    return middle[None, None, :], middle[None, :, None]


def _numbers(faces: FaceParameters, stream: int, count: int) -> list[Array]:
    """Return `count` arrays (F, 1, 1) from 0 to 1."""
    table = uniforms(keys(faces.seed, stream, faces.index), count).astype(np.float32)
    return [table[:, k, None, None] for k in range(count)]


def _muted(hue: Array, strength: Array, level: Array) -> Colour:
    red, green, blue = hue_colour(hue)
    return tuple(mixed(1.0, part, strength * 0.6) * level for part in (red, green, blue))  # type: ignore[return-value]


def background(faces: FaceParameters, size: int) -> Colour:
    """Return backgrounds (F, size, size), linear in light: a gradient, a pattern and clutter."""
    n = iter(_numbers(faces, _BACKGROUND, 48))
    x, y = pixel_grid(size)
    turn = next(n)
    along = cos_turns(turn) * (x - 0.5) + sin_turns(turn) * (y - 0.5)
    share = clip01(along + 0.5)
    first = _muted(next(n), next(n), 0.12 + 0.85 * next(n))
    second = _muted(next(n), next(n), 0.12 + 0.85 * next(n))
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
    planes: list[Array], n: "object", wanted: Array, grid: tuple[Array, Array], size: int
) -> list[Array]:
    """Lay a tilted rectangle or a disc over the background where it is wanted."""
    draw = lambda: next(n)  # type: ignore[call-overload]  # noqa: E731
    x, y = grid
    dx, dy, turn = x - draw(), y - draw(), draw()
    c, s = cos_turns(turn), sin_turns(turn)
    wide, high = 0.06 + 0.25 * draw(), 0.06 + 0.35 * draw()
    a, b = np.abs(c * dx + s * dy) / wide, np.abs(c * dy - s * dx) / high
    inside = np.where(draw() < 0.5, 1.0 - np.maximum(a, b), 1.0 - np.sqrt(a * a + b * b))
    alpha = clip01(inside * wide * (size / 2.0)) * wanted
    colour = _muted(draw(), draw(), 0.1 + 0.8 * draw())
    return [mixed(plane, part, alpha) for plane, part in zip(planes, colour, strict=True)]


def add_occluders(planes: list[Array], faces: FaceParameters, looks: Looks) -> None:
    """Put a hand, a bar, a scarf or strands of hair before some faces, in place.

    Args:
        planes: Red, green and blue (F, size, size), linear in light.
        faces: The F faces.
        looks: Their looks, for hair and skin.
    """
    chosen = faces.column("occluded")[:, 0] < _OCCLUDED
    kind = faces.column("occluder")[:, 0]
    draws = _numbers(faces, _OCCLUDER, 16)
    level = (faces.between("light_power", 0.4, 0.95) + 0.3)[..., None]
    size = planes[0].shape[1]
    makers = ((0.3, _hand), (0.5, _bar), (0.7, _scarf), (1.0, _locks))
    low = 0.0
    for high, maker in makers:
        rows = np.flatnonzero(chosen & (kind >= low) & (kind < high))
        low = high
        if not len(rows):
            continue
        n = [draw[rows] for draw in draws]
        own = {"skin": looks.skin, "hair": looks.hair}
        tones = {name: tuple(c[rows][..., None] for c in colour) for name, colour in own.items()}
        alpha, shade, colour = maker(n, tones, size)
        for plane, part in zip(planes, colour, strict=True):
            lit = part * shade
            plane[rows] = mixed(plane[rows], lit * lit * level[rows], alpha)


def _capsule(grid: tuple[Array, Array], start: Colour, end: tuple[Array, Array]) -> Array:
    """Return the depth inside a capsule from start (x, y, radius) to end (x, y)."""
    (x, y), (px, py, radius), (qx, qy) = grid, start, end
    dx, dy = qx - px, qy - py
    share = clip01(((x - px) * dx + (y - py) * dy) / (dx * dx + dy * dy + 1e-6))
    ex, ey = x - px - share * dx, y - py - share * dy
    return radius - np.sqrt(ex * ex + ey * ey)


def _hand(n: list[Array], tones: dict[str, Colour], size: int) -> tuple[Array, Array, Colour]:
    """A hand that reaches in from a lower corner or side."""
    grid = pixel_grid(size)
    side = np.where(n[0] < 0.5, np.float32(-1.0), np.float32(1.0))
    px, py = 0.5 + side * (0.2 + 0.16 * n[1]), 0.62 + 0.3 * n[2]
    turn = -0.25 - side * (0.02 + 0.14 * n[3])
    reach = 0.17 + 0.07 * n[4]
    wide = 0.033 + 0.01 * n[5]
    depth = _capsule(grid, (px, py, wide * 2.6), (px + side * 0.1, py + 0.5))
    shade = clip01(0.55 + depth * (0.45 / 0.09))
    inside = depth
    for finger in range(4):
        lean = turn + (finger - 1.5) * (0.022 + 0.03 * n[6])
        bx = px + cos_turns(turn + 0.25) * (finger - 1.5) * wide * 1.5
        by = py + sin_turns(turn + 0.25) * (finger - 1.5) * wide * 1.5
        long = reach * (1.0 - 0.12 * (finger - 1.5) * (finger - 1.5) * 0.5)
        tip = (bx + cos_turns(lean) * long, by + sin_turns(lean) * long)
        depth = _capsule(grid, (bx, by, wide), tip)
        shade = np.where(depth > 0, clip01(0.5 + depth / wide * 0.5), shade)
        inside = np.maximum(inside, depth)
    return clip01(inside * size + 0.5), shade, tones["skin"]


def _bar(n: list[Array], tones: dict[str, Colour], size: int) -> tuple[Array, Array, Colour]:
    """A straight bar, such as a pole or a door's edge."""
    x, y = pixel_grid(size)
    turn = 0.25 * np.floor(n[0] * 2.0) + (n[1] - 0.5) * 0.16
    offset = np.where(n[2] < 0.5, -0.3 + 0.24 * n[3], 0.06 + 0.24 * n[3])
    across = cos_turns(turn) * (x - 0.5) + sin_turns(turn) * (y - 0.5) - offset
    half = 0.03 + 0.045 * n[4]
    depth = half - np.abs(across)
    return (
        clip01(depth * size + 0.5),
        0.8 + 0.25 * across / half,
        _muted(n[5], n[6], 0.2 + 0.6 * n[7]),
    )


def _scarf(n: list[Array], tones: dict[str, Colour], size: int) -> tuple[Array, Array, Colour]:
    """A scarf pulled up over the chin, and for some over the mouth."""
    x, y = pixel_grid(size)
    top = 0.8 + 0.14 * n[0] + (n[1] - 0.5) * 0.3 * (x - 0.5) - 0.25 * (x - 0.5) * (x - 0.5)
    fold = (y - top) * (9.0 + 8.0 * n[2]) + 2.0 * (x - 0.5) * (n[3] - 0.5)
    shade = 0.72 + 0.5 * np.abs(fold - np.floor(fold) - 0.5) + 0.0 * x
    return clip01((y - top) * size + 0.5), shade, _muted(n[4], n[5], 0.25 + 0.65 * n[6])


def _locks(n: list[Array], tones: dict[str, Colour], size: int) -> tuple[Array, Array, Colour]:
    """Locks of hair that hang over the face."""
    x, y = pixel_grid(size)
    alpha = 0.0 * (n[0] + x + y)
    for lock in range(4):
        start = 0.24 + 0.52 * n[1 + lock]
        curve = start + (n[5 + lock] - 0.5) * 0.6 * y + (n[9 + lock] - 0.5) * 0.5 * y * y
        end = 0.35 + 0.4 * n[(3 * lock) % 13]
        half = 0.024 * (1.0 - y / end)
        alpha = np.maximum(alpha, clip01((half - np.abs(x - curve)) * size + 0.5) * (y < end))
    return alpha, 0.9 + 0.0 * alpha, tones["hair"]


def develop(planes: list[Array], faces: FaceParameters) -> NDArray[np.uint8]:
    """Return uint8 pictures (F, size, size, 3) from linear planes: blur, tone, grain.

    Args:
        planes: Red, green and blue (F, size, size), linear in light, 1 being white.
        faces: The F faces.
    """
    count, size = planes[0].shape[:2]
    blur = np.maximum(faces.between("blur", -0.6, 0.6), 0.0)[..., None] * min(1.0, size / 64 + 0.25)
    gain = faces.between("exposure", 0.85, 1.25)[..., None]
    contrast = faces.between("contrast", 0.75, 1.15)[..., None]
    colourful = faces.between("saturation", 0.35, 1.15)[..., None]
    grain = np.maximum(faces.between("noise", -0.01, 0.025), 0.004)[..., None]
    tones = [np.sqrt(np.minimum(_blurred(plane, blur) * gain, 1.6)) for plane in planes]
    grey = 0.3 * tones[0] + 0.59 * tones[1] + 0.11 * tones[2]
    speckle = noise(keys(faces.seed, _GRAIN, faces.index), 3 * size * size)
    result = np.empty((count, size, size, 3), dtype=np.uint8)
    for k, tone in enumerate(tones):
        dots = speckle[:, k * size * size : (k + 1) * size * size].reshape(tone.shape)
        tone = grey + colourful * (tone - grey)
        tone = (tone - 0.5) * contrast + 0.5 + grain * dots
        result[..., k] = (clip01(tone) * 255.0 + 0.5).astype(np.uint8)
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
