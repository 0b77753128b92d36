"""Columns of numbers: how they lie, and bins of them that balance cuts as classes do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 10
ROWS_A_BIN = 25


def quantile_bins(values: NDArray[np.floating[Any]], count: int | None = None) -> NDArray[np.int64]:
    """Put rows with numbers into bins of about equal size, which then balance cuts as classes do.

    The bins are those of the first column. Rows that lack that number but have another one share
    a bin of their own.

    Args:
        values: ``(N, K)``; NaN where a row has no such number.
        count: How many bins, fewer where many numbers are equal; where null ten, or as many as
            leave each 25 rows, so that a tenth of each can be cut.

    Returns:
        ``(N,)`` numbers of bins from 0, in the order of the numbers; -1 for rows without any.
    """
    first = values[:, 0]
    known = np.isfinite(first)
    if count is None:
        count = min(BINS, max(1, int(known.sum()) // ROWS_A_BIN))
    bins = np.where(np.isfinite(values).any(1), count, -1)
    if known.any():
        edges = np.quantile(first[known].astype(np.float64), np.arange(1, count) / count)
        bins[known] = np.searchsorted(edges, first[known].astype(np.float64), side="right")
    return bins.astype(np.int64)


def decimals_of_range(least: float | None, most: float | None) -> int:
    """Return with how many decimals numbers between two bounds are written: one, more within 1."""
    span = 0.0 if least is None or most is None else most - least
    return max(1, 1 - math.floor(math.log10(span))) if 0 < span < math.inf else 1


def describe(values: NDArray[np.float32]) -> dict[str, list[float | int | None]]:
    """Return how many numbers there are in each column of ``(N, K)``, and how they lie."""
    known = [each[np.isfinite(each)].astype(np.float64) for each in values.T]
    return {
        "count": [len(each) for each in known],
        "mean": [float(each.mean()) if len(each) else None for each in known],
        "deviation": [float(each.std()) if len(each) else None for each in known],
        "least": [float(each.min()) if len(each) else None for each in known],
        "most": [float(each.max()) if len(each) else None for each in known],
    }
