"""What every task owes, whichever file it comes from; a new task is tested without an edit here."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Generator, Tensor

from hybridface.data.batches import Batch
from hybridface.data.source import Labels, NumericLabels
from hybridface.errors import UsageError
from hybridface.export.network import export_onnx
from hybridface.inference.metadata import COLUMNS
from hybridface.inference.metadata import KINDS as KINDS_OF_OUTPUT
from hybridface.network.model import HybridModel, HybridStep
from hybridface.tasks import build_tasks, task_types
from hybridface.tasks.base import SelfSupervisedConfig, Task
from tiny_runs import CLASSES, batch_for, labelled_batch, tiny_model

SIZE = 48  # many grids divide it
KINDS = list(task_types())
SUPERVISED = [name for name, kind in task_types().items() if kind.supervised]
FIELDS = {name: kind.Config.model_fields for name, kind in task_types().items()}
CORRUPTING = [
    name for name, kind in task_types().items() if issubclass(kind.Config, SelfSupervisedConfig)
]
Built = tuple[HybridModel, Task, Batch]


def build(kind: str, **options: Any) -> Built:
    model, (task,) = tiny_model({kind: options}, SIZE)
    return model, task, batch_for(task, size=SIZE)


def unlabel(batch: Batch, task: Task, rows: Any) -> None:
    column = task.label or ""
    if task.numeric:
        batch.numeric[column] = batch.numeric[column].clone()
        batch.numeric[column][rows] = math.nan
    else:
        batch.labels[column][rows] = -1


def intact(batch: Batch) -> Tensor:
    return batch.images.float() / 255


def answer(model: HybridModel, task: Task, batch: Batch, seed: int = 0) -> tuple[Any, Any, Any]:
    """Return the task's view, and the output and target that its loss compares."""
    view = task.make_view(intact(batch), batch, Generator().manual_seed(seed))
    seen = intact(batch) if view.images is None else view.images
    output = task.answer(model.heads[task.name], model.features(seen), view.target)
    return view, output, view.target


def loss_and_gradient(model: HybridModel, task: Task, batch: Batch) -> tuple[Tensor, list[Tensor]]:
    model.eval()  # neither dropout nor batch norm, by which pictures would know of each other
    model.zero_grad()
    _, output, target = answer(model, task, batch)
    loss = task.loss(output, target)
    loss.backward()
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    return loss.detach(), gradients


def same(one: Any, other: Any) -> bool:
    """Say whether two targets are equal, whatever they are made of."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_head_and_backbone(kind: str) -> None:
    model, task, batch = build(kind)
    step = HybridStep(model.train(), [task], "joined")
    loss, figures = step(intact(batch), batch, Generator().manual_seed(0))
    assert loss.shape == ()
    assert loss.isfinite()
    assert loss.item() == pytest.approx(figures[f"{kind}/loss"].item())
    loss.backward()
    heads = dict(model.heads[kind].named_parameters())
    assert [name for name, value in heads.items() if value.grad is None] == []
    assert any(value.grad.abs().sum() > 0 for value in heads.values())
    first = next(model.backbone.parameters())
    assert first.grad is not None
    assert first.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_weight_scales_the_loss(kind: str) -> None:
    model, task, batch = build(kind, weight=0.25)
    step = HybridStep(model.eval(), [task], "joined")
    loss, figures = step(intact(batch), batch, Generator().manual_seed(0))
    torch.testing.assert_close(loss.detach(), 0.25 * figures[f"{kind}/loss"])


@pytest.mark.parametrize("kind", SUPERVISED)
def test_a_sample_without_label_does_not_count(kind: str) -> None:
    model, task, batch = build(kind)
    assert task.label is not None
    known = torch.tensor([0, 2, 3, 5])
    unlabel(batch, task, [1, 4])
    loss, gradients = loss_and_gradient(model, task, batch)
    others = replace(batch, images=batch.images.clone())
    others.images[[1, 4]] = 255 - others.images[[1, 4]]
    alone = batch.rows(known)
    for variant in (others, alone):
        same_loss, same_gradients = loss_and_gradient(model, task, variant)
        torch.testing.assert_close(same_loss, loss)
        torch.testing.assert_close(same_gradients, gradients, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", SUPERVISED)
def test_without_any_label_nothing_is_learned(kind: str) -> None:
    model, task, batch = build(kind)
    assert task.label is not None
    unlabel(batch, task, slice(None))
    loss, gradients = loss_and_gradient(model, task, batch)
    assert loss == 0
    assert gradients
    assert all((gradient == 0).all() for gradient in gradients)
    _, output, target = answer(model, task, batch)
    assert all(value.isfinite() for value in task.measure(output, target).values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides(kind: str) -> None:
    _, task, batch = build(kind)
    views = [
        task.make_view(intact(batch), batch, Generator().manual_seed(seed)) for seed in (3, 3, 4)
    ]
    assert same(views[0].target, views[1].target)
    if task.supervised:
        assert views[0].images is None
        assert same(views[0].target, views[2].target)
    elif views[0].images is None:
        assert not same(views[0].target, views[2].target)
    else:
        assert torch.equal(views[0].images, views[1].images)
        assert not torch.equal(views[0].images, views[2].images)
        assert views[0].images.shape == intact(batch).shape
        assert not torch.equal(views[0].images[0], views[0].images[1])


@pytest.mark.parametrize("kind", KINDS)
def test_the_picture_given_is_left_alone(kind: str) -> None:
    _, task, batch = build(kind)
    columns = {**batch.labels, **batch.numeric}
    images, labels = intact(batch), {name: values.clone() for name, values in columns.items()}
    before = images.clone()
    task.make_view(images, batch, Generator().manual_seed(0))
    assert torch.equal(images, before)
    assert all(torch.equal(values, labels[name]) for name, values in columns.items())


@pytest.mark.parametrize("kind", KINDS)
def test_figures_are_finite_scalars(kind: str) -> None:
    model, task, batch = build(kind)
    _, output, target = answer(model, task, batch)
    for value in task.measure(output, target).values():
        assert value.shape == ()
        assert value.isfinite()
        assert not value.requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_pictures(kind: str) -> None:
    model, task, batch = build(kind)
    view, output, _ = answer(model.eval(), task, batch)
    for images in task.picture(intact(batch), view, output).values():
        assert images.shape == (6, 3, SIZE, SIZE)
        assert images.min() >= 0
        assert images.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("near", ["weight", "type"])
def test_unknown_options_are_refused(kind: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"tasks.mine.*did you mean '{near}'"):
        build_tasks({"mine": {"type": kind, near[:-1]: 1}})


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_may_go_by_another_name(kind: str) -> None:
    model, (task,) = tiny_model({"mine": {"type": kind}}, SIZE)
    batch = batch_for(task, size=SIZE)
    _, figures = HybridStep(model, [task], "joined")(intact(batch), batch, Generator())
    assert task.name == "mine"
    assert set(model.heads) == {"mine"}
    assert "mine/loss" in figures


@pytest.mark.parametrize("kind", CORRUPTING)
@pytest.mark.parametrize("mode", ["joined", "split"])
@pytest.mark.parametrize(
    "options",
    [{"view": "shared"}, *({"supervise": mode} for mode in ("intact", "corrupted", "both"))],
    ids=["shared", "intact", "corrupted", "both"],
)
def test_views_of_its_own_and_shared(kind: str, mode: Any, options: dict[str, str]) -> None:
    model, tasks = tiny_model({"expression": {}, kind: options}, SIZE)
    batch = labelled_batch(size=SIZE)
    step = HybridStep(model.train(), tasks, mode)
    loss, figures = step(intact(batch), batch, Generator().manual_seed(0))
    loss.backward()
    assert {f"{kind}/loss", "expression/loss", "loss"} <= set(figures)
    assert all(value.isfinite() for value in figures.values())
    for head in model.heads.values():
        assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    """A model, as it is used, that has a task of every kind."""
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    model, tasks = tiny_model({kind: {} for kind in KINDS}, SIZE)
    export_onnx(model, tasks, intact(labelled_batch(2, SIZE)), path, trained_on="test")
    return onnx.load(path)


@pytest.mark.parametrize("kind", KINDS)
def test_heads_survive_export_as_they_say(kind: str, exported: onnx.ModelProto) -> None:
    kept = task_types()[kind].kept_at_inference
    assert (kind in [output.name for output in exported.graph.output]) == kept
    weights = [value.name for value in exported.graph.initializer]
    assert any(f"heads.{kind}." in name for name in weights) == kept
    (metadata,) = [entry.value for entry in exported.metadata_props if entry.key == "hybridface"]
    assert (kind in json.loads(metadata)["tasks"]) == kept


def test_nothing_else_is_exported(exported: onnx.ModelProto) -> None:
    kinds = [kind for kind in KINDS if task_types()[kind].kept_at_inference]
    model, tasks = tiny_model({kind: {} for kind in kinds})
    assert len(exported.graph.output) == len(tasks)
    counts = [torch.Size(value.dims).numel() for value in exported.graph.initializer]
    assert sum(counts) <= sum(value.numel() for value in model.state_dict().values())


@pytest.mark.parametrize("kind", [n for n, k in task_types().items() if k.kept_at_inference])
def test_decoded_outputs_can_be_read(kind: str) -> None:
    model, task, batch = build(kind)
    _, output, _ = answer(model.eval(), task, batch)
    said = json.loads(json.dumps(task.describe()))
    decoded = task.decode(output)
    assert len(decoded) == len(batch.images)
    if said["kind"] == "classification":
        assert tuple(said["classes"]) == CLASSES
        assert decoded.shape == (6, len(CLASSES))
        torch.testing.assert_close(decoded.sum(1), torch.ones(6))
        assert torch.equal(decoded.argmax(1), output.argmax(1))
    assert said["kind"] in KINDS_OF_OUTPUT
    if said["kind"] in COLUMNS:
        assert decoded.shape == (6, len(COLUMNS[said["kind"]]))
        assert decoded.isfinite().all()
        assert said["unit"]
    if said["kind"] == "regression":
        assert (decoded[:, 1] > 0).all()


@pytest.mark.parametrize("kind", SUPERVISED)
def test_a_run_can_choose_by_the_figures_of_a_split(kind: str) -> None:
    model, task, batch = build(kind)
    _, output, _ = answer(model.eval(), task, batch)
    figures = task.figures(output.detach(), task.truth(batch))
    assert list(task.selects) == [name for name in task.selects if name in figures]
    assert all(value.isfinite() for value in figures.values())
    unlabel(batch, task, [1, 4])
    rows = torch.tensor([0, 2, 3, 5])
    alone = task.figures(output[rows].detach(), task.truth(batch)[rows])
    for name, value in task.figures(output.detach(), task.truth(batch)).items():
        torch.testing.assert_close(value, alone[name])


@pytest.mark.parametrize("kind", SUPERVISED)
def test_a_batch_is_measured_as_a_split_is(kind: str) -> None:
    model, task, batch = build(kind)
    unlabel(batch, task, [1, 4])
    _, output, target = answer(model.eval(), task, batch)
    figures = task.figures(output.detach(), task.truth(batch))
    for name, value in task.measure(output, target).items():
        torch.testing.assert_close(value, figures[name])


@pytest.mark.parametrize("kind", SUPERVISED)
def test_the_loss_is_taken_in_single_precision(kind: str) -> None:
    model, task, batch = build(kind)
    _, output, target = answer(model.eval(), task, batch)
    said = output.detach().bfloat16()
    torch.testing.assert_close(task.loss(said, target), task.loss(said.float(), target))


@pytest.mark.parametrize("kind", SUPERVISED)
def test_what_lowers_the_loss_betters_the_figures(kind: str) -> None:
    model, task, batch = build(kind)
    _, output, target = answer(model.eval(), task, batch)
    said = output.detach().requires_grad_()
    before = task.figures(said, task.truth(batch))
    optimizer = torch.optim.Adam([said], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        task.loss(said, target).backward()
        optimizer.step()
    after = task.figures(said, task.truth(batch))
    for name, higher in task.selects.items():
        assert (after[name] - before[name]).sign() == (1 if higher else -1), name


@pytest.mark.parametrize("kind", [n for n in SUPERVISED if "dropout" in FIELDS[n]])
def test_a_head_drops_what_the_recipe_says(kind: str) -> None:
    for dropout in (0.0, 0.5):
        model, _, batch = build(kind, dropout=dropout)
        features, head = model.eval().features(intact(batch)), model.heads[kind]
        in_use = head(features)
        assert torch.equal(head.train()(features), in_use) == (dropout == 0)


@pytest.mark.parametrize("kind", SUPERVISED)
def test_labels_of_the_wrong_kind_are_refused(kind: str) -> None:
    (task,) = build_tasks({kind: {}})
    with pytest.raises(UsageError, match=f"task {kind}: label column '{task.label}'"):
        if task.numeric:
            task.adopt(Labels(("a", "b"), np.zeros(3, np.int64)), torch.zeros(3).long(), SIZE)
        else:
            numbers = NumericLabels(("years",), np.zeros((3, 1), np.float32))
            task.adopt_numbers(numbers, torch.zeros(3, 1), SIZE)


@pytest.mark.parametrize("kind", SUPERVISED)
def test_a_task_is_restored_from_what_it_says(kind: str) -> None:
    model, task, batch = build(kind)
    (again,) = build_tasks({kind: {}})
    again.restore(json.loads(json.dumps(task.describe())), SIZE)
    _, output, _ = answer(model.eval(), task, batch)
    assert again.describe() == task.describe()
    assert torch.equal(again.decode(output), task.decode(output))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{"view": "shared"}, {"supervise": "both"}])
def test_tasks_that_fight_are_refused_with_the_reason(kind: str, options: dict[str, str]) -> None:
    for other, why in task_types()[kind].fights.items():
        with pytest.raises(UsageError, match=f"mine and yours fight each other: {why}; give it a"):
            build_tasks({"mine": {"type": kind, **options}, "yours": {"type": other}})
        build_tasks({"mine": {"type": kind}, "yours": {"type": other}})  # which sees it intact


def test_a_class_without_a_type_name_fights_nobody() -> None:
    build_tasks({"rotation": {"view": "shared"}, "plain": {"type": "joint_steps:Plain"}})


def test_unknown_tasks_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="unknown task 'puzle': did you mean 'puzzle'"):
        build_tasks({"puzle": {}})


@pytest.mark.parametrize("name", ["box", "track", "time"])
def test_what_predictions_say_themselves_names_no_task(name: str) -> None:
    with pytest.raises(UsageError, match=f"predictions have a {name} of their own"):
        build_tasks({name: {"type": "expression"}})


def test_only_one_task_may_take_the_shared_view() -> None:
    options = {"view": "shared"}
    with pytest.raises(UsageError, match="one and two all take the shared view"):
        build_tasks({"one": {"type": "puzzle", **options}, "two": {"type": "inpaint", **options}})
