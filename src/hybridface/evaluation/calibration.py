"""How far a model's confidence can be believed: accuracy beside confidence, by bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15


@dataclass(frozen=True, eq=False)
class Reliability:
    """Predictions by how sure they are, in M bins of equal width from 0 to 1.

    Attributes:
        counts: ``(M,)`` int64 predictions in each bin.
        right: ``(M,)`` int64, how many of them are right.
        expected: ``(M,)`` float64, how many would be right were the confidence true: its sum.
    """

    counts: NDArray[np.int64]
    right: NDArray[np.int64]
    expected: NDArray[np.float64]

    @property
    def edges(self) -> NDArray[np.float64]:
        """The ``(M + 1,)`` bounds of the bins; a bin holds its upper one, the first also 0."""
        return _edges(len(self.counts))

    @property
    def error(self) -> float:
        """The expected calibration error, from 0 to 1 (Guo et al., "On Calibration", ICML 2017).

        ``sum over bins of (predictions in the bin / N) * |accuracy - mean confidence|``.
        """
        return float(np.abs(self.right - self.expected).sum() / self.counts.sum())


def reliability(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = BINS
) -> Reliability:
    """Sort predictions into bins of equal width ``(low, high]``, of which the first holds 0 too.

    torchmetrics is not used here: its bins are ``[low, high)``, with all confidences of exactly 1
    in a sixteenth bin of their own, and float32 softmax gives many of those.

    Args:
        confidence: ``(N,)`` probability of the predicted class, in [0, 1].
        correct: ``(N,)`` whether the predicted class is the true one.
        bins: How many bins.
    """
    place = np.searchsorted(_edges(bins)[1:-1], confidence, side="left")

    def summed(values: NDArray[Any] | None = None) -> NDArray[Any]:
        return np.bincount(place, weights=values, minlength=bins)

    return Reliability(summed(), summed(correct).astype(np.int64), summed(confidence))


def _edges(bins: int) -> NDArray[np.float64]:
    return np.linspace(0, 1, bins + 1)
