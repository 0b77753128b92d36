"""How the tasks' losses become one."""

from __future__ import annotations

import math

import pytest
import torch

from hybridface.network.loss_balance import LossBalance
from hybridface.tasks import build_tasks

LOSSES = {"expression": torch.tensor(2.0), "puzzle": torch.tensor(0.5)}


def balance(mode: str = "fixed", **puzzle: float) -> LossBalance:
    return LossBalance(build_tasks({"expression": {}, "puzzle": puzzle}), mode)  # type: ignore[arg-type]


def test_fixed_is_the_weighted_sum() -> None:
    assert balance(weight=0.1)(LOSSES) == pytest.approx(2.05)


def test_a_weight_moves_to_its_final_one_in_a_straight_line() -> None:
    ramp = balance(weight=1.0, final_weight=0.0)
    assert [float(ramp(LOSSES, part)) for part in (0, 0.25, 1)] == pytest.approx([2.5, 2.375, 2.0])
    up = balance(weight=0.0, final_weight=2.0)
    assert [up.weight("puzzle", part) for part in (0, 0.5, 1)] == [0, 1, 2]


def test_uncertainty_starts_as_the_weighted_sum_and_finds_its_minimum() -> None:
    """The minimum of exp(-s) L + s / 2 over s lies at s = log 2L."""
    joint = balance("uncertainty", weight=0.1)
    assert joint(LOSSES).item() == pytest.approx(2.05)
    optimizer = torch.optim.SGD(joint.parameters(), lr=0.5)
    for _ in range(400):
        optimizer.zero_grad()
        joint(LOSSES).backward()
        optimizer.step()
    for name, loss in LOSSES.items():
        assert joint.log_variances[name].item() == pytest.approx(math.log(2 * loss), abs=1e-2)


def test_geometric_is_the_weighted_geometric_mean() -> None:
    assert balance("geometric", weight=1.0)(LOSSES) == pytest.approx(1.0)
    assert balance("geometric", weight=3.0)(LOSSES) == pytest.approx((2 * 0.5**3) ** 0.25)


def test_geometric_leaves_out_a_task_that_counts_nothing() -> None:
    losses = {"expression": torch.zeros((), requires_grad=True), "puzzle": torch.tensor(0.5)}
    joint = balance("geometric", weight=1.0)(losses)
    assert joint.item() == pytest.approx(0.5)
    joint.backward()
    assert losses["expression"].grad == 0
    assert balance("geometric")(dict.fromkeys(losses, torch.zeros(()))).isfinite()


def test_uncertainty_learns_nothing_from_a_task_that_counts_nothing() -> None:
    joint = balance("uncertainty", weight=1.0)
    joint({"expression": torch.zeros(()), "puzzle": torch.tensor(0.5)}).backward()
    assert joint.log_variances["expression"].grad == 0
    assert joint.log_variances["puzzle"].grad == 0


def test_uncertainty_takes_a_loss_that_may_be_below_zero_as_it_is() -> None:
    """By a log-variance of its own it would fall without end."""
    joint = LossBalance(build_tasks({"expression": {}, "age": {"weight": 0.5}}), "uncertainty")
    assert list(joint.log_variances) == ["expression"]
    losses = {"expression": torch.tensor(2.0), "age": torch.tensor(-3.0)}
    assert joint(losses).item() == pytest.approx(0.5)


def test_only_learned_weights_have_parameters() -> None:
    assert len(list(balance().parameters())) == len(list(balance("geometric").parameters())) == 0
    assert len(list(balance("uncertainty").parameters())) == 2
