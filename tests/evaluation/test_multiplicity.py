"""Holm's correction against its definition."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridface.evaluation.multiplicity import holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def rejected_by_hand(p_values: list[float], level: float) -> set[int]:
    """Go through the claims from the smallest p value up, until one is too large."""
    left = sorted(range(len(p_values)), key=lambda number: p_values[number])
    found: set[int] = set()
    for number in left:
        if p_values[number] * (len(p_values) - len(found)) > level:
            break
        found.add(number)
    return found


@given(P_VALUES, st.floats(0.001, 0.999))
def test_rejects_what_the_procedure_rejects(p_values: list[float], level: float) -> None:
    corrected = holm(p_values)
    assert {number for number, p in enumerate(corrected) if p <= level} == rejected_by_hand(
        p_values, level
    )


def test_known_values() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.7, 0.6]) == [1, 1]


@given(P_VALUES)
def test_no_claim_gets_easier_and_one_alone_stays(p_values: list[float]) -> None:
    assert all(new >= old for new, old in zip(holm(p_values), p_values, strict=True))
    assert holm(p_values[:1]) == p_values[:1]


def test_what_could_not_be_tested_counts_and_stays_unknown() -> None:
    first, unknown = holm([0.02, math.nan])
    assert first == pytest.approx(0.04)
    assert math.isnan(unknown)
