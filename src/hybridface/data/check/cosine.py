"""The discrete cosine transform of many small pictures at once, in numpy alone."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@cache
def cosines(side: int, count: int) -> Floats:
    """Return the first ``count`` rows of the orthonormal DCT-II of ``side`` values."""
    place = (np.arange(side) + 0.5) * np.pi / side
    rows = np.sqrt(2 / side) * np.cos(np.arange(count)[:, None] * place)
    rows[0] /= np.sqrt(2)
    first: Floats = rows.astype(np.float32)
    return first


def sharpened(pictures: Floats, count: int, power: float) -> Floats:
    """Return low frequencies of pictures, each coefficient times its frequency to some power.

    Args:
        pictures: ``(N, S, S)``.
        count: How many frequencies in each direction.
        power: 0 leaves them as they are, 1 evens out the 1/f spectrum of natural pictures.

    Returns:
        ``(N, count, count)`` coefficients, 0 for the mean.
    """
    rows = cosines(pictures.shape[-1], count)
    frequency = np.hypot(np.arange(count)[:, None], np.arange(count))
    weights = np.where(frequency > 0, np.maximum(frequency, 1) ** power, 0).astype(np.float32)
    terms = rows @ pictures @ rows.T * weights
    weighed: Floats = terms.astype(np.float32, copy=False)
    return weighed
