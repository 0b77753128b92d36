"""The pose task: what it learns from whole and partial poses, and that it can learn at all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hybridface import rotations
from hybridface.evaluation.number_metrics import pose_metrics
from hybridface.tasks import build_tasks, turns
from hybridface.tasks.base import Features, FeatureShape
from hybridface.tasks.pose import Pose

TRUTH = torch.tensor([[20.0, -10.0, 15.0], [-60.0, 30.0, 5.0], [85.0, 0.0, -20.0], [0, 0, 0]])


def task() -> Pose:
    (built,) = build_tasks({"pose": {}})
    assert isinstance(built, Pose)
    return built


def six(angles: Tensor, noise: float = 0.0) -> Tensor:
    """Return what a head would say of poses, and a little beside."""
    matrices = turns.to_matrices(angles)
    exact = torch.cat([matrices[:, :, 0], matrices[:, :, 1]], 1)
    return exact + noise * torch.randn(exact.shape, generator=torch.Generator().manual_seed(0))


def without(*parts: int) -> Tensor:
    some = TRUTH.clone()
    some[:, list(parts)] = math.nan
    return some


def test_the_right_answer_has_no_loss_and_is_decoded() -> None:
    assert task().loss(six(TRUTH), TRUTH).item() < 1e-5
    found = task().decode(six(TRUTH)).numpy()
    assert np.allclose(rotations.geodesic(found, TRUTH.numpy()), 0, atol=1e-3)
    assert task().describe()["unit"] == "degrees"


def test_a_head_starts_at_the_frontal_pose() -> None:
    head = task().build_head(FeatureShape(5, 5, (), 48, 2, ()))
    said = head(Features(torch.zeros(1, 5), torch.zeros(1, 5, 2, 2)))
    assert task().decode(said).abs().max() < 1e-3


def test_whole_poses_cost_the_angle_between_rotations() -> None:
    said = six(TRUTH, 0.2)
    found = task().decode(said).double().numpy()
    expected = np.radians(rotations.geodesic(found, TRUTH.numpy())).mean()
    assert task().loss(said, TRUTH).item() == pytest.approx(expected, abs=1e-4)


def test_without_roll_the_answers_roll_does_not_matter() -> None:
    rolled = TRUTH.clone()
    rolled[:, 2] += 40
    assert task().loss(six(rolled), without(2)).item() < 1e-5
    off = TRUTH.clone()
    off[:, 0] += 10
    assert task().loss(six(off), without(2)).item() > 0.1


@pytest.mark.parametrize("known", [(0,), (1,), (2,), (1, 2), (0, 2)])
def test_parts_cost_the_mean_distance_on_the_unit_circle(known: tuple[int, ...]) -> None:
    said = six(TRUTH + torch.tensor([45.0, 0, 0]), 0.2)  # of which one is beyond profile
    found, truth = (np.radians(each.numpy()) for each in (task().decode(said), TRUTH))
    chords = 2 * np.abs(np.sin((found - truth) / 2))
    chords[:, 1:] *= np.abs(np.cos(found[:, :1]))  # pitch and roll mean less towards profile
    some = without(*(part for part in range(3) if part not in known))
    assert task().loss(said, some).item() == pytest.approx(chords[:, known].mean(), abs=1e-4)


@pytest.mark.parametrize("known", [(1,), (2,), (1, 2)])
def test_where_yaw_is_unknown_it_is_not_learned(known: tuple[int, ...]) -> None:
    """Though pitch and roll mean less towards profile, turning there does not lower their loss."""
    angles = torch.tensor([[30.0, 10.0, -5.0], [-70.0, -20.0, 40.0]], requires_grad=True)
    truth = angles.detach() + torch.tensor([math.nan, 25.0, -35.0])
    truth[:, [part for part in range(3) if part not in known]] = math.nan
    task().loss(six(angles), truth).backward()
    assert angles.grad is not None
    assert angles.grad[:, list(known)].abs().min() > 1e-4
    assert angles.grad[:, 0].abs().max() < 1e-6


@pytest.mark.parametrize("known", [(0,), (1,), (2,), (1, 2), (0, 2)])
def test_parts_of_a_pose_are_learned_alone(known: tuple[int, ...]) -> None:
    """What is known is found by descending the loss, from the frontal pose."""
    truth = without(*(part for part in range(3) if part not in known))[:2]
    said = six(torch.zeros(2, 3)).requires_grad_()
    optimizer = torch.optim.Adam([said], lr=0.02)
    for _ in range(400):
        optimizer.zero_grad()
        task().loss(said, truth).backward()
        optimizer.step()
    away = rotations.difference(task().decode(said.detach()).numpy(), truth.numpy())
    assert np.nanmax(np.abs(away)) < 3


@pytest.mark.parametrize("truth", [TRUTH, without(2), without(1, 2), without(0)])
def test_gradients_are_finite_also_at_the_truth_and_in_gimbal_lock(truth: Tensor) -> None:
    locked = torch.tensor([[90.0, 0, 0], [-90, 10, 0], [90, 40, 0], [180, 0, 0]])
    for angles in (TRUTH, locked):
        said = six(angles).requires_grad_()
        task().loss(said, truth).backward()
        assert said.grad is not None
        assert said.grad.isfinite().all()
        assert said.grad.abs().max() < 100


def test_figures_are_those_of_evaluation() -> None:
    truth = TRUTH.repeat(5, 1)
    truth[3, 2] = math.nan
    truth[7] = math.nan
    truth[9, 0], truth[10, 1] = 120.0, -120.0  # beyond 99 degrees: left out
    truth[11] = torch.tensor([0.0, 0, -90])
    said = six(TRUTH.repeat(5, 1), 0.3)
    said[11:12] = six(torch.tensor([[0.0, 0, 170]]))  # the short way round is 100 degrees
    figures = task().figures(said, truth)
    expected = pose_metrics(task().decode(said).numpy(), truth.numpy())
    assert set(figures) == {"mae", "mae_yaw", "mae_pitch", "mae_roll", "geodesic"}
    for name, value in figures.items():
        assert value.item() == pytest.approx(expected[name]["value"], rel=1e-3)


def test_an_answer_that_is_no_number_shows_in_the_figures() -> None:
    said = six(TRUTH)
    said[1] = math.nan
    figures = task().figures(said, without(2))
    assert all(figures[name].isnan() for name in ("mae", "mae_yaw", "mae_pitch"))


def test_figures_of_what_no_picture_has_are_left_out() -> None:
    figures = task().figures(six(TRUTH), without(2))
    assert set(figures) == {"mae", "mae_yaw", "mae_pitch"}


@pytest.mark.parametrize("truth", [without(0, 1, 2), TRUTH + 200])
def test_of_poses_that_do_not_count_there_are_no_figures(truth: Tensor) -> None:
    assert task().figures(six(TRUTH), truth) == {}


def test_answers_on_both_sides_of_a_jump_of_the_angles_are_comparable() -> None:
    one, other, third = task().comparable(
        np.array([[5, 10, 179.99], [5, 10, -179.99], [5, 10, 170]], np.float32)
    )
    assert np.abs(one - other).max() < 1e-3
    assert np.abs(one - third).max() > 0.1


def test_the_roll_may_be_said_in_half_precision() -> None:
    said = six(TRUTH).bfloat16()
    assert task().decode(said).dtype == torch.float32
    assert task().loss(said, TRUTH).dtype == torch.float32


def test_columns_that_are_no_poses_are_refused() -> None:
    from hybridface.data.source import NumericLabels
    from hybridface.errors import UsageError

    wrong: Any = NumericLabels(("pitch", "yaw", "roll"), np.zeros((1, 3), np.float32))
    with pytest.raises(UsageError, match="has the parts pitch, yaw, roll; expected yaw, pitch"):
        task().adopt_numbers(wrong, torch.zeros(1, 3), 48)
