from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hybridface.data.batches import Batch, PictureBatches, make_loader
from hybridface.data.orders import BatchOrder
from hybridface.data.prepare import PreparedData
from hybridface.data.source import Labels, NumericLabels

SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture
def data() -> PreparedData:
    """Ten rows whose pixels are their number; six of them train, one without a label."""
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1) * np.ones((1, 4, 4, 3), np.uint8)
    ids = np.arange(10) % 3
    ids[2] = -1
    votes = np.random.default_rng(0).dirichlet(np.ones(3), 10).astype(np.float32)
    labels = {"expression": Labels(("a", "b", "c"), ids, votes), "sex": Labels(("f", "m"), ids % 2)}
    splits = {"train": np.array([0, 2, 4, 6, 8, 9]), "val": np.array([1, 3]), "test": np.array([5])}
    poses = np.arange(20, dtype=np.float32).reshape(10, 2)
    poses[4] = np.nan
    return PreparedData(
        images, labels, [str(n) for n in range(10)], splits, [], [],
        numeric={"pose": NumericLabels(("yaw", "pitch"), poses, "degrees")},
        sources={"": "made:up"},
    )  # fmt: skip


def test_a_batch_is_the_rows_asked_for(data: PreparedData) -> None:
    batch = PictureBatches(data, data.splits["train"])[np.array([5, 1, 0])]
    assert batch.images.shape == (3, 3, 4, 4)
    assert batch.images.dtype == torch.uint8
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.images[:, 0, 0, 0].tolist() == [9, 2, 0]
    assert batch.labels["expression"].tolist() == [0, -1, 0]
    assert torch.equal(
        batch.soft["expression"][0], torch.from_numpy(data.labels["expression"].soft[9])
    )
    assert batch.numeric["pose"].tolist() == [[18, 19], [4, 5], [0, 1]]
    assert "sex" in batch.labels
    assert "sex" not in batch.soft


def test_a_batch_is_a_copy(data: PreparedData) -> None:
    PictureBatches(data, data.splits["train"])[np.array([0, 1])].images[:] = 77
    assert 77 not in data.images


def test_a_loader_gives_each_row_once_in_order(data: PreparedData) -> None:
    order = BatchOrder(6, 4, seed=None)
    batches = list(make_loader(data, "train", order))
    assert [len(batch.images) for batch in batches] == [4, 2]
    seen = torch.cat([batch.images[:, 0, 0, 0] for batch in batches])
    assert seen.tolist() == data.splits["train"].tolist()


@given(st.integers(1, 200), st.integers(1, 70), SEEDS, st.integers(0, 5))
def test_training_orders(count: int, size: int, seed: int, epoch: int) -> None:
    order, again = BatchOrder(count, size, seed=seed), BatchOrder(count, size, seed=seed)
    order.set_epoch(epoch)
    again.set_epoch(epoch)
    batches = list(order)
    assert len(batches) == len(order)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))
    if count >= size:
        assert {len(batch) for batch in batches} == {size}
    seen = np.concatenate(batches)
    assert len(np.unique(seen)) == len(seen)  # no row twice
    assert count - len(seen) < size


@given(st.integers(1, 200), st.integers(1, 70), SEEDS | st.none(), st.integers(1, 4))
def test_processes_share_every_batch(count: int, size: int, seed: int | None, world: int) -> None:
    whole = list(BatchOrder(count, size, seed=seed))
    parts = [list(BatchOrder(count, size, seed=seed, rank=r, world=world)) for r in range(world)]
    assert {len(part) for part in parts} == {len(whole)}
    for batch, *shares in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(np.concatenate(shares), batch)
        lengths = {len(share) for share in shares}
        assert max(lengths) - min(lengths) <= (len(batch) % world > 0)


@given(SEEDS)
def test_epochs_and_seeds_differ(seed: int) -> None:
    order = BatchOrder(100, 100, seed=seed)
    (first,) = order
    order.set_epoch(1)
    (second,) = order
    (other,) = BatchOrder(100, 100, seed=seed + 1)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert sorted(first) == sorted(second) == list(range(100))


@given(st.integers(0, 100), st.integers(1, 30))
def test_without_a_seed_every_row_comes_in_order(count: int, size: int) -> None:
    batches = list(BatchOrder(count, size, seed=None))
    assert len(batches) == len(BatchOrder(count, size, seed=None))
    assert [row for batch in batches for row in batch] == list(range(count))


def test_repeating_a_batch_once_is_the_batch() -> None:
    batch = Batch(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), {}, {"a": torch.rand(2, 3)})
    assert batch.repeat(1) is batch
    thrice = batch.repeat(3)
    assert thrice.images.shape == (6, 3, 4, 4)
    assert torch.equal(thrice.soft["a"], torch.cat([batch.soft["a"]] * 3))


def test_numbers_go_with_their_pictures(data: PreparedData) -> None:
    batch = PictureBatches(data, data.splits["train"])[np.array([2, 1])]
    assert batch.numeric["pose"].dtype == torch.float32
    assert batch.numeric["pose"][0].isnan().all()
    twice = batch.repeat(2)
    assert twice.numeric["pose"][[1, 3]].tolist() == [[4, 5], [4, 5]]
    assert batch.rows(slice(1, 2)).numeric["pose"].tolist() == [[4, 5]]


def test_unlabelled_pictures_have_no_numbers(data: PreparedData) -> None:
    class Others:
        def read(self, index: np.ndarray) -> np.ndarray:
            return np.zeros((len(index), 4, 4, 3), np.uint8)

    mixed = dataclasses.replace(data, unlabelled=Others())  # type: ignore[arg-type]
    batch = PictureBatches(mixed, data.splits["train"])[np.array([1, 5]), np.arange(3)]
    assert batch.labelled == 2
    assert batch.numeric["pose"].shape == (5, 2)
    assert batch.numeric["pose"].isfinite().all(1).tolist() == [True, True, False, False, False]
