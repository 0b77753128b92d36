"""In which order rows make batches: classes in balance, pictures without labels beside them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridface.data.orders import (
    BatchOrder,
    MixedOrder,
    balanced_rows,
    rows_shown,
    weighted_rows,
)


def epochs(order: MixedOrder, *numbers: int) -> list[np.ndarray]:  # type: ignore[type-arg]
    found = []
    for number in numbers:
        order.set_epoch(number)
        found += [others for _, others in order]
    return found


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=60), st.integers(0, 9))
def test_every_class_comes_equally_often(ids: list[int], seed: int) -> None:
    classes = np.array(ids)
    rows = balanced_rows(classes, np.random.default_rng(seed))
    assert len(rows) == len(classes)
    drawn = classes[rows]
    assert (drawn == -1).sum() == (classes == -1).sum()
    counts = [int((drawn == number).sum()) for number in np.unique(classes[classes >= 0])]
    assert not counts or max(counts) - min(counts) <= 1
    for number in np.unique(classes):
        times = np.bincount(rows[drawn == number], minlength=len(classes))[classes == number]
        assert times.max() - times.min() <= 1


def test_balanced_epochs_differ_and_come_again() -> None:
    classes = np.array([0] * 90 + [1] * 10)
    order = BatchOrder(100, 20, seed=3, classes=classes)
    first = np.concatenate(list(order))
    order.set_epoch(1)
    second = np.concatenate(list(order))
    assert sorted(classes[first]) == sorted(classes[second]) == [0] * 50 + [1] * 50
    assert set(first[classes[first] == 0]) != set(second[classes[second] == 0])
    order.set_epoch(0)
    assert np.array_equal(np.concatenate(list(order)), first)


def test_unlabelled_pictures_run_on_over_epochs() -> None:
    """Each comes once before any comes again, whatever the epochs are."""
    order = MixedOrder(BatchOrder(12, 4, seed=7), count=10, size=4)
    stream = np.concatenate(epochs(order, 0, 1, 2, 3, 4))
    assert len(stream) == 5 * 3 * 4
    for start in range(0, 60, 10):
        assert sorted(stream[start : start + 10]) == list(range(10))
    assert not np.array_equal(stream[:10], stream[10:20])


def test_a_later_epoch_needs_no_earlier_one() -> None:
    order = MixedOrder(BatchOrder(12, 4, seed=7), count=10, size=4)
    whole = epochs(order, 0, 1, 2)
    alone = epochs(MixedOrder(BatchOrder(12, 4, seed=7), count=10, size=4), 2)
    assert all(np.array_equal(a, b) for a, b in zip(whole[6:], alone, strict=True))


@pytest.mark.parametrize("count", [1, 3])
def test_a_step_may_hold_more_pictures_than_there_are(count: int) -> None:
    order = MixedOrder(BatchOrder(4, 4, seed=0), count=count, size=8)
    (others,) = epochs(order, 0)
    assert np.bincount(others, minlength=count).min() >= 8 // count


def test_processes_share_the_unlabelled_pictures() -> None:
    whole = epochs(MixedOrder(BatchOrder(8, 4, seed=1), 100, 6), 0, 1)
    parts = [
        epochs(MixedOrder(BatchOrder(8, 4, seed=1, rank=r, world=2), 100, 6), 0, 1) for r in (0, 1)
    ]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert [len(share) for share in shares] == [3, 3]
        np.testing.assert_array_equal(np.concatenate(shares), batch)


@given(st.integers(0, 6), st.integers(0, 3))
def test_an_epoch_goes_on_in_its_middle(batch: int, epoch: int) -> None:
    def order() -> MixedOrder:
        return MixedOrder(BatchOrder(24, 4, seed=3), count=7, size=2)

    whole, resumed = order(), order()
    for each in (epoch, epoch + 1):
        whole.set_epoch(each)
        if each == epoch:
            resumed.resume_at(epoch, batch)
        resumed.set_epoch(each)  # as Lightning does before each epoch
        expected = list(whole)[batch if each == epoch else 0 :]
        found = list(resumed)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one[0], other[0])
            np.testing.assert_array_equal(one[1], other[1])
    assert len(resumed) == len(whole)


@given(st.lists(st.sampled_from([0.3, 0.5, 1.0, 2.5]), min_size=1, max_size=40), st.integers(0, 9))
def test_rows_come_as_often_as_they_weigh(given_shares: list[float], seed: int) -> None:
    """Over epochs none comes a second time more than another of its share."""
    shares = np.array(given_shares)
    times = np.zeros(len(shares), dtype=int)
    for epoch in range(12):
        rows = weighted_rows(shares, seed, epoch)
        assert len(rows) == rows_shown(shares)
        times += np.bincount(rows, minlength=len(shares))
        for share in np.unique(shares):
            of_share = times[shares == share]
            assert of_share.max() - of_share.min() <= 1
    for share in np.unique(shares):
        count = int((shares == share).sum())
        assert times[shares == share].sum() == 12 * max(1, round(share * count))


def test_an_epoch_of_weighted_rows_is_as_long_as_it_says() -> None:
    shares = np.array([2.0] * 10 + [0.5] * 40)
    order = BatchOrder(50, 8, seed=1, shares=shares)
    assert len(order) == 5
    first = np.concatenate(list(order))
    order.set_epoch(1)
    assert not np.array_equal(np.concatenate(list(order)), first)
    whole = list(BatchOrder(50, 8, seed=1, shares=shares))
    halves = [BatchOrder(50, 8, seed=1, rank=r, world=2, shares=shares) for r in range(2)]
    for one, other, batch in zip(*halves, whole, strict=True):
        assert np.array_equal(np.concatenate([one, other]), batch)


@given(st.integers(1, 40), st.integers(1, 24), st.booleans())
def test_a_batch_has_as_many_rows_as_it_says(count: int, size: int, mixed: bool) -> None:
    order = BatchOrder(count, size, seed=2)
    batches = [rows for rows, _ in MixedOrder(order, 7, 3)] if mixed else list(order)
    said = MixedOrder(order, 7, 3).rows_a_batch if mixed else order.rows_a_batch
    assert {len(rows) for rows in batches} == {said}
