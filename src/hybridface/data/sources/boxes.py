"""Boxes around faces, from points or tight boxes that data sets give. No kind of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Sides = tuple[float, float, float, float]
Floats = NDArray[np.float64]


def box_of(points: Floats) -> Floats:
    """Return the left, top, right and bottom ``(4,)`` of the known ones of some points.

    Args:
        points: ``(2, K)`` x and y in pixels; a point without a finite number is unknown.

    Returns:
        NaN where fewer than two points are known.
    """
    known = points[:, np.isfinite(points).all(axis=0)]
    if known.shape[1] < 2:
        return np.full(4, np.nan)
    return np.concatenate([known.min(axis=1), known.max(axis=1)])


def widen(boxes: Floats, sides: Sides) -> NDArray[np.float32]:
    """Widen boxes and make them square, so that the pictures cut to them keep their proportions.

    Args:
        boxes: ``(N, 4)`` left, top, right and bottom in pixels.
        sides: What is added at the left, top, right and bottom, as parts of a box's width or
            height. The shorter side then grows about its middle to the longer one.

    Returns:
        ``(N, 4)`` float32.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    size = high - low
    low, high = low - np.array(sides[:2]) * size, high + np.array(sides[2:]) * size
    middle, half = (low + high) / 2, (high - low).max(axis=1, keepdims=True) / 2
    return np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)
