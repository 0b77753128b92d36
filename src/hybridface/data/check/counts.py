"""What a data set holds, in figures ready for JSON: labels, persons, sizes, light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.data.check.looks import Looks
from hybridface.data.check.similar import FLAT
from hybridface.data.source import MISSING, SPLITS, NumericLabels, Problem, Rows, as_text

NO_SPLIT = "none"
MOST_NAMES = 20
MOST_SIZES = 10
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

Counts = dict[str, Any]


def split_names(rows: Rows) -> list[str]:
    """Return the splits that rows stand in; :data:`NO_SPLIT` for those without one."""
    present = set(np.unique(rows.split).tolist())
    return [name for name in SPLITS if name in present] + [NO_SPLIT] * ("" in present)


def split_codes(rows: Rows) -> NDArray[np.int64]:
    """Return ``(N,)`` the place of each row's split in :func:`split_names`."""
    names = np.array(["" if name == NO_SPLIT else name for name in split_names(rows)], dtype="U5")
    codes: NDArray[np.int64] = np.argmax(rows.split[:, None] == names, axis=1).astype(np.int64)
    return codes


def count_rows(rows: Rows) -> Counts:
    """Count rows by split, class, person and range of numbers.

    Returns:
        ``splits``: rows of each; ``classes`` of each column, counted in each split; ``numbers`` of
        each column, as :func:`describe` has them; ``persons`` and how many of them stand in several
        splits, ``persons_across_splits``, both None where persons are not known.
    """
    names, codes = split_names(rows), split_codes(rows)
    per_split = np.bincount(codes, minlength=len(names)) if len(rows) else np.zeros(0, np.int64)
    persons = across = None
    if rows.group is not None and rows.grouped_by == "person":
        pairs = np.unique(np.stack([rows.group, codes]), axis=1)
        _, splits = np.unique(pairs[0], return_counts=True)
        persons, across = len(splits), int((splits > 1).sum())
    return {
        "splits": dict(zip(names, per_split.tolist(), strict=True)),
        "classes": {column: _classes(rows, column, names, codes) for column in rows.labels},
        "numbers": {column: _numbers(labels) for column, labels in rows.numeric.items()},
        "persons": persons,
        "persons_across_splits": across,
    }


def _classes(rows: Rows, column: str, names: list[str], codes: NDArray[np.int64]) -> Counts:
    """Count the classes of a column in each split."""
    labels = rows.labels[column]
    counted = {}
    for place, split in enumerate(names):
        ids = labels.ids[codes == place]
        known = ids[ids != MISSING]
        counted[split] = {
            "counts": np.bincount(known, minlength=len(labels.names)).tolist(),
            "unknown": len(ids) - len(known),
        }
    unknown = int((labels.ids == MISSING).sum())
    return {"names": list(labels.names), "unknown": unknown, "splits": counted}


def _numbers(labels: NumericLabels) -> Counts:
    """Describe the parts of a column of numbers."""
    parts = {name: describe(labels.values[:, place]) for place, name in enumerate(labels.names)}
    return {"unit": labels.unit, "parts": parts}


def describe(values: NDArray[np.floating]) -> Counts:
    """Return how many of some numbers are known, their range, mean, spread and quantiles.

    Numbers that are not finite are unknown; without known ones all but the counts is None.
    """
    known = values[np.isfinite(values)].astype(np.float64)
    counted: Counts = {"known": len(known), "unknown": len(values) - len(known)}
    if not len(known):
        return counted | dict.fromkeys(("min", "max", "mean", "deviation", "quantiles"))
    figures = {
        "min": known.min(), "max": known.max(), "mean": known.mean(), "deviation": known.std(),
    }  # fmt: skip
    quantiles = zip(QUANTILES, np.quantile(known, QUANTILES), strict=True)
    return (
        counted
        | {name: round(float(value), 4) for name, value in figures.items()}
        | {"quantiles": {f"{part:g}": round(float(value), 4) for part, value in quantiles}}
    )


def count_looks(rows: Rows, looks: Looks) -> Counts:
    """Describe what was seen of the pictures: sizes, brightness, contrast, and what shows nothing.

    Returns:
        ``pictures`` that decode; their ``sizes``, ``brightness`` and ``contrast``, as
        :func:`describe` has them; ``showing_nothing``: how many are of next to one grey level, and
        the first.
    """
    seen = looks.decoded
    sizes, counts = np.unique(looks.sizes[seen], axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_SIZES]
    common = [
        {"width": int(sizes[each, 0]), "height": int(sizes[each, 1]), "count": int(counts[each])}
        for each in order
    ]
    nothing = np.flatnonzero(seen & (looks.contrast < FLAT))
    return {
        "pictures": int(seen.sum()),
        "sizes": {
            "width": describe(looks.sizes[seen, 0]),
            "height": describe(looks.sizes[seen, 1]),
            "different": len(sizes),
            "most_common": common,
        },
        "brightness": describe(looks.brightness[seen]),
        "contrast": describe(looks.contrast[seen]),
        "showing_nothing": {
            "count": len(nothing),
            "first": [as_text(rows.keys[row]) for row in nothing[:MOST_NAMES].tolist()],
        },
    }


def count_problems(problems: Sequence[Problem]) -> Counts:
    """Count problems and name the first."""
    first = [{"where": each.where, "what": each.what} for each in problems[:MOST_NAMES]]
    return {"count": len(problems), "first": first}
