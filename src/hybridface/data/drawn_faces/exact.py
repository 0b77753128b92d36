"""Arithmetic that gives the same bits on every machine.

Only elementwise ``+ - * /``, ``sqrt``, comparisons, rounding, integer operations and indexing are
used here and in the modules that draw: NumPy's transcendental functions, matrix products and
floating-point reductions may differ in the last bit from one processor to the next.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Keys: TypeAlias = NDArray[np.uint64]
Array: TypeAlias = NDArray[Any]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SIN_TERMS = (-1 / 1307674368000, 1 / 6227020800, -1 / 39916800, 1 / 362880, -1 / 5040, 1 / 120)


def mix(value: Keys) -> Keys:
    """Return SplitMix64's finaliser of each element: a good 64-bit hash."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def keys(seed: int, stream: int, index: NDArray[np.int64]) -> Keys:
    """Return one hash key (N,) for each index (N,) of the numbered stream of a seed."""
    root = mix(np.array([seed], dtype=np.uint64) + _GOLDEN * np.array([stream + 1], np.uint64))
    return mix(root + _GOLDEN * index.astype(np.uint64))


def uniforms(key: Keys, count: int) -> NDArray[np.float64]:
    """Return (N, count) numbers in [0, 1), column k being the same however many are drawn."""
    steps = _GOLDEN * np.arange(1, count + 1, dtype=np.uint64)
    bits = mix(key[:, None] + steps) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


def noise(key: Keys, count: int) -> NDArray[np.float32]:
    """Return (N, count) noise of mean 0 and deviation 1: the sum of three uniform numbers."""
    steps = _GOLDEN * np.arange(1, count + 1, dtype=np.uint64)
    bits = mix(key[:, None] + steps)
    mask = np.uint64(0x1FFFFF)
    total = (bits & mask) + ((bits >> np.uint64(21)) & mask) + (bits >> np.uint64(43))
    result: NDArray[np.float32] = (total.astype(np.int64) - 3 * 2**20).astype(np.float32)
    result *= np.float32(2.0**-20)
    return result


def sin_turns(turns: Array) -> Array:
    """Return the sine of an angle given in whole turns, to about 1e-11."""
    t = turns - np.floor(turns + 0.5)
    t = np.where(t > 0.25, 0.5 - t, np.where(t < -0.25, -0.5 - t, t))
    x = t * 6.283185307179586
    square = x * x
    total = square * _SIN_TERMS[0] + _SIN_TERMS[1]
    for term in _SIN_TERMS[2:]:
        total = total * square + term
    return x + x * square * (total * square - 1 / 6)


def cos_turns(turns: Array) -> Array:
    """Return the cosine of an angle given in whole turns."""
    return sin_turns(turns + 0.25)


def clip01(value: Array) -> Array:
    """Return the values limited to [0, 1]."""
    return np.minimum(np.maximum(value, 0.0), 1.0)


def smoothstep(low: float, high: float, value: Array) -> Array:
    """Return 0 at or below low and 1 at or above high (low > high: the reverse), smooth between."""
    t = clip01((value - low) * (1.0 / (high - low)))
    result: Array = t * t * (3.0 - 2.0 * t)
    return result


def bump(dx: Array, dy: Array) -> Array:
    """Return a round hill: 1 at (0, 0), 0 at and beyond the unit circle."""
    t = np.maximum(1.0 - dx * dx - dy * dy, 0.0)
    result: Array = t * t
    return result


def mixed(low: Array | float, high: Array | float, share: Array | float) -> Array:
    """Return the straight-line blend ``low + (high - low) * share``."""
    blend: Any = low + (high - low) * share
    return np.asarray(blend)
