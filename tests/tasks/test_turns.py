"""Poses as tensors, held against the numpy functions and against drawn pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from hybridface import rotations
from hybridface.augment import STRENGTHS, Geometry, Strength, augment_and_tell
from hybridface.tasks import turns

HEADS = torch.tensor(
    [
        [0.0, 0.0, 0.0],
        [30.0, 0.0, 0.0],
        [-70.0, 20.0, 35.0],
        [95.0, -40.0, 10.0],
        [15.0, 60.0, -80.0],
        [-89.0, 5.0, 3.0],
    ],
    dtype=torch.float64,
)
COUNT = len(HEADS)


def geometry(turned: float | list[float], flipped: bool = False) -> Geometry:
    by = torch.as_tensor(turned, dtype=torch.float64).expand(COUNT)
    return Geometry(by, torch.full((COUNT,), flipped))


def close(one: Tensor, other: np.ndarray, atol: float = 1e-6) -> bool:
    return np.allclose(rotations.difference(one.numpy(), other), 0, atol=atol)


def test_matrices_and_angles_are_those_of_numpy() -> None:
    matrices = turns.to_matrices(HEADS)
    assert np.allclose(matrices.numpy(), rotations.to_matrices(HEADS.numpy()), atol=1e-12)
    assert close(turns.to_angles(matrices), HEADS.numpy(), atol=1e-3)


def test_six_numbers_of_any_length_give_their_rotation() -> None:
    matrices = turns.to_matrices(HEADS)
    leaning = 3 * matrices[:, :, 1] + 2 * matrices[:, :, 0]
    six = torch.cat([5 * matrices[:, :, 0], leaning], 1)
    torch.testing.assert_close(turns.from_six(six), matrices)


def test_angles_between_rotations_are_the_geodesic() -> None:
    other = HEADS.flip(0)
    found = torch.rad2deg(turns.angle_between(*map(turns.to_matrices, (HEADS, other))))
    expected = rotations.geodesic(HEADS.numpy(), other.numpy())
    assert np.allclose(found.numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("degrees", [0.0, 1e-5, 90.0, 179.999, 180.0])
def test_the_angle_has_a_finite_gradient_everywhere(degrees: float) -> None:
    six = torch.tensor([[1.0, 0, 0, 0, 1, 0]], requires_grad=True)
    truth = turns.to_matrices(torch.tensor([[0.0, 0.0, degrees]]))
    angle = turns.angle_between(turns.from_six(six), truth)
    assert torch.rad2deg(angle).item() == pytest.approx(degrees, abs=2e-3)
    angle.sum().backward()
    assert six.grad is not None
    assert six.grad.isfinite().all()
    assert six.grad.abs().max() < 10


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("turned", [0.0, 25.0, -110.0])
def test_whole_poses_follow_as_numpy_says(turned: float, flipped: bool) -> None:
    expected = rotations.turn_picture(HEADS.numpy(), np.full(COUNT, turned))
    if flipped:
        expected = rotations.mirror(expected)
    found = turns.follow(HEADS, geometry(turned, flipped))
    assert np.allclose(rotations.geodesic(found.numpy(), expected), 0, atol=1e-3)
    assert close(found[:4], expected[:4], atol=1e-3)


@pytest.mark.parametrize("flipped", [False, True])
def test_without_roll_yaw_and_pitch_follow_exactly(flipped: bool) -> None:
    """Whatever the roll is: the picture's turn moves where the nose points, and nothing else."""
    arrows = HEADS.clone()
    arrows[:, 2] = math.nan
    found = turns.follow(arrows, geometry(25.0, flipped))
    assert found[:, 2].isnan().all()
    whole = turns.to_matrices(turns.follow(HEADS, geometry(25.0, flipped)))
    again = turns.to_matrices(found.nan_to_num())
    torch.testing.assert_close(again[:, :, 2], whole[:, :, 2], atol=1e-5, rtol=0)


def test_a_nose_straight_up_follows_a_turn() -> None:
    """Pointing'04 has tilts of 90 degrees; in float32 their cosine is a little below zero."""
    poses = torch.tensor([[0.0, 90.0, math.nan], [0.0, -90.0, math.nan]])
    turned = Geometry(torch.full((2,), 10.0), torch.zeros(2, dtype=torch.bool))
    found = turns.follow(poses, turned)
    assert (found[:, 0].abs() - 10).abs().max() < 1e-2
    assert torch.allclose(found[:, 1], poses[:, 1], atol=1e-2)


def test_any_other_part_is_unknown_after_a_turn_and_kept_without() -> None:
    yaw_alone = HEADS.clone()
    yaw_alone[:, 1:] = math.nan
    assert turns.follow(yaw_alone, geometry(1.0)).isnan().all()
    still = turns.follow(yaw_alone, geometry(0.0, flipped=True))
    assert torch.equal(still[:, 0], -HEADS[:, 0])
    assert still[:, 1:].isnan().all()
    assert turns.follow(torch.full_like(HEADS, math.nan), geometry(9.0)).isnan().all()


def arrow(size: int, degrees: Tensor) -> Tensor:
    """Draw for each roll a head's axis: a bright dot where its top is, (B, 3, size, size)."""
    place = (torch.arange(size) + 0.5) / size * 2 - 1
    x = 0.6 * torch.sin(torch.deg2rad(degrees)).view(-1, 1, 1)
    y = -0.6 * torch.cos(torch.deg2rad(degrees)).view(-1, 1, 1)
    dot = torch.exp(-((place.view(1, 1, -1) - x) ** 2 + (place.view(1, -1, 1) - y) ** 2) / 0.01)
    return (255 * dot).byte().unsqueeze(1).expand(-1, 3, -1, -1)


def test_the_label_follows_what_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dot at the top of a frontal head is, after augmentation, where its label says."""
    monkeypatch.setitem(STRENGTHS, "weak", Strength(rotation=25))
    roll = torch.linspace(-40, 40, 60)
    poses = torch.stack([torch.zeros(60), torch.zeros(60), roll], 1)
    images, told = augment_and_tell(arrow(65, roll), "weak", Generator().manual_seed(1))
    place = (torch.arange(65) + 0.5) / 65 * 2 - 1
    mass = images[:, 0] / images[:, 0].sum((1, 2), keepdim=True)
    x, y = (mass.sum(1) * place).sum(1), (mass.sum(2) * place).sum(1)
    seen = torch.rad2deg(torch.atan2(x, -y))
    assert 10 < told.flipped.sum() < 50
    assert told.turned.abs().max() > 20
    labels = turns.follow(poses, told)
    assert (labels[:, 2] - seen).abs().max() < 0.7
    assert labels[:, :2].abs().max() < 1e-3
