"""The figures of one task of an evaluation, and the predictions that are kept of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.data.source import Rows
from hybridface.evaluation.matching import AnyMatch, Mask, Match, NumericMatch, count_unmatched
from hybridface.evaluation.metrics import classification_metrics, share_in_json
from hybridface.evaluation.number_metrics import countable, number_metrics
from hybridface.evaluation.numeric_predictions import NumericPredictions
from hybridface.evaluation.predictions import TaskPredictions
from hybridface.labels import match_classes

GROUPING = ("gender", "ethnicity", "race", "age", "age_group")
AGES = (0, 10, 20, 30, 40, 50, 60, 70)

Index = NDArray[np.int64]
Outputs = NDArray[np.float32]


def measure_task(
    match: AnyMatch, outputs: Outputs, rows: Rows, index: Index, usable: Mask
) -> dict[str, Any]:
    """Measure one task on those of the predicted rows that it has a label for.

    Args:
        match: The task and its column.
        outputs: ``(M, C)`` what the model gave for the predicted rows.
        rows: The data set.
        index: ``(M,)`` which rows were predicted.
        usable: ``(N,)`` the rows that could have been, had they a label.
    """
    wanted = match.measurable[index]
    chosen, outputs = index[wanted], outputs[wanted]
    group = None if rows.group is None else rows.group[chosen]
    left_out: dict[str, Any] = {
        "label": match.column,
        "unlabelled": int((usable & match.unlabelled).sum()),
    }
    if isinstance(match, NumericMatch):
        targets = match.labels.values[chosen]
        unit = {"kind": match.kind, "unit": match.labels.unit}
        figures = {**number_metrics(match.kind, outputs, targets, group), **unit, **left_out}
    else:
        figures = classification_metrics(outputs, match.targets[chosen], match.classes, group)
        matched = set(match_classes(match.labels.names, match.classes))
        foreign = [name for place, name in enumerate(match.classes) if place not in matched]
        figures |= left_out | {
            "unmatched": {
                "data_classes": count_unmatched(match, usable),
                "model_classes": foreign,
            }
        }
    groups = _by_group(match, outputs, rows, chosen)
    return {**figures, **({"by_group": groups} if groups else {})}


def _by_group(
    match: AnyMatch, outputs: Outputs, rows: Rows, chosen: Index
) -> dict[str, dict[str, Any]]:
    """Measure a task on the people of each age band, gender and ethnicity that the data knows."""
    found: dict[str, dict[str, Any]] = {}
    for column, name, inside in _groups(rows, chosen):
        if column == match.column and isinstance(match, Match):
            continue  # these are its classes
        group = None if rows.group is None else rows.group[chosen[inside]]
        if isinstance(match, NumericMatch):
            targets = match.labels.values[chosen[inside]]
            if not countable(match.kind, targets).any():
                continue
            figures = number_metrics(match.kind, outputs[inside], targets, group)
            figure = {"mae": figures["mae"], "count": figures["count"]}
        else:
            right = outputs[inside].argmax(axis=1) == match.targets[chosen[inside]]
            figure = {"accuracy": share_in_json(right, group), "count": len(right)}
        found.setdefault(column, {})[name] = figure
    return found


def _groups(rows: Rows, chosen: Index) -> Iterator[tuple[str, str, Mask]]:
    """Give each group of people among some rows: its column, its name, and which of the rows."""
    for column in GROUPING:
        if column in rows.labels:
            ids = rows.labels[column].ids[chosen]
            for number, name in enumerate(rows.labels[column].names):
                if (ids == number).any():
                    yield column, name, ids == number
        elif column == "age" and column in rows.numeric:
            years = rows.numeric[column].values[chosen, 0]
            for low, above in zip(AGES, (*AGES[1:], np.inf), strict=True):
                inside = (years >= low) & (years < above)
                name = f"{low} to {above - 1:g}" if above < np.inf else f"{low} and over"
                if inside.any():
                    yield column, name, inside


def keep_task(
    match: AnyMatch, outputs: Outputs, rows: Rows, index: Index
) -> TaskPredictions | NumericPredictions:
    """Return the predictions of those of the predicted rows that the task has a label for."""
    wanted = match.measurable[index]
    chosen = index[wanted]
    keys = np.array([rows.keys[row] for row in chosen])
    group = None if rows.group is None else rows.group[chosen]
    if isinstance(match, Match):
        targets = match.targets[chosen]
        return TaskPredictions(match.column, match.classes, keys, targets, outputs[wanted], group)
    labels = match.labels
    return NumericPredictions(
        match.column, match.kind, labels.names, labels.unit, keys,
        labels.values[chosen].astype(np.float32), outputs[wanted], group,
    )  # fmt: skip
