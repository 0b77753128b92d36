"""The statistics against slow references, known values and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from hybridface.errors import HybridFaceError
from hybridface.evaluation.bootstrap import paired_bootstrap, paired_class_bootstrap
from hybridface.evaluation.statistics import (
    mcnemar_exact,
    paired_difference,
    smallest_detectable,
    t_interval,
    wilson_interval,
)


def test_t_interval_is_the_textbook_one() -> None:
    # n=4, t(0.975, 3) = 3.182446; mean 2.5, deviation 1.290994
    interval = t_interval([1.0, 2.0, 3.0, 4.0])
    assert interval.mean == 2.5
    assert interval.high - 2.5 == pytest.approx(3.182446 * 1.290994 / 2, abs=1e-5)
    assert interval.low == pytest.approx(5 - interval.high)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
def test_t_interval_agrees_with_scipy(level: float) -> None:
    values = np.random.default_rng(1).normal(size=7)
    low, high = stats.t.interval(level, 6, values.mean(), stats.sem(values))
    interval = t_interval(values, level)
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_one_value_has_a_mean_and_no_bounds() -> None:
    interval = t_interval([0.4])
    assert interval.mean == 0.4
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


@pytest.mark.parametrize("values", [[], [[1.0, 2.0]]])
def test_t_interval_refuses_what_is_no_sample(values: object) -> None:
    with pytest.raises(HybridFaceError, match="one or more values"):
        t_interval(values)  # type: ignore[arg-type]


def test_paired_difference_agrees_with_scipy() -> None:
    random = np.random.default_rng(2)
    control = random.normal(0.6, 0.02, size=5)
    treated = control + random.normal(0.01, 0.01, size=5)
    reference = stats.ttest_rel(treated, control)
    difference = paired_difference(treated, control)
    bounds = reference.confidence_interval(0.95)
    assert difference.count == 5
    assert difference.mean == pytest.approx(np.mean(treated - control))
    assert difference.deviation == pytest.approx(np.std(treated - control, ddof=1))
    assert difference.p_value == pytest.approx(reference.pvalue)
    assert (difference.low, difference.high) == pytest.approx((bounds.low, bounds.high))


def test_paired_difference_of_one_seed_claims_nothing() -> None:
    difference = paired_difference([0.5], [0.4])
    assert difference.mean == pytest.approx(0.1)
    for value in (difference.low, difference.p_value, difference.smallest_detectable):
        assert math.isnan(value)


def test_paired_difference_without_deviation() -> None:
    same = paired_difference([0.5, 0.6], [0.5, 0.6])
    assert (same.mean, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    shifted = paired_difference([2.0, 3.0], [1.0, 2.0])
    assert (shifted.mean, shifted.p_value, shifted.smallest_detectable) == (1, 0, 0)


def test_paired_difference_refuses_unequal_lengths() -> None:
    with pytest.raises(HybridFaceError, match="not 2 and 1"):
        paired_difference([1.0, 2.0], [1.0])


def test_smallest_detectable_known_value() -> None:
    # Any table of the t test: a standardised effect of 1 needs 10 pairs for a power of 0.803.
    assert smallest_detectable(1.0, 10, power=0.803) == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("count", [2, 3, 5, 20])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_power_at_the_smallest_detectable_difference(count: int, power: float) -> None:
    deviation = 0.02
    shift = smallest_detectable(deviation, count, power=power)
    draws = np.random.default_rng(3).normal(shift, deviation, size=(40_000, count))
    found = stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(power, abs=0.01)


def naive_bootstrap(
    treated: list[np.ndarray], control: list[np.ndarray], draws: int, same_pictures: bool
) -> tuple[float, float]:
    random = np.random.default_rng(9)
    values = []
    for _ in range(draws):
        index = random.integers(len(treated[0]), size=len(treated[0]))
        gains = []
        for first, second in zip(treated, control, strict=True):
            if not same_pictures:
                index = random.integers(len(first), size=len(first))
            gains.append(first[index].mean() - second[index].mean())
        values.append(np.mean(gains))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def correct(sizes: list[int], share: float, seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.random(size) < share for size in sizes]


def test_bootstrap_agrees_with_drawing_indices() -> None:
    sizes = [120, 150, 90]
    treated, control = correct(sizes, 0.7, 1), correct(sizes, 0.6, 2)
    low, high = naive_bootstrap(treated, control, 4000, same_pictures=False)
    interval = paired_bootstrap(treated, control)
    gains = [a.mean() - b.mean() for a, b in zip(treated, control, strict=True)]
    assert interval.mean == pytest.approx(np.mean(gains))
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.005)


def test_bootstrap_of_the_same_pictures_draws_them_once() -> None:
    treated = [correct([200], 0.7, 1)[0]] * 3  # three seeds that agree on every picture
    control = [correct([200], 0.6, 2)[0]] * 3
    low, high = naive_bootstrap(treated, control, 4000, same_pictures=True)
    once = paired_bootstrap(treated, control, same_pictures=True)
    apart = paired_bootstrap(treated, control)
    assert (once.low, once.high) == pytest.approx((low, high), abs=0.007)
    assert once.high - once.low > 1.5 * (apart.high - apart.low)


def test_bootstrap_repeats_itself_by_seed() -> None:
    treated, control = correct([50], 0.7, 1), correct([50], 0.6, 2)
    first = paired_bootstrap(treated, control, draws=500, seed=4)
    assert first == paired_bootstrap(treated, control, draws=500, seed=4)


def test_bootstrap_of_numbers_is_that_of_their_mean() -> None:
    random = np.random.default_rng(2)
    treated = [random.normal(3, 2, size) for size in (300, 100)]
    control = [random.normal(2, 1, size) for size in (300, 100)]
    differences = [a - b for a, b in zip(treated, control, strict=True)]
    interval = paired_bootstrap(treated, control, draws=4000)
    assert interval.mean == pytest.approx(np.mean([each.mean() for each in differences]))
    error = math.sqrt(sum(each.var() / len(each) for each in differences)) / 2
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.06)
    assert interval.high + interval.low == pytest.approx(2 * interval.mean, abs=0.03)


def test_each_seed_has_persons_of_its_own() -> None:
    random = np.random.default_rng(3)
    few, many = np.arange(120) % 6, np.arange(120)
    values = [random.normal(size=6)[few] + random.normal(size=120) / 5, random.normal(size=120)]
    nothing = np.zeros(120)
    alone = [
        paired_bootstrap([each], [nothing], draws=4000, groups=[of])
        for each, of in zip(values, (few, many), strict=True)
    ]
    both = paired_bootstrap(values, [nothing] * 2, draws=4000, groups=[few, many])
    widths = [each.high - each.low for each in (*alone, both)]
    assert widths[2] == pytest.approx(math.hypot(widths[0], widths[1]) / 2, rel=0.08)
    turned = paired_bootstrap(values[::-1], [nothing] * 2, draws=4000, groups=[many, few])
    assert turned.high - turned.low == pytest.approx(widths[2], rel=0.08)


def test_bootstrap_of_equal_arms_is_zero() -> None:
    same = correct([40, 40], 0.5, 1)
    interval = paired_bootstrap(same, same)
    assert (interval.mean, interval.low, interval.high) == (0, 0, 0)


@pytest.mark.parametrize(
    ("treated", "control", "message"),
    [
        ([], [], "same seeds"),
        ([np.ones(3, bool)], [], "same seeds"),
        ([np.ones(3, bool)], [np.ones(4, bool)], "entry 0 has 3 and 4"),
        ([np.ones(0, bool)], [np.ones(0, bool)], "entry 0 has 0 and 0"),
    ],
)
def test_bootstrap_refuses_what_is_not_paired(
    treated: list[np.ndarray], control: list[np.ndarray], message: str
) -> None:
    with pytest.raises(HybridFaceError, match=message):
        paired_bootstrap(treated, control)


def test_bootstrap_refuses_unlike_test_sets_as_the_same_pictures() -> None:
    arms = correct([10, 12], 0.5, 1)
    with pytest.raises(HybridFaceError, match="same number of pictures"):
        paired_bootstrap(arms, arms, same_pictures=True)


def test_level_and_power_are_those_asked_for() -> None:
    treated, control = np.array([3.0, 4, 6, 5]), np.array([2.5, 3, 5.5, 5])
    found = paired_difference(treated, control, level=0.9, power=0.6)
    interval = t_interval(treated - control, 0.9)
    assert (found.low, found.high) == (interval.low, interval.high)
    assert found.smallest_detectable == smallest_detectable(found.deviation, 4, 0.9, 0.6)


def test_differences_equal_but_for_rounding_do_not_deviate() -> None:
    control = np.array([0.1, 0.2, 0.7])
    found = paired_difference(control + 0.1, control)
    assert (found.deviation, found.p_value, found.smallest_detectable) == (0, 0, 0)


def test_wilson_interval_is_the_formula() -> None:
    z = stats.norm.isf(0.025)
    share, count = 0.8, 50
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    interval = wilson_interval(40, 50)
    assert interval.mean == 0.8
    assert (interval.low, interval.high) == pytest.approx((centre - half, centre + half))


def test_wilson_interval_at_the_ends() -> None:
    assert wilson_interval(0, 10).low == 0
    assert wilson_interval(10, 10).high == 1


@pytest.mark.parametrize(("successes", "count"), [(0, 0), (3, 2), (-1, 5)])
def test_wilson_interval_refuses_what_is_no_fraction(successes: int, count: int) -> None:
    with pytest.raises(HybridFaceError, match="no fraction"):
        wilson_interval(successes, count)


def test_mcnemar_is_the_binomial_test() -> None:
    assert mcnemar_exact(0, 0) == mcnemar_exact(4, 4) == 1
    assert mcnemar_exact(0, 6) == mcnemar_exact(6, 0) == pytest.approx(2 / 2**6)
    assert mcnemar_exact(1, 4) == pytest.approx(2 * (1 + 5) / 2**5)
    with pytest.raises(HybridFaceError, match="negative"):
        mcnemar_exact(-1, 2)


def test_class_bootstrap_of_one_class_is_that_of_accuracy() -> None:
    random = np.random.default_rng(0)
    treated, control = random.random((2, 50)) < 0.6
    whole = paired_bootstrap([treated], [control])
    found = paired_class_bootstrap(treated, control, np.full(50, 3))
    assert (found.mean, found.low, found.high) == pytest.approx((whole.mean, whole.low, whole.high))


def test_class_bootstrap_weighs_classes_alike() -> None:
    targets = np.array([0] * 9 + [1])
    treated = np.ones(10, dtype=bool)
    control = treated & (targets == 0)
    interval = paired_class_bootstrap(treated, control, targets)
    assert (interval.mean, interval.low, interval.high) == (0.5, 0, 0.5)


def test_class_bootstrap_refuses_what_is_not_paired() -> None:
    right = np.ones(3, dtype=bool)
    with pytest.raises(HybridFaceError, match="same pictures"):
        paired_class_bootstrap(right, right[:2], np.zeros(3, dtype=np.int64))
    with pytest.raises(HybridFaceError, match="true classes"):
        paired_class_bootstrap(right, right, np.zeros(2, dtype=np.int64))


def test_a_bootstrap_by_person_draws_persons_with_all_their_pictures() -> None:
    random = np.random.default_rng(5)
    persons = random.integers(0, 12, 200)
    right = random.random((2, 200)) < random.random(12)[persons] * np.array([[1.0], [0.7]])
    interval = paired_bootstrap([right[0]], [right[1]], draws=4000, groups=[persons])
    difference = right[0].astype(float) - right[1]
    drawn = []
    for _ in range(4000):
        chosen = random.integers(0, 12, 12)
        pictures = np.concatenate([np.flatnonzero(persons == person) for person in chosen])
        drawn.append(difference[pictures].mean())
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert interval.mean == pytest.approx(difference.mean())
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.01)
    alone = [np.arange(200)]
    by_picture = paired_bootstrap([right[0]], [right[1]])
    each = paired_bootstrap([right[0]], [right[1]], groups=alone)
    assert (each.low, each.high) == pytest.approx((by_picture.low, by_picture.high), abs=0.01)
    with pytest.raises(HybridFaceError, match="the person of every picture"):
        paired_bootstrap([right[0]], [right[1]], groups=[persons[:9]])


def test_a_class_bootstrap_by_person_draws_persons_with_all_their_pictures() -> None:
    random = np.random.default_rng(6)
    persons, targets = random.integers(0, 12, 200), random.integers(0, 3, 200)
    right = random.random((2, 200)) < random.random(12)[persons] * np.array([[1.0], [0.5]])
    interval = paired_class_bootstrap(right[0], right[1], targets, draws=4000, group=persons)
    difference = right[0].astype(float) - right[1]

    def mean(rows: NDArray[np.int64]) -> float:
        found = [difference[rows][targets[rows] == k] for k in range(3)]
        return float(np.mean([each.mean() for each in found if len(each)]))

    drawn = []
    for _ in range(2000):
        chosen = random.integers(0, 12, 12)
        drawn.append(mean(np.concatenate([np.flatnonzero(persons == one) for one in chosen])))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert interval.mean == pytest.approx(mean(np.arange(200)))
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.015)
