"""Things in front of a face."""

from typing import Final

import numpy as np

from hybridface.data.drawn_faces.exact import Array, clip01, cos_turns, mixed, sin_turns
from hybridface.data.drawn_faces.looks import Colour, Looks
from hybridface.data.drawn_faces.parameters import FaceParameters
from hybridface.data.drawn_faces.scenery import muted, numbers, pixel_grid
from hybridface.data.drawn_faces.surface import POWER, exposure

_OCCLUDER: Final = 12  # stream of the random numbers
_OCCLUDED: Final = 0.18
"""Share of the faces that have something in front of them."""


def add_occluders(planes: list[Array], faces: FaceParameters, looks: Looks) -> None:
    """Put a hand, a bar, a scarf or strands of hair before some faces, in place.

    Args:
        planes: Red, green and blue (F, size, size), linear in light.
        faces: The F faces.
        looks: Their looks, for hair and skin.
    """
    chosen = faces.column("occluded")[:, 0] < _OCCLUDED
    kind = faces.column("occluder")[:, 0]
    draws = numbers(faces, _OCCLUDER, 16)
    level = (faces.between("light_power", *POWER) + 0.3) * exposure(faces, looks)
    level = level[..., None]
    size = planes[0].shape[1]
    makers = ((0.3, _hand), (0.5, _bar), (0.7, _scarf), (1.0, _locks))
    low = 0.0
    for high, maker in makers:
        rows = np.flatnonzero(chosen & (kind >= low) & (kind < high))
        low = high
        if not len(rows):
            continue
        n = [draw[rows] for draw in draws]
        tone = looks.hair if maker is _locks else looks.skin
        red, green, blue = (part[rows][..., None] for part in tone)
        alpha, shade, colour = maker(n, (red, green, blue), size)
        for plane, part in zip(planes, colour, strict=True):
            lit = part * shade
            plane[rows] = mixed(plane[rows], lit * lit * level[rows], alpha)


def _capsule(grid: tuple[Array, Array], start: Colour, end: tuple[Array, Array]) -> Array:
    """Return the depth inside a capsule from start (x, y, radius) to end (x, y)."""
    (x, y), (px, py, radius), (qx, qy) = grid, start, end
    dx, dy = qx - px, qy - py
    share = clip01(((x - px) * dx + (y - py) * dy) / (dx * dx + dy * dy + 1e-6))
    ex, ey = x - px - share * dx, y - py - share * dy
    depth: Array = radius - np.sqrt(ex * ex + ey * ey)
    return depth


def _hand(n: list[Array], tone: Colour, size: int) -> tuple[Array, Array, Colour]:
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
    return clip01(inside * size + 0.5), shade, tone


def _bar(n: list[Array], tone: Colour, size: int) -> tuple[Array, Array, Colour]:
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
        muted(n[5], n[6], 0.2 + 0.6 * n[7]),
    )


def _scarf(n: list[Array], tone: Colour, size: int) -> tuple[Array, Array, Colour]:
    """A scarf pulled up over the chin, and for some over the mouth."""
    x, y = pixel_grid(size)
    top = 0.8 + 0.14 * n[0] + (n[1] - 0.5) * 0.3 * (x - 0.5) - 0.25 * (x - 0.5) * (x - 0.5)
    fold = (y - top) * (9.0 + 8.0 * n[2]) + 2.0 * (x - 0.5) * (n[3] - 0.5)
    shade = 0.72 + 0.5 * np.abs(fold - np.floor(fold) - 0.5) + 0.0 * x
    return clip01((y - top) * size + 0.5), shade, muted(n[4], n[5], 0.25 + 0.65 * n[6])


def _locks(n: list[Array], tone: Colour, size: int) -> tuple[Array, Array, Colour]:
    """Locks of hair that hang over the face."""
    x, y = pixel_grid(size)
    alpha = 0.0 * (n[0] + x + y)
    for lock in range(4):
        start = 0.24 + 0.52 * n[1 + lock]
        curve = start + (n[5 + lock] - 0.5) * 0.6 * y + (n[9 + lock] - 0.5) * 0.5 * y * y
        end = 0.35 + 0.4 * n[(3 * lock) % 13]
        half = 0.024 * (1.0 - y / end)
        alpha = np.maximum(alpha, clip01((half - np.abs(x - curve)) * size + 0.5) * (y < end))
    return alpha, 0.9 + 0.0 * alpha, tone
