"""How good predicted numbers are, poses and others, with 95 % intervals, as plain JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.errors import HybridFaceError, UsageError
from hybridface.evaluation.picture_means import Floats, Index, bootstrap_means
from hybridface.rotations import ANGLES, FURTHEST, difference, geodesic

YAW_RANGES = ((0.0, 30.0), (30.0, 60.0), (60.0, FURTHEST))
WITHIN = 1.96

Given = NDArray[np.floating[Any]]


def number_metrics(
    kind: str, outputs: Given, targets: Given, group: Index | None = None
) -> dict[str, Any]:
    """Measure what a task of numbers says: :func:`pose_metrics` or :func:`regression_metrics`.

    Args:
        kind: The kind of the task, ``pose`` or ``regression``.
        outputs: ``(N, C)``.
        targets: ``(N, K)``.
        group: ``(N,)`` ids of persons, or None.
    """
    if kind == "pose":
        return pose_metrics(outputs, targets, group)
    return regression_metrics(outputs, targets[:, 0], group)


def errors(kind: str, outputs: Given, targets: Given) -> Floats:
    """Return the absolute error ``(N, K)`` of each number, angles the short way round."""
    if kind == "pose":
        return np.abs(difference(outputs, targets))
    return np.abs(np.asarray(outputs[:, :1], np.float64) - targets)


def parts_of_mae(kind: str, outputs: Given, targets: Given) -> Floats:
    """Return the part ``(N,)`` that each picture has in the mean absolute error.

    Their mean is that error, as :func:`pose_metrics` and :func:`regression_metrics` define it:
    the mean over the numbers that any picture has, each of its mean over pictures.

    Args:
        kind: The kind of the task, ``pose`` or ``regression``.
        outputs: ``(N, C)``, of pictures that are :func:`countable`.
        targets: ``(N, K)``.
    """
    away = errors(kind, outputs, targets)
    known = np.isfinite(away)
    counts = known.sum(axis=0)
    parts = np.where(known, away, 0)[:, counts > 0] / counts[counts > 0]
    shares: Floats = parts.mean(axis=1) * len(targets)
    return shares


def countable(kind: str, targets: Given) -> NDArray[np.bool_]:
    """Mark the rows ``(N,)`` that figures are taken over; see :func:`pose_metrics`."""
    known: NDArray[np.bool_] = np.any(np.isfinite(targets), axis=1)
    if kind == "pose":
        known &= (np.abs(np.nan_to_num(targets)) <= FURTHEST).all(axis=1)
    return known


def pose_metrics(outputs: Given, targets: Given, group: Index | None = None) -> dict[str, Any]:
    """Measure poses.

    - ``mae_yaw``, ``mae_pitch``, ``mae_roll``: the mean absolute error of each angle over the
      pictures where it is known, in degrees, the short way round the circle.
    - ``mae``: the mean of these, over the angles that are known at all.
    - ``geodesic``: the mean angle of the one turn between the answer and the truth, over the
      pictures where all three angles are known.
    - ``by_yaw``: the same by the true yaw either way.

    Pictures with an angle beyond 99 degrees are left out, as is usual on AFLW2000, and counted.
    Intervals by bootstrap over pictures, or over persons where these are known.

    Args:
        outputs: ``(N, 3)`` yaw, pitch and roll in degrees.
        targets: ``(N, 3)``; NaN where an angle is not known.
        group: ``(N,)`` ids of persons, or None.

    Returns:
        A dictionary that ``json.dumps`` takes::

            {"mae": {"value": 4.5, "ci95": [4.3, 4.7]}, "mae_yaw": {…}, "mae_pitch": {…},
             "mae_roll": {…}, "geodesic": {…},
             "by_yaw": {"0 to 30": {…the same five…, "count": 800}, …}, "count": 1600,
             "beyond": 12}

        A figure that no picture has is None.

    Raises:
        UsageError: The shapes do not fit together.
        HybridFaceError: No row can be measured, or a value is NaN or infinite.
    """
    _check(outputs, targets, 3, 3)
    counted = countable("pose", targets)
    beyond = int((~counted & np.isfinite(targets).any(axis=1)).sum())
    if not counted.any():
        raise HybridFaceError(
            f"metrics: there is no pose to measure ({beyond} are left out, as they have an angle "
            f"beyond {FURTHEST:g} degrees)"
        )
    outputs, targets = outputs[counted], targets[counted]
    group = None if group is None else group[counted]
    values = np.column_stack([errors("pose", outputs, targets), geodesic(outputs, targets)])
    yaw = np.abs(targets[:, 0])
    by_yaw = {}
    for low, high in YAW_RANGES:
        inside = (yaw >= low) & ((yaw < high) | (high == FURTHEST))
        if inside.any():
            of = None if group is None else group[inside]
            by_yaw[f"{low:g} to {high:g}"] = _pose_figures(values[inside], of)
    return {**_pose_figures(values, group), "by_yaw": by_yaw, "beyond": beyond}


def _pose_figures(values: Floats, group: Index | None) -> dict[str, Any]:
    means = bootstrap_means(values, group)
    each = {f"mae_{name}": means.figure(place) for place, name in enumerate(ANGLES)}
    return {
        "mae": means.figure([0, 1, 2]),
        **each,
        "geodesic": means.figure(3),
        "count": len(values),
    }


def regression_metrics(
    outputs: Given, targets: Given, group: Index | None = None
) -> dict[str, Any]:
    """Measure predicted numbers and how sure they are said to be.

    - ``mae``: the mean absolute error, in the label's unit; ``bias``: the mean of the answer less
      the truth.
    - ``coverage``: the share of pictures whose true number lies within 1.96 of the deviations that
      the model gives; 0.95 where these can be believed and errors are normal, 0.94 where they
      follow a Laplace distribution.
    - ``deviation``: the mean of these deviations.

    Args:
        outputs: ``(N, 2)`` means and standard deviations.
        targets: ``(N,)``; rows without a number (NaN) do not count.
        group: ``(N,)`` ids of persons, or None.

    Returns:
        A dictionary that ``json.dumps`` takes, with ``{"value": …, "ci95": [low, high]}`` for each
        of these, and ``count``.

    Raises:
        UsageError: The shapes do not fit together.
        HybridFaceError: No row can be measured, or a value is NaN or infinite.
    """
    _check(outputs, targets[:, None], 2, 1)
    known = np.isfinite(targets)
    if not known.any():
        raise HybridFaceError("metrics: there is no number to measure")
    found, true = outputs[known].astype(np.float64), targets[known].astype(np.float64)
    away = found[:, 0] - true
    values = np.column_stack(
        [np.abs(away), away, np.abs(away) <= WITHIN * found[:, 1], found[:, 1]]
    )
    means = bootstrap_means(values, None if group is None else group[known])
    names = ("mae", "bias", "coverage", "deviation")
    return {**{name: means.figure(k) for k, name in enumerate(names)}, "count": len(true)}


def _check(outputs: Given, targets: Given, columns: int, parts: int) -> None:
    if outputs.shape != (len(targets), columns) or targets.shape != (len(targets), parts):
        raise UsageError(
            f"metrics: expected outputs (N, {columns}) and targets (N, {parts}), got "
            f"{outputs.shape} and {targets.shape}"
        )
    if not np.isfinite(outputs).all():
        bad = int((~np.isfinite(outputs)).any(axis=1).sum())
        raise HybridFaceError(
            f"metrics: {bad} of {len(outputs)} rows hold NaN or infinite numbers; the model "
            "diverged in training, or its export is broken"
        )
