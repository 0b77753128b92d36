"""Which weights learn at which rate, and how the rate goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hybridface.network.model import HybridModel
from hybridface.training.optimizer import make_optimizer, make_schedule
from hybridface.training.train import train
from tiny_runs import metrics_of, tiny_model, tiny_recipe


def optimizer_of(
    run: Path, backbone: dict[str, Any], others: list[nn.Parameter]
) -> tuple[torch.optim.AdamW, HybridModel]:
    recipe = tiny_recipe(run, backbone=backbone)
    model, _ = tiny_model(recipe.tasks)
    return make_optimizer(recipe, model, others), model


@pytest.mark.parametrize("factor", [1.0, 0.1, 3.0])
def test_every_weight_learns_once_and_the_backbone_at_its_own_rate(
    factor: float, tmp_path: Path
) -> None:
    other = nn.Parameter(torch.zeros(2))
    optimizer, model = optimizer_of(tmp_path, {"learning_rate_factor": factor}, [other])
    rate = {}
    decay = {}
    for group in optimizer.param_groups:
        for weight in group["params"]:
            assert weight not in rate
            rate[weight], decay[weight] = group["lr"], group["weight_decay"]
    assert len(rate) == len(list(model.parameters())) + 1
    assert (rate[other], decay[other]) == (1e-3, 0)
    for name, weight in model.named_parameters():
        slower = factor if name.startswith("backbone.") else 1
        assert rate[weight] == pytest.approx(1e-3 * slower), name
        assert decay[weight] == (0.05 if weight.ndim > 1 else 0), name


def test_what_timm_says_does_not_decay_does_not_at_another_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = "network.conv_stem.weight"
    monkeypatch.setattr(
        "hybridface.network.backbones.Backbone.without_weight_decay", lambda _: {kept}
    )
    optimizer, model = optimizer_of(tmp_path, {"learning_rate_factor": 0.5}, [])
    weight = model.backbone.get_parameter(kept)
    (group,) = (g for g in optimizer.param_groups if any(weight is w for w in g["params"]))
    assert (group["weight_decay"], group["lr"]) == (0, pytest.approx(0.5e-3))


def test_the_rates_rise_and_fall_together(tmp_path: Path) -> None:
    optimizer, _ = optimizer_of(tmp_path, {"learning_rate_factor": 0.25}, [])
    schedule = make_schedule(tiny_recipe(tmp_path).training, optimizer, 20)
    rates = []
    for _ in range(20):
        slow, *_, fast = (group["lr"] for group in optimizer.param_groups)
        assert slow == pytest.approx(0.25 * fast)
        rates.append(fast)
        optimizer.step()
        schedule.step()
    assert max(rates) == pytest.approx(1e-3)
    assert rates[0] < rates[1] and rates[1:] == sorted(rates[1:], reverse=True)


@pytest.mark.usefixtures("drawn_cache", "quick_end")
def test_the_rate_that_is_noted_is_that_of_the_heads(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "backbone": {"learning_rate_factor": 0.25},
        "tasks": {"puzzle": None, "inpaint": None},
        "training": {"epochs": 1},
    }
    recipe = tiny_recipe(tmp_path / "run", **changes)
    (line,) = metrics_of(train(recipe).folder)
    assert line["lr"] == pytest.approx(1e-3 * recipe.training.final_learning_rate)
