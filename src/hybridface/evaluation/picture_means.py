"""Means over pictures with bootstrap intervals, by person where persons are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.evaluation.drawn_counts import drawn_times

DRAWS = 2000
SEED = 20170806

Floats = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Means:
    """The means of K figures over pictures, and what other pictures might have given.

    Attributes:
        values: ``(K,)``; NaN where no picture has the figure.
        draws: ``(D, K)`` the same of pictures drawn with replacement; no draw where there are
            fewer than two pictures, or persons.
    """

    values: Floats
    draws: Floats

    def figure(self, columns: int | list[int]) -> dict[str, Any]:
        """Return a figure, or the mean of several that are known, for JSON.

        Returns:
            ``{"value": …, "ci95": [low, high]}``, with None for what means nothing.
        """
        chosen = [columns] if isinstance(columns, int) else columns
        known = [column for column in chosen if np.isfinite(self.values[column])]
        if not known:
            return {"value": None, "ci95": None}
        value = float(self.values[known].mean())
        draws = self.draws[:, known].mean(axis=1)
        draws = draws[np.isfinite(draws)]
        if not len(draws):
            return {"value": value, "ci95": None}
        low, high = np.quantile(draws, [0.025, 0.975])
        return {"value": value, "ci95": [float(low), float(high)]}


def bootstrap_means(values: NDArray[np.floating[Any]], group: Index | None = None) -> Means:
    """Return the means of figures over pictures, with 2,000 bootstrap draws from a fixed seed.

    Args:
        values: ``(N, K)`` a figure of each picture; NaN where it has none.
        group: ``(N,)`` ids of persons, which are then drawn whole, or None.
    """
    known = np.isfinite(values)
    filled = np.where(known, values, 0).astype(np.float64)
    units = np.arange(len(values)) if group is None else np.unique(group, return_inverse=True)[1]
    count = int(units.max()) + 1 if len(units) else 0
    pairs = [(filled[:, k], known[:, k].astype(np.float64)) for k in range(values.shape[1])]
    sums, counts = (
        np.stack([np.bincount(units, weights=pair[part], minlength=count) for pair in pairs], 1)
        for part in (0, 1)
    )
    points = _divide(sums.sum(axis=0), counts.sum(axis=0))
    if count < 2:
        return Means(points, np.zeros((0, values.shape[1])))
    random = np.random.default_rng(SEED)
    draws = [_divide(times @ sums, times @ counts) for times in drawn_times(count, DRAWS, random)]
    return Means(points, np.concatenate(draws))


def _divide(sums: Floats, counts: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        quotients: Floats = np.where(counts > 0, sums / np.where(counts > 0, counts, 1), np.nan)
    return quotients
