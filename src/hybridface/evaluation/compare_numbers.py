"""Compare two models picture by picture in a task of numbers: the difference in error."""

from __future__ import annotations

from typing import Any

import numpy as np

from hybridface.errors import UsageError
from hybridface.evaluation.number_metrics import countable, errors
from hybridface.evaluation.pairing import AGAIN, check_pictures, joined_groups, shown
from hybridface.evaluation.picture_means import bootstrap_means
from hybridface.evaluation.predictions import Predictions


def compare_numbers(name: str, a: Predictions, b: Predictions) -> dict[str, Any]:
    """Compare two models in a task of numbers that both have.

    Args:
        name: The task.
        a: The predictions of one model.
        b: Those of the other.

    Returns:
        ``mae`` of both and the difference B - A, with paired bootstrap intervals over pictures, or
        over groups where any of them knows whose picture each is, which ``groups`` counts::

            {"label": "pose", "unit": "degrees", "count": 1600, "groups": 20, "a": {"mae": {…}},
             "b": {"mae": {…}}, "difference": {"mae": {"value": -0.4, "ci95": [-0.6, -0.2]}}}

    Raises:
        UsageError: The columns, pictures or labels of the two differ, or none can be measured.
    """
    who = f"task '{name}': A ({a.where}) and B ({b.where})"
    ours, theirs = a.numbers[name], b.numbers[name]
    said = [(each.label, each.kind, each.names, each.unit) for each in (ours, theirs)]
    if said[0] != said[1]:
        raise UsageError(f"{who} were measured on different columns: {said}; {AGAIN}")
    ours, theirs = (each.rows(np.argsort(each.keys, kind="stable")) for each in (ours, theirs))
    check_pictures(who, ours.keys, theirs.keys)
    if a.fingerprint and b.fingerprint and a.fingerprint != b.fingerprint:
        raise UsageError(
            f"{who} were measured on different pictures that go by the same names: the content of "
            f"their data sets ({a.data}; {b.data}) differs; {AGAIN}"
        )
    close = np.isclose(ours.targets, theirs.targets, atol=1e-3, equal_nan=True)
    other = np.flatnonzero(~np.all(close, axis=1))
    if len(other):
        raise UsageError(
            f"{who} were measured against different labels: {len(other)} of {len(close)} "
            f"pictures, first '{shown(ours.keys[other[0]])}'; {AGAIN}"
        )
    counted = countable(ours.kind, ours.targets)
    if not counted.any():
        raise UsageError(f"{who} have no picture whose label can be measured")
    of_a, of_b = (
        errors(ours.kind, each.outputs[counted], each.targets[counted]) for each in (ours, theirs)
    )
    columns = list(range(of_a.shape[1]))
    group = joined_groups(ours.groups, theirs.groups)
    group = None if group is None else group[counted]
    of_both = bootstrap_means(np.column_stack([of_a, of_b, of_b - of_a]), group)
    figures = [
        {"mae": of_both.figure([len(columns) * part + column for column in columns])}
        for part in range(3)
    ]
    return {
        "label": ours.label,
        "unit": ours.unit,
        "count": int(counted.sum()),
        "groups": None if group is None else len(np.unique(group)),
        **dict(zip(("a", "b", "difference"), figures, strict=True)),
    }
