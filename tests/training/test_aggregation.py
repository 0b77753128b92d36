"""Gradients of several tasks on one backbone, taken one by one and joined."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchjd import aggregation

from hybridface.errors import UsageError
from hybridface.network.model import HybridModel
from hybridface.training.aggregation import JoinedGradients, find_aggregator
from hybridface.training.module import HybridModule
from hybridface.training.train import train
from tiny_runs import assert_same_run, labelled_batch, tiny_model, tiny_recipe

TASKS: dict[str, Any] = {"expression": {"dropout": 0}, "puzzle": {"grid": 2}, "inpaint": None}


class Mean(nn.Module):
    """Joins gradients as a sum does, once multiplied by their number."""

    def forward(self, gradients: Tensor) -> Tensor:
        return gradients.mean(0)


class First(nn.Module):
    """Follows the first loss alone."""

    def forward(self, gradients: Tensor) -> Tensor:
        return gradients[0]


def losses_of(model: HybridModel) -> dict[str, Tensor]:
    features = model.eval().features(labelled_batch(4).images.float() / 255)
    said = {name: head(features) for name, head in model.heads.items()}
    return {name: output.square().mean() * (2 + len(name)) for name, output in said.items()}


def gradients_of(model: HybridModel) -> dict[str, Tensor]:
    return {n: w.grad.clone() for n, w in model.named_parameters() if w.grad is not None}


def tiny() -> HybridModel:
    model, _ = tiny_model({"expression": {"dropout": 0}, "puzzle": {"grid": 2}})
    return model


def test_a_mean_of_gradients_is_the_gradient_of_the_sum() -> None:
    model = tiny()
    torch.stack(list(losses_of(model).values())).sum().mul(0.5).backward()
    expected = gradients_of(model)
    model.zero_grad()
    joined = JoinedGradients(model, Mean())
    joined.backward(losses_of(model), 0.5)
    found = gradients_of(model)
    assert found.keys() >= expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)
    joined.backward(losses_of(model), 0.5)  # a second batch adds to them
    for name, gradient in expected.items():
        torch.testing.assert_close(gradients_of(model)[name], 2 * gradient, rtol=1e-4, atol=1e-6)


def test_the_aggregator_decides_on_the_backbone_and_nowhere_else() -> None:
    model = tiny()
    losses = losses_of(model)
    torch.autograd.backward(losses["expression"], retain_graph=True)
    of_first = gradients_of(model)
    model.zero_grad()
    torch.autograd.backward(losses["puzzle"], retain_graph=True)
    of_second = gradients_of(model)
    model.zero_grad()
    JoinedGradients(model, First()).backward(losses)
    for name, gradient in gradients_of(model).items():
        if name.startswith("heads.puzzle"):
            torch.testing.assert_close(gradient, of_second[name])
        elif name in of_first:
            times = 1 if name.startswith("heads") else 2
            torch.testing.assert_close(gradient, times * of_first[name], rtol=1e-4, atol=1e-6)


def test_a_loss_of_no_picture_takes_no_part() -> None:
    model = tiny()
    losses = {**losses_of(model), "puzzle": torch.zeros(())}
    JoinedGradients(model, Mean()).backward(losses)
    assert all(weight.grad is None for weight in model.heads["puzzle"].parameters())
    nothing = {name: 0 * loss for name, loss in losses_of(model).items()}
    before = gradients_of(model)
    JoinedGradients(model, First()).backward(nothing)
    for name, gradient in gradients_of(model).items():
        torch.testing.assert_close(gradient, before.get(name, torch.zeros_like(gradient)))


def test_a_gradient_of_zeros_is_not_counted() -> None:
    model = tiny()
    losses_of(model)["puzzle"].backward()
    expected = gradients_of(model)
    model.zero_grad()
    losses = losses_of(model)
    JoinedGradients(model, First()).backward({**losses, "expression": 0 * losses["expression"]})
    found = gradients_of(model)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def test_a_gradient_that_is_no_number_is_seen() -> None:
    model = tiny()
    losses = losses_of(model)
    losses["puzzle"] = losses["puzzle"] * torch.nan
    JoinedGradients(model, Mean()).backward(losses)
    shared = [each.grad for each in model.backbone.parameters() if each.grad is not None]
    assert shared and any(each.isnan().any() for each in shared)


def usable_aggregators() -> Iterator[tuple[str, nn.Module]]:
    """Yield what a recipe may take, but for those whose solver is not there."""
    for name in aggregation.__all__:
        with suppress(UsageError):
            yield name, find_aggregator(name)


class Apart(nn.Module):
    """A model whose two losses have equal gradients at right angles on the backbone."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Linear(6, 2, bias=False)
        self.heads = nn.ModuleDict({"one": nn.Identity(), "other": nn.Identity()})

    def losses(self) -> dict[str, Tensor]:
        said = self.backbone(torch.arange(6.0))
        return {"one": said[0], "other": said[1]}


def test_every_aggregator_gives_a_gradient_as_long_as_the_sum() -> None:
    torch.manual_seed(0)
    model = Apart()
    torch.stack(list(model.losses().values())).sum().backward()
    plain = gradients_of(model)["backbone.weight"]
    lengths = {}
    for name, aggregator in usable_aggregators():
        model.zero_grad()
        JoinedGradients(model, aggregator).backward(model.losses())
        found = gradients_of(model)["backbone.weight"]
        lengths[name] = float(found.norm() / plain.norm())
        if name in ("Sum", "Mean"):
            torch.testing.assert_close(found, plain)
    assert 1 <= lengths.pop("Random") <= 1.42  # its weights of two add up to those of a mean
    assert lengths.keys() >= {"AlignedMTL", "ConFIG", "GradDrop", "IMTLG", "MGDA", "PCGrad", "Sum"}
    assert lengths == pytest.approx(dict.fromkeys(lengths, 1.0), rel=1e-3)


@pytest.mark.parametrize("name", ["GradVac", "ExcessMTL", "PCD", "NashMTL"])
def test_what_no_checkpoint_would_hold_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} keeps a state .*take one without"):
        find_aggregator(name)
    with pytest.raises(UsageError) as refused:
        find_aggregator(name.lower())
    assert name not in str(refused.value)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_mean_gives_a_step_the_gradients_of_the_sum(
    accumulate: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybridface.training.module.find_aggregator", lambda _: Mean())
    found = []
    for aggregator in (None, "Mean"):
        training = {"accumulate": accumulate, "aggregator": aggregator}
        options = {"puzzle": {"grid": 2, "weight": 0.3}, "inpaint": {"every": 2}}
        recipe = tiny_recipe(tmp_path / "run", tasks=options, training=training)
        model, tasks = tiny_model(recipe.tasks)
        module = HybridModule(recipe, model, tasks, 4, lambda: iter(()))
        loss = module.train().training_step(labelled_batch(8), 0)
        module.backward(loss / accumulate)
        found.append(gradients_of(model))
    plain, joined = found
    assert plain.keys() <= joined.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(joined[name], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.usefixtures("quick_end")
def test_an_aggregator_of_torchjd_trains_and_goes_on(tmp_path: Path) -> None:
    from tiny_runs import BrokenOffError, break_at_step

    changes = {"tasks": TASKS, "training": {"epochs": 2, "aggregator": "AlignedMTL"}}
    whole = train(tiny_recipe(tmp_path / "whole", **changes))
    recipe = tiny_recipe(tmp_path / "broken", **changes)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(BrokenOffError):
        break_at_step(patch, 3)
        train(recipe)
    assert_same_run(whole.folder, train(recipe, resume=True).folder)
    gradients = torch.tensor([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])
    assert (gradients @ find_aggregator("MGDA")(gradients) >= -1e-4).all()  # no loss rises
    with pytest.raises(UsageError, match="AlignedMTL"):
        find_aggregator("Alignedmtl")
    for unusable in ("Aggregator", "Constant", "UPGradWeighting"):
        with pytest.raises(UsageError, match=r"training\.aggregator"):
            find_aggregator(unusable)


def test_without_torchjd_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torchjd", None)
    with pytest.raises(UsageError, match=r"hybridface\[torchjd\]"):
        find_aggregator("MGDA")


@pytest.mark.parametrize(
    ("training", "says"),
    [
        ({"loss_balance": "uncertainty"}, "loss_balance: uncertainty"),
        ({"precision": "16-mixed"}, "16-mixed"),
        ({"devices": 2}, "several processes"),
    ],
)
def test_what_it_does_not_go_with(training: dict[str, Any], says: str, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "run", training={"aggregator": "MGDA", **training})
    with pytest.raises(UsageError, match=says):
        train(recipe)


def test_without_an_aggregator_no_graph_is_kept(tmp_path: Path) -> None:
    _, tasks = tiny_model(TASKS | {"inpaint": {}})
    model, _ = tiny_model(TASKS | {"inpaint": {}})
    module = HybridModule(tiny_recipe(tmp_path / "run"), model, tasks, 4, lambda: iter(()))
    assert module.step.weighted is None
    assert module.joined_gradients is None
