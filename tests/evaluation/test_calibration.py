"""Calibration: the expected calibration error against a slow reference, the bins by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridface.evaluation.calibration import BINS, reliability


def slow_calibration_error(confidence: Any, correct: Any, bins: int = 15) -> float:
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [
            (c, float(r))
            for c, r in zip(confidence, correct, strict=True)
            if low < c <= high or (number == 0 and c == 0)
        ]
        if inside:
            mean_confidence = sum(c for c, _ in inside) / len(inside)
            accuracy = sum(r for _, r in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(accuracy - mean_confidence)
    return total


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 60).map(lambda step: step / 60), st.booleans()), min_size=1
    )
)
def test_calibration_error_on_the_edges_of_bins(rows: list[tuple[float, bool]]) -> None:
    confidence, correct = np.array([c for c, _ in rows]), np.array([r for _, r in rows])
    assert reliability(confidence, correct).error == pytest.approx(
        slow_calibration_error(confidence, correct)
    )


def test_calibration_error_by_hand() -> None:
    sure = np.ones(4)
    assert reliability(sure, np.array([True] * 4)).error == 0
    assert reliability(sure, np.array([True, False, False, False])).error == 0.75
    # a full certainty and 0.96 share the last bin, so that their errors cancel
    pair = np.array([1.0, 0.96])
    assert reliability(pair, np.array([True, True])).error == pytest.approx(0.02)
    assert reliability(np.array([0.3, 0.9]), np.array([True, True])).error == pytest.approx(0.4)
    assert reliability(np.array([0.0]), np.array([False])).error == 0
    # 0.2 is the upper edge of the third bin, 0.21 lies in the fourth
    edge = np.array([0.2, 0.21])
    assert reliability(edge, np.array([True, False])).error == pytest.approx((0.8 + 0.21) / 2)


def test_the_bins_hold_every_prediction_once() -> None:
    confidence = np.array([0.0, 0.2, 0.21, 0.96, 1.0])
    correct = np.array([False, True, False, True, True])
    bins = reliability(confidence, correct)
    counts, right = np.zeros(BINS, int), np.zeros(BINS, int)
    counts[[0, 2, 3, 14]] = 1, 1, 1, 2
    right[[2, 14]] = 1, 2
    np.testing.assert_array_equal(bins.counts, counts)
    np.testing.assert_array_equal(bins.right, right)
    assert bins.expected[[2, 3, 14]] == pytest.approx([0.2, 0.21, 1.96])
    assert bins.edges[[0, 3, 15]] == pytest.approx([0, 0.2, 1])
