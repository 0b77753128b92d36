from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Generator

from hybridface.tasks import build_tasks
from hybridface.tasks.base import View
from hybridface.tasks.rotation import turn
from tiny_runs import labelled_batch

QUARTERS = st.lists(st.integers(0, 3), min_size=1, max_size=6)


@given(QUARTERS)
def test_each_picture_turns_as_numpy_turns_it(quarters: list[int]) -> None:
    images = torch.rand(len(quarters), 3, 8, 8)
    turned = turn(images, torch.tensor(quarters))
    for found, image, count in zip(turned, images, quarters, strict=True):
        np.testing.assert_array_equal(found, np.rot90(image, count, axes=(1, 2)))


@given(QUARTERS)
def test_turned_back_it_is_the_picture(quarters: list[int]) -> None:
    images, count = torch.rand(len(quarters), 3, 8, 8), torch.tensor(quarters)
    assert torch.equal(turn(turn(images, count), (4 - count) % 4), images)


def test_turns_are_told_in_degrees_to_the_left() -> None:
    (task,) = build_tasks({"rotation": {}})
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image = torch.from_numpy(pixels).permute(2, 0, 1)
    for number, degrees in enumerate(task.describe()["turns"]):
        turned = turn(image.unsqueeze(0), torch.tensor([number]))[0].permute(1, 2, 0)
        assert np.array_equal(turned, np.asarray(Image.fromarray(pixels).rotate(degrees)))


def test_answers_are_chances_and_cost_their_mean_surprise() -> None:
    (task,) = build_tasks({"rotation": {}})
    logits, target = torch.eye(4)[:3] * 2, torch.tensor([0, 1, 0])
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    torch.testing.assert_close(task.decode(logits), chances)
    expected = -np.log([chances[row, number] for row, number in enumerate(target)]).mean()
    assert task.loss(logits, target).item() == pytest.approx(expected)


def test_all_quarters_are_as_likely() -> None:
    (task,) = build_tasks({"rotation": {}})
    images = torch.zeros(8000, 3, 2, 2)
    view = task.make_view(images, labelled_batch(), Generator().manual_seed(0))
    parts = torch.bincount(view.target, minlength=4) / len(images)
    torch.testing.assert_close(parts, torch.full((4,), 0.25), atol=0.02, rtol=0)


def test_a_right_answer_lays_the_picture_upright() -> None:
    (task,) = build_tasks({"rotation": {}})
    batch = labelled_batch()
    images = batch.images.float() / 255
    view = task.make_view(images, batch, Generator().manual_seed(1))
    assert bool((view.target != 0).any())
    logits = torch.nn.functional.one_hot(view.target, 4).float()
    shown = task.picture(images, view, logits)
    assert torch.equal(shown["answered"], images)
    assert task.measure(logits, view.target) == {"accuracy": torch.tensor(1.0)}
    assert not torch.equal(
        task.picture(images, View(None, view.target), logits)["answered"], images
    )
