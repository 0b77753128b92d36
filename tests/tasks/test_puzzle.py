from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Generator, Tensor

from hybridface.errors import UsageError
from hybridface.tasks import build_tasks
from hybridface.tasks.base import View
from hybridface.tasks.puzzle import Puzzle, random_orders, shuffle_tiles
from tiny_runs import labelled_batch

GRIDS = st.integers(2, 6)
SEEDS = st.integers(0, 2**32 - 1)


def puzzle(grid: int, **options: Any) -> Puzzle:
    (task,) = build_tasks({"puzzle": {"grid": grid, **options}})
    assert isinstance(task, Puzzle)
    return task


@st.composite
def dealt(draw: st.DrawFn) -> tuple[Tensor, Tensor, int]:
    """Pictures of any shape that a grid divides, permutations, and the grid."""
    grid = draw(GRIDS)
    tall, wide = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    count, channels = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    generator = Generator().manual_seed(draw(SEEDS))
    images = torch.rand(count, channels, grid * tall, grid * wide, generator=generator)
    return images, random_orders(count, grid * grid, generator), grid


def slow_shuffle(images: Tensor, order: Tensor, grid: int) -> Tensor:
    """Copy tile by tile."""
    out = torch.full_like(images, -1)
    tall, wide = images.shape[-2] // grid, images.shape[-1] // grid
    for number, picture in enumerate(images):
        for slot in range(grid * grid):
            tile = int(order[number, slot])
            from_y, from_x = tile // grid * tall, tile % grid * wide
            to_y, to_x = slot // grid * tall, slot % grid * wide
            part = picture[:, from_y : from_y + tall, from_x : from_x + wide]
            out[number, :, to_y : to_y + tall, to_x : to_x + wide] = part
    return out


@given(dealt())
def test_tiles_go_where_a_slow_loop_puts_them(case: tuple[Tensor, Tensor, int]) -> None:
    assert torch.equal(shuffle_tiles(*case), slow_shuffle(*case))


@given(dealt())
def test_undone_is_the_picture_again(case: tuple[Tensor, Tensor, int]) -> None:
    images, order, grid = case
    puzzled = shuffle_tiles(images, order, grid)
    assert torch.equal(shuffle_tiles(puzzled, order.argsort(1), grid), images)
    assert torch.equal(puzzled.flatten().sort().values, images.flatten().sort().values)


@given(dealt())
def test_the_right_order_does_nothing(case: tuple[Tensor, Tensor, int]) -> None:
    images, order, grid = case
    assert torch.equal(shuffle_tiles(images, order.sort(1).values, grid), images)


def test_shuffled_pictures_are_channels_last() -> None:
    images = torch.rand(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    puzzled = shuffle_tiles(images, random_orders(2, 16, Generator()), 4)
    assert puzzled.is_contiguous(memory_format=torch.channels_last)


@given(st.integers(1, 20), GRIDS, SEEDS)
def test_orders_are_permutations(count: int, grid: int, seed: int) -> None:
    orders = random_orders(count, grid**2, Generator().manual_seed(seed))
    assert torch.equal(orders.sort(1).values, torch.arange(grid**2).expand(count, -1))


def test_every_order_is_as_likely() -> None:
    orders = random_orders(24_000, 4, Generator().manual_seed(0))
    numbers, counts = np.unique(orders.numpy() @ [64, 16, 4, 1], return_counts=True)
    assert len(numbers) == 24
    assert chisquare(counts).pvalue > 0.01


def test_no_tile_prefers_a_slot_of_a_large_grid() -> None:
    orders = random_orders(8_000, 16, Generator().manual_seed(1))
    for slot in range(16):
        assert chisquare(np.bincount(orders[:, slot].numpy(), minlength=16)).pvalue > 1e-4


@given(st.integers(1, 5), st.integers(2, 3), SEEDS)
def test_loss_is_what_a_slow_sum_gives(count: int, grid: int, seed: int) -> None:
    slots = grid**2
    generator = Generator().manual_seed(seed)
    output = 3 * torch.randn(count, slots, slots, generator=generator)
    target = random_orders(count, slots, generator)
    logits = output.double().numpy()
    total = 0.0
    for number in range(count):
        for slot in range(slots):
            powers = np.exp(logits[number, slot])
            total -= np.log(powers[int(target[number, slot])] / powers.sum())
    assert puzzle(grid).loss(output, target).item() == pytest.approx(total / count, rel=1e-4)


@given(st.integers(1, 5), GRIDS, SEEDS)
def test_a_perfect_answer_lays_the_picture(count: int, grid: int, seed: int) -> None:
    task = puzzle(grid)
    batch = labelled_batch(count, 4 * grid, seed=seed % 1000)
    images = batch.images.float() / 255
    view = task.make_view(images, batch, Generator().manual_seed(seed))
    output = torch.full((count, grid**2, grid**2), -20.0)
    output.scatter_(2, view.target.unsqueeze(-1), 20.0)
    shown = task.picture(images, view, output)
    assert torch.equal(shown["answered"], images)
    assert torch.equal(shown["intact"], images)
    assert view.images is not None
    assert torch.equal(shown["dealt"], view.images)
    assert task.measure(output, view.target)["slot_accuracy"] == 1
    assert task.loss(output, view.target) < 1e-3


def test_an_unsure_answer_shows_a_tile_in_every_slot() -> None:
    images = torch.rand(2, 3, 8, 8)
    shown = puzzle(2).picture(images, View(images, None), torch.zeros(2, 4, 4))
    assert set(shown["answered"].unique().tolist()) <= set(images.unique().tolist())


def test_a_place_shows_the_slot_that_claims_its_tile_most_surely() -> None:
    images = torch.arange(4.0).view(1, 1, 2, 2)
    claims = torch.tensor([[3.0, 0, 0, 0], [9, 9, 0, 0], [0, 0, 0, 0], [6, 0, 0, 0]])
    shown = puzzle(2).picture(images, View(None, None), claims.unsqueeze(0))
    assert torch.equal(shown["dealt"], images)
    assert shown["answered"][0, 0, 0].tolist() == [3, 1]


def test_slot_accuracy_counts_slots() -> None:
    output = torch.eye(4).expand(2, 4, 4) * 5
    target = torch.tensor([[0, 1, 2, 3], [0, 1, 3, 2]])
    assert puzzle(2).measure(output, target)["slot_accuracy"] == 0.75


@given(GRIDS, st.integers(16, 200))
def test_sizes_that_do_not_divide_are_refused(grid: int, size: int) -> None:
    task = puzzle(grid)
    if size % grid == 0:
        task.adopt(None, None, size)
        return
    with pytest.raises(UsageError, match=f"data.size is {size}") as caught:
        task.adopt(None, None, size)
    lower = max(s for s in range(size) if s % grid == 0)
    assert f"nearest that fit are {lower} and {lower + grid}" in str(caught.value)


@pytest.mark.parametrize("grid", [0, 1, 17, 2.5])
def test_grids_that_are_none_are_refused(grid: float) -> None:
    with pytest.raises(UsageError, match=r"tasks\.puzzle: grid"):
        build_tasks({"puzzle": {"grid": grid}})
