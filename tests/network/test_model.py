from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from hybridface.augment import augment
from hybridface.config import BackboneConfig, BatchNormMode
from hybridface.data.batches import Batch
from hybridface.errors import HybridFaceError, UsageError
from hybridface.network.model import HybridModel, HybridStep, reestimate_batch_norm
from hybridface.network.split_batch_norm import batch_norms
from hybridface.network.views import make_views
from hybridface.tasks.base import Features, Task
from hybridface.tasks.puzzle import Puzzle, PuzzleConfig
from tiny_runs import BACKBONE, labelled_batch, tiny_model

ALL = {"expression": {"dropout": 0.0}, "puzzle": {"grid": 2}, "inpaint": {}}


def pictures(batch: Batch) -> Tensor:
    return batch.images.float() / 255


def views_of(tasks: list[Task], batch: Batch, seed: int = 0) -> tuple[Tensor, dict[str, Any]]:
    return make_views(tasks, pictures(batch), batch, Generator().manual_seed(seed))


def take_step(
    model: HybridModel, tasks: list[Task], batch: Batch, batch_norm: BatchNormMode = "joined"
) -> tuple[Tensor, dict[str, Tensor]]:
    step = HybridStep(model, tasks, batch_norm)
    return step(pictures(batch), batch, Generator().manual_seed(0))


class Spy:
    """Notes what the backbone is given and which of it each head is shown."""

    def __init__(self, model: HybridModel) -> None:
        self.passes: list[Tensor] = []
        self.shown: dict[str, list[Tensor]] = {name: [] for name in model.heads}
        self._made: list[tuple[Tensor, Tensor]] = []
        model.backbone.register_forward_hook(self._backbone)
        for name, head in model.heads.items():
            head.register_forward_pre_hook(self._head(name))
        self.scale = (model.mean, model.std)

    def _backbone(self, _: nn.Module, given: tuple[Tensor], made: Features) -> None:
        mean, std = self.scale
        self.passes.append(given[0] * std + mean)
        self._made.append((made.pooled.detach(), self.passes[-1]))

    def _head(self, name: str) -> Any:
        def hook(_: nn.Module, given: tuple[Features]) -> None:
            wanted = given[0].pooled.detach()
            for pooled, images in self._made:
                for start in range(0, len(pooled), len(wanted)):
                    if torch.equal(pooled[start : start + len(wanted)], wanted):
                        self.shown[name].append(images[start : start + len(wanted)])
                        return
            raise AssertionError("a head was shown features that no pass gave")

        return hook

    def saw(self, name: str, *expected: Tensor) -> bool:
        seen = self.shown[name]
        return len(seen) == len(expected) and all(
            torch.allclose(one, other, atol=1e-6) for one, other in zip(seen, expected, strict=True)
        )


def test_one_pass_gives_what_separate_passes_give() -> None:
    model, tasks = tiny_model(ALL)
    batch = labelled_batch()
    total, figures = take_step(model.eval(), tasks, batch)
    images, views = views_of(tasks, batch)
    expected = torch.zeros(())
    for task in tasks:
        view = views[task.name]
        seen = images if view.images is None else view.images
        loss = task.loss(model(seen)[task.name], view.target)
        torch.testing.assert_close(figures[f"{task.name}/loss"], loss.detach())
        expected = expected + loss
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(figures["loss"], expected.detach())


@pytest.mark.parametrize("batch_norm", ["joined", "reestimated", "split"])
def test_the_views_go_through_the_backbone_together(batch_norm: Any) -> None:
    model, tasks = tiny_model(ALL)
    spy = Spy(model)
    take_step(model, tasks, labelled_batch(), batch_norm)
    assert [len(images) for images in spy.passes] == [3 * 6]


def test_views_of_another_size_go_through_it_by_themselves() -> None:
    model, tasks = tiny_model(ALL | {"puzzle": {"grid": 2, "view_size": 16}})
    spy = Spy(model)
    take_step(model, tasks, labelled_batch(), "split")
    assert [(len(images), images.shape[-1]) for images in spy.passes] == [(6, 32), (6, 16), (6, 32)]


MODES = {
    # the puzzle's options: what the supervised head sees, and how many pictures go through
    "own, intact": ({"view": "own", "supervise": "intact"}, ["intact"], 2),
    "own, corrupted": ({"view": "own", "supervise": "corrupted"}, ["dealt"], 1),
    "own, both": ({"view": "own", "supervise": "both"}, ["intact", "dealt"], 2),
    "shared": ({"view": "shared"}, ["dealt"], 1),
}


@pytest.mark.parametrize("mode", MODES)
def test_heads_see_what_the_recipe_says(mode: str) -> None:
    options, supervised, stacked = MODES[mode]
    model, tasks = tiny_model({"expression": {}, "puzzle": {"grid": 2, **options}})
    batch = labelled_batch()
    images, views = views_of(tasks, batch)
    dealt = images if views["puzzle"].images is None else views["puzzle"].images
    named = {"intact": pictures(batch), "dealt": dealt}
    assert not torch.equal(named["intact"], named["dealt"])
    spy = Spy(model)
    take_step(model, tasks, batch)
    assert len(spy.passes[0]) == stacked * 6
    assert spy.saw("puzzle", dealt)
    assert spy.saw("expression", *(named[name] for name in supervised))


def test_a_second_task_works_on_the_shared_picture() -> None:
    model, tasks = tiny_model(
        {"inpaint": {}, "expression": {}, "puzzle": {"grid": 2, "view": "shared"}}
    )
    batch = labelled_batch()
    images, views = views_of(tasks, batch)
    assert views["puzzle"].images is None
    assert torch.equal(views["inpaint"].target[0], images)
    spy = Spy(model)
    take_step(model, tasks, batch)
    assert spy.saw("expression", images)
    assert spy.saw("puzzle", images)
    assert spy.saw("inpaint", views["inpaint"].images)


def test_an_intact_picture_that_another_task_sees_does_not_teach() -> None:
    model, tasks = tiny_model(
        {"expression": {}, "drloc": {}, "puzzle": {"grid": 2, "supervise": "corrupted"}}
    )
    batch = labelled_batch()
    _, views = views_of(tasks, batch)
    spy = Spy(model)
    take_step(model, tasks, batch)
    assert len(spy.passes[0]) == 2 * 6
    assert spy.saw("expression", views["puzzle"].images)


def test_supervision_is_the_mean_over_the_views_that_teach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Figures are those of the first."""
    options = {"expression": {"dropout": 0.0}, "puzzle": {"grid": 2, "supervise": "both"}}
    model, tasks = tiny_model(options)
    batch = labelled_batch()
    images, views = views_of(tasks, batch)
    monkeypatch.setattr(tasks[0], "measure", lambda output, _: {"sum": output.sum()})
    _, figures = take_step(model.eval(), tasks, batch)
    torch.testing.assert_close(
        figures["expression/sum"], model(images)["expression"].sum().detach()
    )
    target = views["expression"].target
    each = [tasks[0].loss(model(v)["expression"], target) for v in (images, views["puzzle"].images)]
    torch.testing.assert_close(figures["expression/loss"], torch.stack(each).mean().detach())


@pytest.mark.parametrize("options", [{}, {"view_size": 16}])
def test_split_keeps_the_running_statistics_of_the_intact_view(options: dict[str, int]) -> None:
    model, tasks = tiny_model(ALL | {"puzzle": {"grid": 2, **options}})
    batch = labelled_batch()
    alone = copy.deepcopy(model).train()
    alone.features(pictures(batch))
    take_step(model.train(), tasks, batch, "split")
    before = {name: value.clone() for name, value in tiny_model(ALL)[0].named_buffers()}
    moved = 0
    for (name, ours), theirs in zip(
        model.backbone.named_buffers(), alone.backbone.buffers(), strict=True
    ):
        if "running" in name:
            torch.testing.assert_close(ours, theirs)
            moved += not torch.equal(ours, before[f"backbone.{name}"])
    assert moved > 0


def test_split_normalises_each_augmented_version_by_itself() -> None:
    model, tasks = tiny_model({"expression": {"dropout": 0.0}})
    batch = labelled_batch(4)
    images = augment(batch.repeat(2).images, "strong", Generator().manual_seed(0))
    twice = HybridStep(copy.deepcopy(model).train(), tasks, "split", copies=2)
    loss, _ = twice(images, batch.repeat(2), Generator())
    each = [
        HybridStep(copy.deepcopy(model).train(), tasks)(half, batch, Generator())[0]
        for half in images.chunk(2)
    ]
    torch.testing.assert_close(loss, torch.stack(each).mean())


def test_split_normalises_each_view_by_itself() -> None:
    model, tasks = tiny_model(ALL)
    batch = labelled_batch()
    images, views = views_of(tasks, batch)
    expected = {"expression": images, "puzzle": views["puzzle"].images}
    _, figures = take_step(copy.deepcopy(model).train(), tasks, batch, "split")
    _, joined = take_step(copy.deepcopy(model).train(), tasks, batch, "joined")
    for task in tasks[:2]:
        alone = copy.deepcopy(model).train()
        output = alone.heads[task.name](alone.features(expected[task.name]))
        loss = task.loss(output, views[task.name].target).detach()
        torch.testing.assert_close(figures[f"{task.name}/loss"], loss)
        assert not torch.isclose(joined[f"{task.name}/loss"], loss, rtol=1e-4)


def test_reestimated_statistics_are_the_mean_over_batches() -> None:
    model, _ = tiny_model(ALL, drop_path=0.5)
    batches = [pictures(labelled_batch(seed=seed)) for seed in range(3)]
    entered: list[Tensor] = []
    first = batch_norms(model.backbone)[0]
    hook = first.register_forward_pre_hook(lambda _, given: entered.append(given[0].detach()))
    momenta = [norm.momentum for norm in batch_norms(model)]
    model.train()
    reestimate_batch_norm(model, batches)
    hook.remove()
    assert not model.training
    assert all(not module.training for module in model.modules())
    assert [norm.momentum for norm in batch_norms(model)] == momenta
    mean = torch.stack([x.mean((0, 2, 3)) for x in entered]).mean(0)
    variance = torch.stack([x.var((0, 2, 3)) for x in entered]).mean(0)
    torch.testing.assert_close(first.running_mean, mean)
    torch.testing.assert_close(first.running_var, variance)
    again = copy.deepcopy(model)
    reestimate_batch_norm(again, batches)
    for one, other in zip(model.buffers(), again.buffers(), strict=True):
        assert torch.equal(one, other)  # dropout and drop path have no say


def test_two_augmented_views_of_each_picture() -> None:
    batch = labelled_batch(4)
    twice = batch.repeat(2)
    assert torch.equal(twice.images, torch.cat([batch.images, batch.images]))
    labels = batch.labels["expression"]
    assert torch.equal(twice.labels["expression"], torch.cat([labels, labels]))
    images = augment(twice.images, "strong", Generator().manual_seed(0))
    assert not torch.equal(images[:4], images[4:])
    model, tasks = tiny_model({"expression": {"dropout": 0.0}})
    loss, _ = HybridStep(model.eval(), tasks, "joined")(images, twice, Generator())
    each = [
        HybridStep(model, tasks, "joined")(half, batch, Generator())[0]
        for half in (images[:4], images[4:])
    ]
    torch.testing.assert_close(loss, torch.stack(each).mean())


def test_dropped_heads_and_maps_cost_nothing_where_no_task_wants_them() -> None:
    model, _ = tiny_model({"expression": {}, "puzzle": {"grid": 2}})
    assert model.features(pictures(labelled_batch())).maps == ()


def test_a_head_may_say_more_than_one_tensor() -> None:
    class Two(Puzzle):
        def answer(self, head: nn.Module, features: Features, target: Any) -> Any:
            return head(features), features.pooled

        def loss(self, output: Any, target: Tensor) -> Tensor:
            return super().loss(output[0], target) + output[1].square().mean()

        def measure(self, output: Any, target: Tensor) -> dict[str, Tensor]:
            return {"size": output[1].abs().mean()}

    task = Two("puzzle", PuzzleConfig(grid=2))
    model = HybridModel(BackboneConfig(name=BACKBONE), [task], 32)
    loss, figures = take_step(model, [task], labelled_batch())
    loss.backward()
    assert not figures["puzzle/size"].requires_grad


def test_maps_come_from_fine_to_coarse() -> None:
    model, _ = tiny_model(ALL)
    maps = model.features(pictures(labelled_batch())).maps
    sides = [m.shape[-1] for m in maps]
    assert sides == sorted(sides, reverse=True)
    assert model.backbone.shape(32).maps == tuple(m.shape[1] for m in maps)


@pytest.mark.parametrize("name", ["test_resnet", "test_mambaout", "test_vit", "test_convnext"])
def test_any_backbone_takes_every_task(name: str) -> None:
    _, tasks = tiny_model(ALL)
    model = HybridModel(BackboneConfig(name=name), tasks, 32)
    features = model.features(pictures(labelled_batch()))
    assert features.final.shape[:2] == (6, model.backbone.network.num_features)
    assert features.final.shape[2] == features.final.shape[3]
    loss, figures = take_step(model, tasks, labelled_batch())
    loss.backward()
    assert all(value.isfinite() for value in figures.values())
    assert all(p.grad is not None for p in model.heads.parameters())


def test_pictures_of_another_size_than_trained_for() -> None:
    model, _ = tiny_model({"expression": {}, "puzzle": {"grid": 2}})
    assert model(torch.rand(2, 3, 48, 64))["expression"].shape == (2, 3)


def test_unknown_backbones_are_refused_with_the_nearest_name() -> None:
    _, tasks = tiny_model({"expression": {}})
    with pytest.raises(UsageError, match=f"did you mean '{BACKBONE}'"):
        HybridModel(BackboneConfig(name=BACKBONE.replace("ff", "f")), tasks, 32)


def test_a_network_that_cannot_take_the_size_says_so() -> None:
    _, tasks = tiny_model({"expression": {}})
    with pytest.raises(HybridFaceError, match=r"32 px.*change data\.size"):
        HybridModel(BackboneConfig(name="efficientformer_l1"), tasks, 32)
