"""Components of a graph by numpy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


def merge_groups(count: int, columns: Sequence[Ids]) -> Ids:
    """Number rows so that those share a number that share an id in any of several columns.

    Args:
        count: How many rows.
        columns: ``(count,)`` ids each; negative ones are shared with nobody.

    Returns:
        ``(count,)`` ids from 0.
    """
    labels = np.arange(count, dtype=np.int64)
    for ids in columns:
        rows = np.flatnonzero(ids >= 0)
        _, place, number = np.unique(ids[rows], return_index=True, return_inverse=True)
        labels = components(labels, rows[place][number], rows)
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def components(labels: Ids, first: Ids, second: Ids) -> Ids:
    """Join components of a graph by edges.

    Args:
        labels: ``(N,)`` the smallest node of each node's component so far, ``arange(N)`` for none.
        first: ``(E,)`` one end of each edge.
        second: ``(E,)`` the other end.

    Returns:
        ``(N,)`` the smallest node of the component that each node is in now.
    """
    labels = labels.copy()
    while True:
        a, b = labels[first], labels[second]
        if (a == b).all():
            return labels
        low = np.minimum(a, b)
        np.minimum.at(labels, a, low)
        np.minimum.at(labels, b, low)
        while not np.array_equal(labels, further := labels[labels]):
            labels = further
