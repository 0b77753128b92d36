"""Bring the predictions of two models to the same pictures and classes, or say what differs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.errors import UsageError
from hybridface.evaluation.predictions import Predictions, TaskPredictions
from hybridface.labels import canonical_name, match_classes

AGAIN = "measure both on the same data: compare A B --data KIND:PATH"

Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Paired:
    """Two models' predictions for the same N pictures of one task, in the same order.

    Attributes:
        label: The label column.
        classes: K class names as A spells them, in an order that depends on the names alone.
        targets: ``(N,)`` true classes, 0 to K - 1.
        a: ``(N, K)`` float64 probabilities of A.
        b: The same of B.
        group: ``(N,)`` whose picture each is, where any of the two knows it; else None.
    """

    label: str
    classes: tuple[str, ...]
    targets: Index
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    group: Index | None = None


def pair_task(name: str, a: Predictions, b: Predictions) -> Paired:
    """Pair two models' predictions of a task by picture, and their classes by name.

    Args:
        name: A task that both have.
        a: The predictions of one model.
        b: Those of the other.

    Raises:
        UsageError: The label columns, class names, pictures or labels of the two differ.
    """
    who = f"task '{name}': A ({a.where}) and B ({b.where})"
    ours, theirs = a.tasks[name], b.tasks[name]
    if ours.label != theirs.label:
        raise UsageError(
            f"{who} were measured on different label columns, '{ours.label}' and "
            f"'{theirs.label}'; {AGAIN}"
        )
    columns_a, columns_b = _match_classes(who, ours.classes, theirs.classes)
    rows_a, rows_b = (np.argsort(each.keys, kind="stable") for each in (ours, theirs))
    check_pictures(who, ours.keys[rows_a], theirs.keys[rows_b])
    if a.fingerprint and b.fingerprint and a.fingerprint != b.fingerprint:
        raise UsageError(
            f"{who} were measured on different pictures that go by the same names: the content of "
            f"their data sets ({a.data}; {b.data}) differs; {AGAIN}"
        )
    classes = tuple(ours.classes[column] for column in columns_a)
    targets = _targets(ours, rows_a, columns_a)
    others = _targets(theirs, rows_b, columns_b)
    differing = np.flatnonzero(targets != others)
    if len(differing):
        first = differing[0]
        raise UsageError(
            f"{who} were measured against different labels: {len(differing)} of {len(targets)} "
            f"pictures, first '{shown(ours.keys[rows_a][first])}', which is "
            f"'{classes[targets[first]]}' in A and '{classes[others[first]]}' in B; {AGAIN}"
        )
    return Paired(
        ours.label,
        classes,
        targets,
        ours.probabilities[rows_a][:, columns_a].astype(np.float64),
        theirs.probabilities[rows_b][:, columns_b].astype(np.float64),
        joined_groups(
            None if ours.groups is None else ours.groups[rows_a],
            None if theirs.groups is None else theirs.groups[rows_b],
        ),
    )


def joined_groups(ours: Index | None, theirs: Index | None) -> Index | None:
    """Return whose picture each is by what two models' predictions know of the same pictures.

    One may know more than the other, as a run that kept near-duplicates together. What either
    holds together is one group, and so is what hangs together by both.

    Args:
        ours: ``(N,)`` ids of groups, or None where they are not known.
        theirs: The same, with ids of their own.
    """
    if ours is None or theirs is None:
        return theirs if ours is None else ours
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    one, other = (np.unique(each, return_inverse=True)[1] for each in (ours, theirs))
    first = int(one.max()) + 1
    size = first + int(other.max()) + 1
    links = coo_array((np.ones(len(one)), (one, first + other)), shape=(size, size))
    component: Index = connected_components(links, directed=False)[1].astype(np.int64)
    return component[one]


def shown(key: Any) -> str:
    """Return a picture's name as text that any stream can take."""
    return str(key).encode("utf-8", "replace").decode()


def _match_classes(who: str, ours: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[Index, Index]:
    """Return for each class, ordered by name, its column in A and in B."""
    places = match_classes(theirs, ours)
    if sorted(place for place in places if place is not None) != list(range(len(ours))) or (
        len(theirs) != len(ours)
    ):
        only_a = [name for place, name in enumerate(ours) if place not in places]
        only_b = [name for place, name in zip(places, theirs, strict=True) if place is None]
        raise UsageError(
            f"{who} have different classes: only in A: {', '.join(only_a) or 'none'}; only in B: "
            f"{', '.join(only_b) or 'none'} (A: {', '.join(ours)}; B: {', '.join(theirs)}); "
            "compare models of the same classes, whatever their order"
        )
    order = sorted(range(len(ours)), key=lambda place: (canonical_name(ours[place]), ours[place]))
    return np.array(order), np.array([places.index(place) for place in order])


def _targets(task: TaskPredictions, rows: Index, columns: Index) -> Index:
    """Return the true classes of some rows, as places in ``columns``."""
    targets: Index = np.argsort(columns)[task.targets[rows]]
    return targets


def check_pictures(who: str, ours: NDArray[np.str_], theirs: NDArray[np.str_]) -> None:
    """Refuse sorted names of pictures that differ.

    Raises:
        UsageError: They do; counts and names those of one side alone.
    """
    if np.array_equal(ours, theirs):
        return
    counts = [Counter(names.tolist()) for names in (ours, theirs)]
    alone = [
        list((counts[0] - counts[1]).elements()),
        list((counts[1] - counts[0]).elements()),
    ]
    said = [
        f"{len(names)} only in {side}" + (f" (first: {shown(names[0])})" if names else "")
        for side, names in zip("AB", alone, strict=True)
    ]
    both = len(ours) - len(alone[0])
    raise UsageError(
        f"{who} were measured on different pictures: {said[0]}, {said[1]}, {both} in both; {AGAIN}"
    )
