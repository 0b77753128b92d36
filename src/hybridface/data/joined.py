"""Several data sets as one: their rows numbered through, their label columns by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hybridface.data.fingerprint import join_fingerprints
from hybridface.data.joined_pictures import JoinedPictures
from hybridface.data.parts import Part, columns_of
from hybridface.data.source import (
    MISSING,
    SPLITS,
    Labels,
    NumericLabels,
    Pictures,
    Problem,
    as_text,
)
from hybridface.data.splits import Index, drop_leaked
from hybridface.errors import DataError, UsageError
from hybridface.labels import match_classes

Column = Labels | NumericLabels


@dataclass(frozen=True)
class Joined:
    """What the data sets of a recipe are together; of one it is what that one is.

    Attributes:
        images: ``(N, size, size, 3)`` uint8, all rows of all of them: memory-mapped, or decoded
            when they are read.
        labels: Columns of classes over all rows, for the tasks that asked for them.
        keys: Names of the rows; of several data sets ``NAME/KEY``.
        splits: Row indices of ``train``, ``val`` and ``test``.
        problems: What was skipped, and why.
        duplicates: Training pictures dropped because they stand in validation or test.
        validation_duplicates: Validation pictures dropped because they stand in test.
        notes: What a reader should know.
        fingerprint: Equal for equal content of all pictures.
        numeric: Columns of numbers over all rows, for the tasks that asked for them.
        groups: ``(N,)`` int64 id of the person of each row, where any of them knows it.
        origin: ``(N,)`` int64 number of the data set of each row; None where there is one.
    """

    images: Pictures
    labels: dict[str, Labels]
    keys: Sequence[str]
    splits: dict[str, Index]
    problems: list[Problem]
    duplicates: list[str]
    validation_duplicates: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    fingerprint: str = ""
    numeric: dict[str, NumericLabels] = field(default_factory=dict)
    groups: Index | None = None
    origin: Index | None = None


def drop_across(parts: Mapping[str, Part]) -> None:
    """Take out of the splits what lets a run see a held-out picture of another data set.

    Raises:
        DataError: Nothing is left of a data set's training or validation split.
    """
    if len(parts) < 2:
        return
    digests = np.concatenate([part.pictures.digests for part in parts.values()])
    split = np.concatenate([part.split for part in parts.values()])
    dropped = drop_leaked(digests, split)
    bounds = np.cumsum([len(part.rows) for part in parts.values()])[:-1]
    for (name, part), left, of_train, of_val in zip(
        parts.items(), *(np.split(each, bounds) for each in (split, *dropped)), strict=True
    ):
        for kind in ("train", "val"):
            if not (left == kind).any():
                raise DataError(
                    f"data.sources.{name}: each of its {int((part.split == kind).sum())} pictures "
                    f"of the split '{kind}' stands in a held-out split of another data set; leave "
                    "one of the two out, or cut both alike, by their official splits"
                )
        part.split[:] = left
        part.duplicates = part.duplicates | of_train
        part.shown = part.shown | of_val


def join(parts: Mapping[str, Part], columns: Sequence[str]) -> Joined:
    """Join the data sets of a recipe.

    Args:
        parts: Each by its name.
        columns: The columns that tasks need.

    Raises:
        UsageError: One name stands for columns of unlike kinds.
    """
    every = list(parts.values())
    several = len(parts) > 1 or "" not in parts
    found = {column: _join_column(column, parts) for column in columns}
    split = np.concatenate([part.split for part in every])
    duplicates = np.concatenate([part.duplicates for part in every])
    shown = np.concatenate([part.shown for part in every])
    keys: Sequence[str] = every[0].rows.keys
    if several:
        keys = [_named(name, key) for name, part in parts.items() for key in part.rows.keys]
    return Joined(
        images=_join_pictures([part.pictures.images for part in every]),
        labels={n: each for n, each in found.items() if isinstance(each, Labels)},
        numeric={n: each for n, each in found.items() if isinstance(each, NumericLabels)},
        keys=keys,
        splits={name: np.flatnonzero(split == name) for name in SPLITS},
        problems=[
            Problem(_named(name, each.where), each.what)
            for name, part in parts.items()
            for each in part.problems
        ],
        duplicates=[keys[row] for row in np.flatnonzero(duplicates).tolist()],
        validation_duplicates=[keys[row] for row in np.flatnonzero(shown).tolist()],
        notes=[
            f"{name}: {note}" if several else note
            for name, part in parts.items()
            for note in part.notes
        ],
        fingerprint=join_fingerprints([part.pictures.fingerprint for part in every]),
        groups=_join_groups(every),
        origin=_origin(every) if several else None,
    )


def _named(name: str, key: str) -> str:
    return f"{name}/{as_text(key)}" if name else key


def _join_pictures(parts: Sequence[Pictures]) -> Pictures:
    return parts[0] if len(parts) == 1 else JoinedPictures(parts)


def _origin(parts: Sequence[Part]) -> Index:
    return np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])


def _join_groups(parts: Sequence[Part]) -> Index | None:
    """Number persons through; a row of a data set that knows none is a group by itself."""
    if all(part.rows.group is None for part in parts):
        return None
    joined, start = [], 0
    for part in parts:
        group = part.rows.group
        own = (
            np.arange(len(part.rows)) if group is None else np.unique(group, return_inverse=True)[1]
        )
        joined.append(own + start)
        start += int(own.max(initial=-1)) + 1
    return np.concatenate(joined).astype(np.int64) if len(parts) > 1 else parts[0].rows.group


def _join_column(column: str, parts: Mapping[str, Part]) -> Column:
    has = {name: columns_of(part.rows)[column] for name, part in parts.items()
           if column in columns_of(part.rows)}  # fmt: skip
    first = next(iter(has.values()))
    if len(parts) == 1:
        return first
    for name, each in has.items():
        if type(each) is not type(first):
            raise UsageError(
                f"data.sources.{name}: its column '{column}' holds "
                f"{'numbers' if isinstance(each, NumericLabels) else 'classes'}, that of "
                f"{next(iter(has))} the other; leave one of them out"
            )
    counts = {name: len(part.rows) for name, part in parts.items()}
    if isinstance(first, NumericLabels):
        numbers = {n: each for n, each in has.items() if isinstance(each, NumericLabels)}
        return _join_numbers(column, numbers, counts)
    classes = {n: each for n, each in has.items() if isinstance(each, Labels)}
    return _join_classes(classes, counts)


def _join_numbers(
    column: str, has: Mapping[str, NumericLabels], counts: Mapping[str, int]
) -> NumericLabels:
    first = next(iter(has.values()))
    blocks = []
    for name, count in counts.items():
        values = np.full((count, len(first.names)), np.nan, dtype=np.float32)
        if (own := has.get(name)) is not None:
            if (own.names, own.unit) != (first.names, first.unit):
                raise UsageError(
                    f"data.sources.{name}: its column '{column}' holds {', '.join(own.names)} in "
                    f"{own.unit or 'no unit'}, expected {', '.join(first.names)} in "
                    f"{first.unit or 'no unit'} as in {next(iter(has))}"
                )
            values = own.values
        blocks.append(values)
    return NumericLabels(first.names, np.concatenate(blocks), first.unit)


def _join_classes(has: Mapping[str, Labels], counts: Mapping[str, int]) -> Labels:
    """Bring all ids to the classes of the first data set, and behind them those it lacks."""
    names = list(next(iter(has.values())).names)
    places: dict[str, Index] = {}
    for source, labels in has.items():
        matched = match_classes(labels.names, names)
        names += [name for name, place in zip(labels.names, matched, strict=True) if place is None]
        added = iter(range(len(names) - matched.count(None), len(names)))
        place = [next(added) if each is None else each for each in matched]
        places[source] = np.array(place, dtype=np.int64)
    votes = any(labels.soft is not None for labels in has.values())
    ids, soft = [], []
    for source, count in counts.items():
        own = has.get(source)
        block = np.full(count, MISSING, dtype=np.int64)
        shares = np.zeros((count, len(names)), dtype=np.float32)
        if own is not None:
            known = own.ids != MISSING
            block[known] = places[source][own.ids[known]]
            if own.soft is None:
                shares[np.flatnonzero(known), block[known]] = 1
            else:
                for place, share in zip(places[source], own.soft.T, strict=True):
                    shares[:, place] += share  # several of its classes may be one here
        ids.append(block)
        soft.append(shares)
    joined: NDArray[np.float32] | None = np.concatenate(soft) if votes else None
    return Labels(tuple(names), np.concatenate(ids), joined)
