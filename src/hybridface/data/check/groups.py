"""Which pictures of one or several data sets are the same, exactly or nearly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridface.data.cache import Progress
from hybridface.data.check.graph import Ids, merge_groups
from hybridface.data.check.looks import Looks
from hybridface.data.check.similar import find_similar

ALONE = -1


@dataclass(frozen=True)
class Duplicates:
    """Groups among N pictures, as an id for each picture.

    Attributes:
        exact: ``(N,)`` the same for pictures of equal pixels; :data:`ALONE` for those without an
            equal.
        near: ``(N,)`` the same for pictures that are nearly equal, with those equal to them; a
            group has at least two different pictures. Else :data:`ALONE`.
        mirrored: ``(N,)`` bool, marks the near groups that a mirror image joins.
    """

    exact: Ids
    near: Ids
    mirrored: NDArray[np.bool_]


def find_duplicates(looks: Sequence[Looks], progress: Progress | None = None) -> Duplicates:
    """Find equal and nearly equal pictures among those of one or several data sets.

    Near goes on: where a is near b and b is near c, the three are one group.

    Args:
        looks: What :func:`hybridface.data.check.looks.open_looks` gave for each; their pictures
            are numbered through.
        progress: Called with (done, total) different pictures while they are compared.
    """
    digests = np.concatenate([each.digests for each in looks])
    exact, near = np.full((2, len(digests)), ALONE, dtype=np.int64)
    mirrored = np.zeros(len(digests), dtype=bool)
    rows = np.flatnonzero(np.concatenate([each.decoded for each in looks]))
    _, first, number, counts = np.unique(
        digests[rows], return_index=True, return_inverse=True, return_counts=True
    )
    exact[rows] = np.where(counts[number] > 1, number, ALONE)
    similar = find_similar(_pick(looks, rows[first]), progress)
    _, group, sizes = np.unique(similar.labels, return_inverse=True, return_counts=True)
    near[rows] = np.where(sizes[group] > 1, group, ALONE)[number]
    mirrored[rows] = np.isin(group, group[similar.mirrored])[number]
    return Duplicates(exact, near, mirrored)


def near_duplicate_ids(looks: Looks, progress: Progress | None = None) -> Ids:
    """Number pictures so that equal and nearly equal ones share a number.

    Args:
        looks: What :func:`hybridface.data.check.looks.open_looks` gave.
        progress: Called with (done, total) different pictures while they are compared.

    Returns:
        ``(N,)`` ids from 0; every other picture, also one that cannot be decoded, has its own.
    """
    found = find_duplicates([looks], progress)
    return merge_groups(len(looks), [found.exact, found.near])


def _pick(looks: Sequence[Looks], rows: Ids) -> NDArray[np.uint8]:
    """Return the small pictures of some rows of data sets numbered through."""
    bounds = np.cumsum([0, *map(len, looks)])
    small = np.empty((len(rows), *looks[0].small.shape[1:]), dtype=np.uint8)
    for number, each in enumerate(looks):
        here = (bounds[number] <= rows) & (rows < bounds[number + 1])
        small[here] = each.small[rows[here] - bounds[number]]
    return small
