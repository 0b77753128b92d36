"""One number a task makes the answers as sure as they are right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special

from hybridface.errors import DataError
from hybridface.evaluation.recalibration import (
    LEAST_PICTURES,
    fit_deviation,
    fit_temperature,
    tempered,
)

Floats = NDArray[np.float64]


def classified(temperature: float, count: int, seed: int = 0) -> tuple[Floats, NDArray[np.int64]]:
    """Return what a model says that is as sure as it should be at a temperature, and the truth."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (count, 5))
    true = special.softmax(logits / temperature, axis=1)
    targets = (true.cumsum(axis=1) > random.random((count, 1))).argmax(axis=1)
    return special.softmax(logits, axis=1), targets


def laplace_loss(outputs: Floats, targets: Floats, factor: float) -> float:
    total = 0.0
    for (middle, deviation), true in zip(outputs, targets, strict=True):
        width = deviation * factor / 2**0.5
        total += np.log(2 * width) + abs(middle - true) / width
    return total / len(targets)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7, 4.0])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    probabilities, targets = classified(temperature, 40_000)
    found = fit_temperature(probabilities, targets)
    assert found.factor == pytest.approx(temperature, rel=0.05)
    assert found.count == 40_000
    assert found.loss[1] <= found.loss[0]
    assert found.trust[1] < 0.01
    if temperature != 1:
        assert found.trust[0] > 0.03


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 3))
def test_no_other_temperature_is_likelier(seed: int, temperature: float) -> None:
    probabilities, targets = classified(temperature, 300, seed)
    found = fit_temperature(probabilities, targets)
    for other in (0.8, 0.97, 1.03, 1.25):
        powers = probabilities ** (1 / (found.factor * other))
        said = powers / powers.sum(axis=1, keepdims=True)
        loss = -np.log(said[np.arange(300), targets]).mean()
        assert found.loss[1] <= loss + 1e-9


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 10))
def test_a_temperature_changes_no_answer_and_is_undone_by_its_inverse(
    seed: int, temperature: float
) -> None:
    probabilities, _ = classified(1.0, 20, seed)
    changed = tempered(probabilities, temperature)
    np.testing.assert_array_equal(changed.argmax(1), probabilities.argmax(1))
    np.testing.assert_allclose(changed.sum(1), 1)
    np.testing.assert_allclose(tempered(changed, 1 / temperature), probabilities, atol=1e-6)


@pytest.mark.parametrize("factor", [0.4, 1.0, 1.8])
def test_the_factor_that_made_the_numbers_is_found(factor: float) -> None:
    random = np.random.default_rng(0)
    deviations = random.uniform(1, 9, 40_000)
    targets = random.uniform(0, 90, 40_000)
    middles = targets + random.laplace(0, factor * deviations / 2**0.5)
    outputs = np.column_stack([middles, deviations])
    found = fit_deviation(outputs, targets)
    assert found.factor == pytest.approx(factor, rel=0.02)
    assert found.trust[1] == pytest.approx(1 - np.exp(-1.96 * 2**0.5), abs=0.005)
    few = slice(0, 60)
    of_few = fit_deviation(outputs[few], targets[few])
    best = laplace_loss(outputs[few], targets[few], of_few.factor)
    assert of_few.loss == pytest.approx((laplace_loss(outputs[few], targets[few], 1), best))
    for other in (0.9, 1.1):
        assert best < laplace_loss(outputs[few], targets[few], of_few.factor * other)


def test_zeros_are_no_failure() -> None:
    probabilities = np.tile(np.array([[1, 0, 0]], np.float32), (60, 1))
    targets = np.array([0] * 59 + [1])
    found = fit_temperature(probabilities, targets)
    assert np.isfinite(found.loss).all()
    assert found.factor > 1


def test_too_few_pictures_and_none_that_is_wrong_say_nothing() -> None:
    probabilities, targets = classified(1.0, LEAST_PICTURES - 1)
    with pytest.raises(DataError, match=r"49 pictures with a label are too few .* at least 50"):
        fit_temperature(probabilities, targets)
    probabilities, _ = classified(1.0, 100)
    with pytest.raises(DataError, match=r"temperature that fits .* all answers are right"):
        fit_temperature(probabilities, probabilities.argmax(1))
    exact = np.column_stack([np.arange(60.0), np.ones(60)])
    with pytest.raises(DataError, match="factor of the deviations"):
        fit_deviation(exact, exact[:, 0])
