"""Several claims at once: p values corrected for their number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected by Holm's step-down method, in the order given.

    Whatever holds of the claims together, the chance to call any true null hypothesis false at a
    corrected p value of at most 0.05 is at most 5 % (Holm 1979, "A simple sequentially rejective
    multiple test procedure").

    Args:
        p_values: One for each claim, from 0 to 1; NaN where nothing could be tested, which counts
            as a claim all the same and stays NaN.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values)  # NaN last
    weights = np.arange(len(values), 0, -1)
    stepped = np.minimum(1, np.maximum.accumulate(values[order] * weights))
    corrected = np.empty_like(values)
    corrected[order] = stepped
    return [float(value) for value in corrected]
