"""Cuts of a data set: by person where known, else per class; always from a seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hybridface.errors import UsageError

Index = NDArray[np.int64]


def assign_folds(ids: Index, group: Index | None, count: int, seed: int) -> Index:
    """Assign every row to one of ``count`` folds.

    Groups (persons) stay whole and folds are made equal in rows; without groups each class is
    spread evenly over the folds.

    Args:
        ids: ``(N,)`` class ids; rows without a label (negative) form a class of their own.
        group: ``(N,)`` group ids or None.
        count: How many folds.
        seed: Decides the assignment.

    Returns:
        ``(N,)`` fold numbers from 0.
    """
    random = np.random.default_rng([seed, 1])
    fold = np.zeros(len(ids), dtype=np.int64)
    if group is None:
        start = 0
        for value in np.unique(ids):
            members = random.permutation(np.flatnonzero(ids == value))
            fold[members] = (np.arange(len(members)) + start) % count
            start += len(members)
        return fold
    values, inverse, sizes = np.unique(group, return_inverse=True, return_counts=True)
    filled = np.zeros(count, dtype=np.int64)
    fold_of_group = np.zeros(len(values), dtype=np.int64)
    shuffled = random.permutation(len(values))
    for number in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold_of_group[number] = filled.argmin()
        filled[fold_of_group[number]] += sizes[number]
    return fold_of_group[inverse]


def official_folds(source: str, folds: Index | None, count: int) -> Index:
    """Return the folds of a data set's own protocol, where they are what a recipe expects.

    Args:
        source: The data set as the recipe names it, for errors.
        folds: ``(N,)`` fold numbers from 0, negative for rows in none; None without a protocol.
        count: How many folds the recipe expects.

    Raises:
        UsageError: The data set has no folds of its own, or another number of them.
    """
    if folds is None:
        raise UsageError(
            f"data.folds.official: {source} has no folds of its own; leave the key out, and folds "
            "are drawn from data.folds.seed, each person in one of them where persons are known"
        )
    found = int(folds.max(initial=-1)) + 1
    if found != count:
        raise UsageError(
            f"data.folds.count: {source} has {found} folds of its own, expected {count}: say "
            f"data.folds.count={found}"
        )
    return folds


def cut(ids: Index, group: Index | None, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Mark about ``fraction`` of the rows, whole groups where known, else per class.

    Groups are taken in an order from the seed; one that would overshoot by more than half of its
    rows is passed over. At least one group is cut, the smallest where all are too large, and
    never all of several.

    Returns:
        ``(N,)`` bool; True for the rows that are cut off.
    """
    random = np.random.default_rng([seed, 2])
    chosen = np.zeros(len(ids), dtype=bool)
    if group is None:
        for value in np.unique(ids):
            members = random.permutation(np.flatnonzero(ids == value))
            chosen[members[: round(len(members) * fraction)]] = True
        return chosen
    values, inverse, sizes = np.unique(group, return_inverse=True, return_counts=True)
    order = random.permutation(len(values))
    taken: list[int] = []
    cut_off, wanted = 0, len(ids) * fraction
    for number in order:
        if cut_off + sizes[number] / 2 <= wanted and len(taken) < len(values) - 1:
            taken.append(number)
            cut_off += sizes[number]
    if not taken and len(values):
        taken.append(order[sizes[order].argmin()])
    return np.isin(inverse, taken)


def draw_fraction(ids: Index, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Mark ``fraction`` of the rows of each class, at least one, the same for a seed.

    A larger fraction of the same seed holds every row of a smaller one. Rows without this label
    (negative ids), which have another one, form a class of their own; those with it are drawn as
    if they were alone.
    """
    random = np.random.default_rng([seed, 3])
    chosen = np.zeros(len(ids), dtype=bool)
    ids = np.where(ids < 0, ids.max(initial=-1) + 1, ids)
    for value in np.unique(ids):
        members = random.permutation(np.flatnonzero(ids == value))
        chosen[members[: max(1, round(len(members) * fraction))]] = True
    return chosen


def leaked(
    digests: NDArray[np.bytes_], rows: NDArray[np.bool_], held_out: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Mark those of ``rows`` whose picture stands, pixel for pixel, among ``held_out``."""
    _, number = np.unique(digests, return_inverse=True)
    found: NDArray[np.bool_] = rows & np.isin(number, number[held_out])
    return found


def drop_leaked(
    digests: NDArray[np.bytes_], split: NDArray[np.str_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Take out of ``split`` what would let training or selection see a held-out picture.

    Returns:
        Which training rows stand in validation or test, and which validation rows in test.
    """
    val, test = split == "val", split == "test"
    trained, shown = leaked(digests, split == "train", val | test), leaked(digests, val, test)
    split[trained | shown] = ""
    return trained, shown
