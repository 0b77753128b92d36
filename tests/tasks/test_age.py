"""The age task: a number and how sure it is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hybridface.data.source import NumericLabels
from hybridface.errors import UsageError
from hybridface.tasks import build_tasks
from hybridface.tasks.age import Age

YEARS = torch.tensor([[10.0], [30.0], [50.0], [math.nan], [70.0]])


@pytest.fixture
def task() -> Age:
    (built,) = build_tasks({"age": {}})
    assert isinstance(built, Age)
    built.adopt_numbers(NumericLabels(("age",), YEARS.numpy(), "years"), YEARS, 48)
    return built


def test_labels_are_relative_to_the_training_rows(task: Age) -> None:
    assert task.centre == 40
    assert task.spread == pytest.approx(np.std([10, 30, 50, 70]))
    assert task.decode(torch.zeros(1, 2))[0].tolist() == pytest.approx(
        [40, math.sqrt(2) * task.spread]
    )


def test_the_unit_is_that_of_the_labels(task: Age) -> None:
    assert task.describe()["unit"] == "years"
    (other,) = build_tasks({"valence": {"type": "age", "label": "valence"}})
    other.adopt_numbers(NumericLabels(("valence",), YEARS.numpy() / 70), YEARS / 70, 48)
    assert other.describe()["unit"] == ""


def test_equal_ages_do_not_divide_by_zero() -> None:
    (task,) = build_tasks({"age": {}})
    same = torch.full((4, 1), 33.0)
    task.adopt_numbers(NumericLabels(("age",), same.numpy(), "years"), same, 48)
    assert task.loss(torch.zeros(4, 2), same).isfinite()


def test_rows_without_a_number_leave_them_as_they_are() -> None:
    (task,) = build_tasks({"age": {}})
    none = torch.full((4, 1), math.nan)
    task.adopt_numbers(NumericLabels(("age",), none.numpy(), "years"), none, 48)
    assert task.decode(torch.zeros(1, 2))[0].tolist() == pytest.approx([0, math.sqrt(2)])


def test_a_column_of_several_numbers_is_refused() -> None:
    (task,) = build_tasks({"age": {}})
    pair = torch.zeros(4, 2)
    with pytest.raises(UsageError, match="has the parts x, y; expected one number a picture"):
        task.adopt_numbers(NumericLabels(("x", "y"), pair.numpy()), pair, 48)


def test_answers_are_comparable_in_deviations_of_the_labels(task: Age) -> None:
    said = np.array([[40 + 2 * task.spread, 3 * task.spread]], np.float32)
    assert task.comparable(said)[0] == pytest.approx([2, 3])


def test_the_loss_is_the_likelihood_of_a_laplace_distribution(task: Age) -> None:
    output = torch.tensor([[0.3, -0.5], [0.1, 0.4], [-1.0, 0.0], [5.0, 5.0], [0.9, -1.0]])
    said = task.decode(output)
    laplace = torch.distributions.Laplace(said[:, 0], said[:, 1] / math.sqrt(2))
    known = YEARS[:, 0].isfinite()
    expected = -laplace.log_prob(YEARS[:, 0].nan_to_num())[known].mean() - math.log(task.spread)
    torch.testing.assert_close(task.loss(output, YEARS), expected)
    figures = task.figures(output, YEARS)
    away = (said[:, 0] - YEARS[:, 0]).abs()[known].mean()
    torch.testing.assert_close(figures["mae"], away)
    torch.testing.assert_close(figures["nll"], expected + math.log(task.spread))


def test_the_best_answer_is_the_median_and_the_mean_distance_from_it(task: Age) -> None:
    ages = torch.tensor([20.0, 22.0, 25.0, 30.0, 88.0]).view(-1, 1)
    output = torch.zeros(1, 2, requires_grad=True)
    optimizer = torch.optim.Adam([output], lr=0.02)
    for _ in range(600):
        optimizer.zero_grad()
        task.loss(output.expand(5, 2), ages).backward()
        optimizer.step()
    middle, deviation = task.decode(output.detach())[0].tolist()
    assert middle == pytest.approx(25, abs=1)
    assert deviation == pytest.approx(math.sqrt(2) * (5 + 3 + 0 + 5 + 63) / 5, rel=0.05)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_a_sure_answer_pulls_as_beta_says(beta: float) -> None:
    (task,) = build_tasks({"age": {"beta": beta}})
    task.adopt_numbers(NumericLabels(("age",), YEARS.numpy(), "years"), YEARS, 48)
    output = torch.tensor([[0.0, -4.0], [0.0, 0.0], [0.0, 2.0]], requires_grad=True)
    task.loss(output, torch.tensor([[90.0]] * 3)).backward()
    assert output.grad is not None
    pulls = -3 * output.grad[:, 0]
    torch.testing.assert_close(pulls, torch.tensor([4.0, 0.0, -2.0]).mul(1 - beta).exp())
    away = 50 / task.spread
    wider = 3 * output.grad[:, 1]  # of away / width + log width, weighed
    width = torch.tensor([-4.0, 0.0, 2.0]).exp()
    torch.testing.assert_close(wider, (1 - away / width) * width**beta)


@pytest.mark.parametrize("width", [-5.0, 3.0])
def test_an_answer_may_be_very_sure_and_very_unsure(task: Age, width: float) -> None:
    deviation = task.decode(torch.tensor([[0.0, width]]))[0, 1].item()
    assert deviation == pytest.approx(math.sqrt(2) * task.spread * math.exp(width))


def test_answers_far_off_stay_finite(task: Age) -> None:
    output = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    loss = task.loss(output, torch.tensor([[20.0], [40.0]]))
    loss.backward()
    assert loss.isfinite()
    assert output.grad is not None
    assert output.grad.isfinite().all()
    assert task.decode(output).isfinite().all()
