"""Cheaper views: a part of the pictures, smaller ones, at some of the steps."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from hybridface.data.batches import Batch
from hybridface.errors import UsageError
from hybridface.network.model import HybridModel, HybridStep
from hybridface.network.split_batch_norm import batch_norms
from hybridface.network.views import (
    make_views,
    part_of_steps,
    passes_a_picture,
    rows_of_view,
    shrink,
)
from hybridface.tasks import build_tasks
from hybridface.tasks.base import Task, View
from hybridface.training.refusals import refuse_early
from tiny_runs import labelled_batch, tiny_model, tiny_recipe

EXPRESSION = {"expression": {"dropout": 0.0}}


def pictures(batch: Batch) -> Tensor:
    return batch.images.float() / 255


def with_puzzle(**options: Any) -> tuple[HybridModel, list[Task]]:
    return tiny_model(EXPRESSION | {"puzzle": {"grid": 2, "weight": 0.5, **options}})


def passes_of(model: HybridModel) -> list[tuple[int, int]]:
    """Note how many pictures of which side the backbone sees, pass by pass."""
    seen: list[tuple[int, int]] = []
    model.backbone.register_forward_pre_hook(
        lambda _, given: seen.append((len(given[0]), given[0].shape[-1]))
    )
    return seen


def take_step(
    model: HybridModel, tasks: list[Task], count: int = 8, **options: Any
) -> tuple[Tensor, dict[str, Tensor]]:
    batch = labelled_batch(count)
    step = HybridStep(model, tasks, "split")
    return step(pictures(batch), batch, Generator().manual_seed(0), **options)


@pytest.mark.parametrize(
    ("count", "labelled", "copies", "part", "expected"),
    [
        (8, None, 1, 0.5, [0, 2, 4, 6]),
        (8, None, 1, 0.25, [0, 4]),
        (8, None, 1, 0.01, [0, 4]),  # batch norm takes no statistics of one picture
        (7, None, 1, 0.5, [0, 1, 3, 5]),
        (8, None, 2, 0.5, [0, 2, 4, 6]),
        (10, None, 2, 0.5, [0, 2, 5, 7]),
        (12, 8, 1, 0.5, [0, 2, 4, 6, 8, 10]),
        (10, 6, 1, 0.34, [0, 3, 6, 8]),
        (1, None, 1, 0.5, [0]),
    ],
)
def test_a_part_is_spread_over_each_kind_of_picture(
    count: int, labelled: int | None, copies: int, part: float, expected: list[int]
) -> None:
    (task,) = build_tasks({"puzzle": {"part": part}})
    batch = labelled_batch(count)
    rows = rows_of_view(task, Batch(batch.images, batch.labels, {}, labelled), copies)
    assert rows is not None
    assert rows.tolist() == expected


def test_only_the_part_goes_through_the_backbone_and_has_its_own_batch_norm() -> None:
    model, tasks = with_puzzle(part=0.5)
    alone = copy.deepcopy(model).train()
    seen = passes_of(model)
    _, figures = take_step(model.train(), tasks)
    assert seen == [(8 + 4, 32)]
    batch = labelled_batch(8)
    _, views = make_views(tasks, pictures(batch), batch, Generator().manual_seed(0))
    assert views["puzzle"].images is not None
    output = alone.heads["puzzle"](alone.features(views["puzzle"].images))
    loss = tasks[1].loss(output, views["puzzle"].target)
    torch.testing.assert_close(figures["puzzle/loss"], loss.detach())


def test_a_part_is_taken_of_each_augmented_version() -> None:
    model, tasks = with_puzzle(part=0.5)
    seen = passes_of(model)
    batch = labelled_batch(5).repeat(2)
    step = HybridStep(model.train(), tasks, "split", copies=2)
    step(pictures(batch), batch, Generator().manual_seed(0))
    assert seen == [(10 + 2 * 2, 32)]


def test_a_part_leaves_the_running_statistics_to_the_intact_view() -> None:
    model, tasks = with_puzzle(part=0.25)
    alone = copy.deepcopy(model).train()
    alone.features(pictures(labelled_batch(8)))
    take_step(model.train(), tasks)
    for ours, theirs in zip(batch_norms(model.backbone), batch_norms(alone.backbone), strict=True):
        torch.testing.assert_close(ours.running_mean, theirs.running_mean)
        torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_a_part_is_dealt_from_the_pictures_it_is_made_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, tasks = with_puzzle(part=0.5)
    batch = labelled_batch(8)
    images = pictures(batch)
    given: list[Batch] = []
    make = tasks[1].make_view

    def noted(images: Tensor, batch: Batch, generator: Generator) -> View:
        given.append(batch)
        return make(images, batch, generator)

    monkeypatch.setattr(tasks[1], "make_view", noted)
    _, views = make_views(tasks, images, batch, Generator().manual_seed(0))
    dealt = views["puzzle"].images
    assert dealt is not None
    assert torch.equal(given[0].images, batch.images[::2])
    for ours, theirs in zip(dealt, images[::2], strict=True):  # a puzzle keeps every pixel
        assert torch.equal(ours.flatten().sort().values, theirs.flatten().sort().values)


@pytest.mark.parametrize("task", ["puzzle", "inpaint"])
def test_a_smaller_view_is_one_pass_of_smaller_pictures(task: str) -> None:
    options = {"puzzle": {"grid": 2}, "inpaint": {"decoder_channels": 8}}[task]
    model, tasks = tiny_model(EXPRESSION | {task: options | {"view_size": 16}})
    seen = passes_of(model)
    loss, _ = take_step(model.train(), tasks)
    assert seen == [(8, 32), (8, 16)]
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.heads.parameters())


def test_shrinking_keeps_the_mean() -> None:
    _, tasks = with_puzzle(view_size=16)
    images = pictures(labelled_batch())
    small = shrink(images, tasks[1])
    assert small.shape == (6, 3, 16, 16)
    torch.testing.assert_close(small.mean((2, 3)), images.mean((2, 3)), atol=0.01, rtol=0)
    assert shrink(images, tasks[0]) is images
    noise = torch.rand(2, 3, 96, 96)
    assert shrink(noise, tasks[1]).std() < noise.std() / 4  # every pixel counts


def test_every_other_batch_counts_twice() -> None:
    model, tasks = with_puzzle(every=2)
    seen = passes_of(model)
    losses = []
    for number in range(4):
        seen.clear()
        total, figures = take_step(model.eval(), tasks, number=number)
        due = number % 2 == 0
        assert ("puzzle/loss" in figures) is due
        assert seen == [(8 * (1 + due), 32)]
        expected = figures["expression/loss"]
        if due:
            expected = expected + 2 * 0.5 * figures["puzzle/loss"]
        torch.testing.assert_close(total.detach(), expected)
        losses.append(total.detach())
    whole, every_time = with_puzzle()
    always, _ = take_step(whole.eval(), every_time)
    torch.testing.assert_close(torch.stack(losses).mean(), always.detach())


def test_after_its_part_of_the_run_a_view_costs_nothing() -> None:
    model, tasks = with_puzzle(until=0.5, final_weight=0.0)
    seen = passes_of(model)
    weights = []
    for progress in (0.0, 0.25, 0.499999):
        total, figures = take_step(model.eval(), tasks, progress=progress)
        weights.append(((total - figures["expression/loss"]) / figures["puzzle/loss"]).item())
    assert weights == pytest.approx([0.5, 0.25, 0.0], abs=1e-5)
    seen.clear()
    for progress in (0.5, 1.0):
        _, figures = take_step(model.eval(), tasks, progress=progress)
        assert "puzzle/loss" not in figures
    assert seen == [(8, 32)] * 2
    whole, every_time = with_puzzle(until=1.0)
    assert "puzzle/loss" in take_step(whole, every_time, progress=1.0)[1]


def test_gradients_of_an_uncertain_balance_hold_where_a_task_is_not_due() -> None:
    model, tasks = with_puzzle(every=2)
    step = HybridStep(model, tasks, "split", loss_balance="uncertainty")
    batch = labelled_batch(8)
    step(pictures(batch), batch, Generator().manual_seed(0), 0.0, 1)[0].backward()
    gradients = {name: p.grad for name, p in step.balance.log_variances.items()}
    assert gradients["puzzle"] is None
    assert gradients["expression"] is not None


OPTIONS: dict[str, tuple[dict[str, Any], float]] = {
    "alone": ({}, 1),
    "own": ({"puzzle": {}}, 2),
    "shared": ({"puzzle": {"view": "shared"}}, 1),
    "a quarter": ({"puzzle": {"part": 0.25}}, 1.25),
    "every other": ({"puzzle": {"every": 2}}, 1.5),
    "smaller": ({"puzzle": {"view_size": 24}}, 1.25),
    "shorter": ({"puzzle": {"until": 0.7}}, 1.7),
    "all": ({"puzzle": {"part": 0.5, "every": 2, "view_size": 24, "until": 0.5}}, 1 + 1 / 32),
    "two": ({"puzzle": {"part": 0.5}, "inpaint": {}}, 2.5),
    "one objects": ({"puzzle": {}, "inpaint": {"supervise": "corrupted"}}, 3),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_passes_count_what_a_view_costs(name: str) -> None:
    options, passes = OPTIONS[name]
    tasks = build_tasks({"expression": {}, **options})
    assert passes_a_picture(tasks, 48) == pytest.approx(passes)
    ours = passes_a_picture(tasks[1:], 48) if name not in ("alone", "shared") else passes - 1
    assert ours == pytest.approx(passes - 1)  # without labels nothing is seen but the own view


def test_a_task_that_sees_the_intact_picture_shows_it_without_labels_too() -> None:
    assert passes_a_picture(build_tasks({"drloc": {}}), 48) == 1


def test_parts_of_steps_are_those_that_are_due() -> None:
    assert [part_of_steps(task) for task in with_puzzle(every=4, until=0.5)[1]] == [1, 0.125]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "shared": ({"tasks": {"puzzle": {"view": "shared", "part": 0.5}}}, "part is for a view"),
    "supervised": ({"tasks": {"puzzle": {"supervise": "both", "every": 2}}}, "every is for a view"),
    "larger": ({"tasks": {"puzzle": {"view_size": 64}}}, "view_size: 64 is more than data.size"),
    "grid": (
        {"tasks": {"puzzle": {"grid": 3, "view_size": 16}}, "data": {"size": 48}},
        r"tasks\.puzzle\.view_size is 16; the nearest that fit are 15 and 18",
    ),
    "joined": (
        {"tasks": {"puzzle": {"view_size": 16}}, "training": {"batch_norm": "joined"}},
        "pictures of two sizes",
    ),
    "geometric": (
        {"tasks": {"puzzle": {"every": 2}}, "training": {"loss_balance": "geometric"}},
        "needs every loss at every step",
    ),
    "nothing": (
        {"tasks": {"expression": None, "inpaint": None, "puzzle": {"every": 2}}},
        "nothing to learn",
    ),
    "processes": (
        {"tasks": {"puzzle": {"part": 0.3}}, "training": {"devices": 2}},
        "0.3 is 2.4; it must be a whole number",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_views_that_cannot_be_are_refused(name: str, tmp_path: Any) -> None:
    changes, said = REFUSED[name]
    with pytest.raises(UsageError, match=said):
        recipe = tiny_recipe(tmp_path / "run", **changes)
        refuse_early(recipe, build_tasks(recipe.tasks))
