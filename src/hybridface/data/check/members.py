"""Groups of duplicates in figures: where they stand, whether their labels agree, the first ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.data.check.counts import split_codes
from hybridface.data.check.graph import Ids
from hybridface.data.check.groups import ALONE, Duplicates
from hybridface.data.check.looks import Looks
from hybridface.data.source import MISSING, SPLITS, Rows, Source, as_text
from hybridface.labels import canonical_name

MOST_GROUPS = 20
MOST_MEMBERS = 10
# What figures of :func:`count_duplicates` are called.
KINDS = {"exact": "equal", "near": "nearly equal"}
COLUMNS = {
    "groups": "groups", "pictures": "pictures", "within_splits": "within a split",
    "across_splits": "across splits", "across_sources": "across data sets",
    "with_different_labels": "labels differ", "largest": "largest",
}  # fmt: skip


@dataclass(frozen=True)
class Opened:
    """One data set, read and looked through.

    Attributes:
        spec: ``KIND:PATH``.
        source: The data set.
        rows: Its rows.
        looks: What was seen of its pictures.
    """

    spec: str
    source: Source
    rows: Rows
    looks: Looks


@dataclass(frozen=True)
class Member:
    """A picture of a group: the number of its data set, and its row there."""

    source: int
    row: int


def count_duplicates(opened: Sequence[Opened], found: Duplicates) -> dict[str, Any]:
    """Count groups of duplicates among data sets whose rows are numbered through.

    A group counts once: under ``across_sources`` where it stands in several data sets, else under
    ``across_splits`` where it stands in several splits, else under ``within_splits``.

    Returns:
        ``exact`` and ``near``, each with ``groups``, ``pictures`` in them, ``within_splits``,
        ``across_splits``, ``across_sources``, ``with_different_labels``, ``largest``, the
        ``first`` groups and the ``first_with_different_labels``; ``near`` also with ``mirrored``.
    """
    exact, near = _count(opened, found.exact), _count(opened, found.near)
    near["mirrored"] = len(np.unique(found.near[found.mirrored]))
    return {"exact": exact, "near": near}


def first_groups(
    opened: Sequence[Opened],
    ids: Ids,
    most: int = MOST_GROUPS,
    each: int = MOST_MEMBERS,
    *,
    among: NDArray[np.bool_] | None = None,
) -> list[list[Member]]:
    """Return groups with their members; those that stand in most places first, then large ones.

    Args:
        opened: The data sets.
        ids: ``(N,)`` as in :class:`Duplicates`.
        most: How many groups to return, where there are so many.
        each: How many members of a group.
        among: ``(groups,)`` which may be returned, in the order of their ids; None for all.
    """
    rows, number, sizes = _shared(ids)
    if not len(rows):
        return []
    source, row, split = _numbered(opened)
    place = source * (len(SPLITS) + 1) + split
    order = np.lexsort((-sizes, -_different(number, place[rows])))
    order = (order if among is None else order[among[order]])[:most]
    grouped = rows[np.argsort(number, kind="stable")]
    starts = np.cumsum(sizes) - sizes
    return [
        [Member(int(source[r]), int(row[r])) for r in _spread(members, place)[:each]]
        for members in (grouped[starts[g] : starts[g] + sizes[g]] for g in order)
    ]


def _spread(members: Ids, place: Ids) -> Ids:
    """Order members so that one of each place comes first."""
    _, first = np.unique(place[members], return_index=True)
    return np.concatenate([members[np.sort(first)], np.delete(members, first)])


def _count(opened: Sequence[Opened], ids: Ids) -> dict[str, Any]:
    rows, number, sizes = _shared(ids)
    source, _, split = _numbered(opened)
    sources = _different(number, source[rows])
    splits = _different(number, split[rows])
    across_sources, across = sources > 1, (sources == 1) & (splits > 1)
    disagree = _disagree(opened, rows, number, len(sizes))
    return {
        "groups": len(sizes),
        "pictures": len(rows),
        "within_splits": int((~across_sources & ~across).sum()),
        "across_splits": int(across.sum()),
        "across_sources": int(across_sources.sum()),
        "with_different_labels": int(disagree.sum()),
        "largest": int(sizes.max(initial=0)),
        "first": _named_members(opened, first_groups(opened, ids)),
        "first_with_different_labels": _named_members(
            opened, first_groups(opened, ids, among=disagree)
        ),
    }


def _named_members(
    opened: Sequence[Opened], groups: Sequence[Sequence[Member]]
) -> list[list[dict[str, Any]]]:
    """Say of each member where it is and which classes it has."""
    return [[_described(opened[each.source], each.row) for each in members] for members in groups]


def _described(opened: Opened, row: int) -> dict[str, Any]:
    return {
        "source": opened.spec,
        "key": as_text(opened.rows.keys[row]),
        "split": str(opened.rows.split[row]),
        "classes": _classes_of(opened.rows, row),
    }


def _classes_of(rows: Rows, row: int) -> dict[str, str]:
    labels = ((column, each.names, int(each.ids[row])) for column, each in rows.labels.items())
    return {column: names[number] for column, names, number in labels if number != MISSING}


def _shared(ids: Ids) -> tuple[Ids, Ids, Ids]:
    """Return the rows that are in a group, the number of each one's group, and their sizes."""
    rows = np.flatnonzero(ids != ALONE)
    _, number, sizes = np.unique(ids[rows], return_inverse=True, return_counts=True)
    return rows, number, sizes


def _numbered(opened: Sequence[Opened]) -> tuple[Ids, Ids, Ids]:
    """Return the data set, the row in it and the split of every row numbered through."""
    source = np.repeat(np.arange(len(opened)), [len(each.rows) for each in opened])
    row = np.concatenate([np.arange(len(each.rows)) for each in opened])
    return source, row, np.concatenate([split_codes(each.rows) for each in opened])


def _different(number: Ids, values: Ids) -> Ids:
    """Count the different values in each group."""
    pairs = np.unique(np.stack([number, values]), axis=1)
    return np.bincount(pairs[0], minlength=int(number.max(initial=-1)) + 1)


def _disagree(opened: Sequence[Opened], rows: Ids, number: Ids, groups: int) -> NDArray[np.bool_]:
    """Mark groups whose pictures have several classes in a column; classes are one by name."""
    disagree = np.zeros(groups, dtype=bool)
    known: dict[str, int] = {}
    for column in dict.fromkeys(name for each in opened for name in each.rows.labels):
        ids = np.concatenate([_named(each.rows, column, known) for each in opened])[rows]
        has = ids != MISSING
        counts = np.bincount(np.unique(np.stack([number[has], ids[has]]), axis=1)[0])
        disagree[: len(counts)] |= counts > 1
    return disagree


def _named(rows: Rows, column: str, known: dict[str, int]) -> Ids:
    """Return the labels of a column as numbers that stand for a name, whatever the data set."""
    if column not in rows.labels:
        return np.full(len(rows), MISSING, dtype=np.int64)
    labels = rows.labels[column]
    numbers = [known.setdefault(canonical_name(name), len(known)) for name in labels.names]
    return np.array([*numbers, MISSING], dtype=np.int64)[labels.ids]
