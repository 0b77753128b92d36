from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridface.data.numbers import quantile_bins
from hybridface.data.source import Rows
from hybridface.data.splits import assign_folds, cut, draw_fraction, leaked

SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Class ids, some missing, and groups of uneven sizes."""
    count = draw(st.integers(1, 120))
    random = np.random.default_rng(draw(SEEDS))
    ids = random.integers(-1, draw(st.integers(1, 7)), count)
    group = (random.random(count) ** 2 * draw(st.integers(1, 40))).astype(np.int64)
    return ids, group * 17 - 5


@given(rows(), st.integers(2, 6), SEEDS)
def test_folds_partition_and_spread_each_class(
    data: tuple[np.ndarray, np.ndarray], count: int, seed: int
) -> None:
    ids, _ = data
    fold = assign_folds(ids, None, count, seed)
    assert fold.shape == ids.shape
    assert set(fold) <= set(range(count))
    for value in np.unique(ids):
        sizes = np.bincount(fold[ids == value], minlength=count)
        assert sizes.max() - sizes.min() <= 1
    sizes = np.bincount(fold, minlength=count)
    assert sizes.max() - sizes.min() <= 1
    np.testing.assert_array_equal(fold, assign_folds(ids, None, count, seed))


@given(rows(), st.integers(2, 6), SEEDS)
def test_groups_never_cross_folds(
    data: tuple[np.ndarray, np.ndarray], count: int, seed: int
) -> None:
    ids, group = data
    fold = assign_folds(ids, group, count, seed)
    assert set(fold) <= set(range(count))
    largest = 0
    for value in np.unique(group):
        assert len(set(fold[group == value])) == 1
        largest = max(largest, int((group == value).sum()))
    sizes = np.bincount(fold, minlength=count)
    assert sizes.max() - sizes.min() <= largest
    np.testing.assert_array_equal(fold, assign_folds(ids, group, count, seed))


@given(rows(), st.floats(0.05, 0.95), SEEDS)
def test_cut_takes_a_fraction_of_each_class(
    data: tuple[np.ndarray, np.ndarray], fraction: float, seed: int
) -> None:
    ids, _ = data
    chosen = cut(ids, None, fraction, seed)
    for value in np.unique(ids):
        members = ids == value
        assert abs(int((chosen & members).sum()) - members.sum() * fraction) <= 0.5
    np.testing.assert_array_equal(chosen, cut(ids, None, fraction, seed))


@given(rows(), st.floats(0.05, 0.95), SEEDS)
def test_groups_never_cross_cuts(
    data: tuple[np.ndarray, np.ndarray], fraction: float, seed: int
) -> None:
    ids, group = data
    chosen = cut(ids, group, fraction, seed)
    assert chosen.any()
    largest = 0
    for value in np.unique(group):
        assert len(set(chosen[group == value])) == 1
        largest = max(largest, int((group == value).sum()))
    assert abs(int(chosen.sum()) - len(ids) * fraction) <= largest
    assert not chosen.all() or len(np.unique(group)) == 1
    np.testing.assert_array_equal(chosen, cut(ids, group, fraction, seed))


@pytest.mark.parametrize("seed", range(5))
def test_few_large_groups_are_still_cut(seed: int) -> None:
    group = np.repeat([4, 7, 9], 100)
    chosen = cut(np.zeros(300, dtype=np.int64), group, 0.1, seed)
    assert chosen.sum() == 100
    assert len(set(group[chosen])) == 1


def test_of_groups_that_are_all_too_large_the_smallest_is_cut() -> None:
    group = np.repeat([1, 2, 3], [50, 20, 80])
    for seed in range(5):
        chosen = cut(np.zeros(150, dtype=np.int64), group, 0.01, seed)
        assert set(group[chosen]) == {2}


def test_a_large_group_that_comes_first_is_passed_over() -> None:
    group = np.repeat(np.arange(101), [900] + [1] * 100)
    for seed in range(20):
        chosen = cut(np.zeros(1000, dtype=np.int64), group, 0.05, seed)
        assert chosen.sum() == 50
        assert not chosen[0]


def test_never_all_of_several_groups_are_cut() -> None:
    group = np.repeat([1, 2], [1, 1])
    for seed in range(5):
        assert cut(np.zeros(2, dtype=np.int64), group, 0.99, seed).sum() == 1


def test_rows_without_a_person_are_persons_of_their_own() -> None:
    group = np.array([7, -1, 7, -1, 2, -1])
    rows = Rows([*"abcdef"], np.full(6, ""), {}, group=group)
    assert rows.group is not None
    assert rows.group[[0, 2, 4]].tolist() == [7, 7, 2]
    assert len(np.unique(rows.group)) == 5
    assert (rows.group >= 0).all()
    assert group.tolist() == [7, -1, 7, -1, 2, -1]
    alone = Rows([*"ab"], np.full(2, ""), {}, group=np.array([-1, -1])).group
    assert alone is not None
    assert alone.tolist() == [0, 1]


def test_cuts_by_class_stay_what_they_were() -> None:
    ids = np.random.default_rng(0).integers(-1, 7, 500)
    chosen = cut(ids, None, 0.1, 3)
    assert hashlib.sha256(chosen.tobytes()).hexdigest()[:16] == "aed6c6121b3e3bc0"


@given(rows(), st.floats(0.001, 1), st.floats(0.001, 1), SEEDS)
def test_draws_are_nested_and_balanced(
    data: tuple[np.ndarray, np.ndarray], one: float, other: float, seed: int
) -> None:
    ids, _ = data
    small = draw_fraction(ids, min(one, other), seed)
    large = draw_fraction(ids, max(one, other), seed)
    assert not (small & ~large).any()
    for value in np.unique(ids):
        members = ids == value
        count = int((large & members).sum())
        assert count >= 1
        assert count == 1 or abs(count - members.sum() * max(one, other)) <= 0.5
    np.testing.assert_array_equal(large, draw_fraction(ids, max(one, other), seed))


@given(rows(), st.floats(0.001, 1), SEEDS)
def test_rows_with_a_label_are_drawn_as_if_alone(
    data: tuple[np.ndarray, np.ndarray], fraction: float, seed: int
) -> None:
    ids, _ = data
    known = ids >= 0
    alone = draw_fraction(ids[known], fraction, seed)
    np.testing.assert_array_equal(draw_fraction(ids, fraction, seed)[known], alone)


def test_draws_by_class_stay_what_they_were() -> None:
    ids = np.random.default_rng(0).integers(0, 7, 500)
    chosen = draw_fraction(ids, 0.1, 3)
    assert hashlib.sha256(chosen.tobytes()).hexdigest()[:16] == "8762a2d41204978a"


def test_everything_is_drawn_at_one() -> None:
    assert draw_fraction(np.array([0, 1, -1, 1]), 1.0, 0).all()
    assert not len(draw_fraction(np.array([], dtype=np.int64), 1.0, 0))


@pytest.mark.parametrize("function", [assign_folds, cut])
def test_seeds_differ(function: object) -> None:
    ids = np.zeros(200, dtype=np.int64)
    amount = 5 if function is assign_folds else 0.5
    first, second = (function(ids, None, amount, seed) for seed in (0, 1))  # type: ignore[operator]
    assert (first != second).any()


def test_leaked_finds_planted_duplicates() -> None:
    random = np.random.default_rng(0)
    raw = random.integers(0, 256, (60, 16), dtype=np.uint8)
    raw[:, -1] = 0  # a digest that ends in zero bytes is a digest still
    raw[50] = raw[3]
    raw[51] = raw[7]
    raw[8] = raw[9]  # twice in training is no leak
    digests = raw.view("V16").ravel()
    train = np.arange(60) < 50
    assert np.flatnonzero(leaked(digests, train, ~train)).tolist() == [3, 7]
    assert not leaked(digests, train, np.zeros(60, dtype=bool)).any()


@given(SEEDS, st.integers(1, 6))
def test_leaked_is_what_pairs_say(seed: int, kinds: int) -> None:
    random = np.random.default_rng(seed)
    content = random.integers(0, kinds, 20)
    digests = np.zeros((20, 16), dtype=np.uint8)
    digests[:, 15] = content
    train, held_out = random.random((2, 20)) < 0.5
    expected = [train[row] and content[row] in content[held_out] for row in range(20)]
    assert leaked(digests.view("V16").ravel(), train, held_out).tolist() == expected


@given(
    st.lists(st.one_of(st.just(np.nan), st.floats(-90, 90)), min_size=1, max_size=200),
    st.integers(2, 12),
)
def test_bins_of_numbers_are_in_order_and_about_equal(numbers: list[float], count: int) -> None:
    values = np.array(numbers)[:, None]
    bins = quantile_bins(np.concatenate([values, np.full_like(values, np.nan)], 1), count)
    known = np.isfinite(values[:, 0])
    assert (bins[~known] == -1).all()
    assert ((bins[known] >= 0) & (bins[known] < count)).all()
    order = np.argsort(values[known, 0], kind="stable")
    assert (np.diff(bins[known][order]) >= 0).all()
    if len(np.unique(values[known])) == known.sum():
        assert np.bincount(bins[known], minlength=count).max() <= known.sum() / count + 2


@pytest.mark.parametrize(("rows", "bins"), [(3, 1), (49, 1), (60, 2), (250, 10), (9000, 10)])
def test_a_tenth_can_be_cut_from_few_rows_too(rows: int, bins: int) -> None:
    values = np.random.default_rng(0).normal(size=(rows, 1))
    found = quantile_bins(values)
    assert len(np.unique(found)) == bins
    share = cut(found, None, 0.1, 0).mean()
    assert share == pytest.approx(0.1, abs=0.03) or rows < 5


def test_rows_without_the_first_number_share_a_bin() -> None:
    values = np.array([[1.0, 2], [np.nan, 3], [5, np.nan], [np.nan, np.nan]])
    assert quantile_bins(values, 2).tolist() == [0, 2, 1, -1]
