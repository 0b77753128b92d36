"""Head poses as tensors: what :mod:`hybridface.rotations` says, in batches and with gradients.

Everything is elementwise, so that mixed precision leaves it in float32 and ONNX can hold it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hybridface.augment import Geometry

SMALL = 1e-12
ROUNDING = 1e-6
"""A nose that points straight up or down is not behind the head, whatever cos(90) is in float32."""


def to_matrices(angles: Tensor) -> Tensor:
    """Return the rotation matrices ``(B, 3, 3)`` of poses ``(B, 3)`` in degrees."""
    yaw, pitch, roll = torch.deg2rad(angles).unbind(1)
    sy, cy = yaw.sin(), yaw.cos()
    sp, cp = -pitch.sin(), pitch.cos()
    sr, cr = -roll.sin(), roll.cos()
    rows = [
        [cy * cr, -cy * sr, sy],
        [cp * sr + sp * sy * cr, cp * cr - sp * sy * sr, -sp * cy],
        [sp * sr - cp * sy * cr, sp * cr + cp * sy * sr, cp * cy],
    ]
    return torch.stack([torch.stack(row, 1) for row in rows], 1)


def level_and_side(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far a head is from profile, ``|cos(yaw)|``, and the sign of that cosine.

    The sign is that of the head that is not upside down; see :mod:`hybridface.rotations`.
    """
    level = (matrices[:, 0, :2].square().sum(1) + SMALL).sqrt()
    side = torch.where(matrices[:, 0, 0] + matrices[:, 2, 2] < 0, -1.0, 1.0)
    return level, side


def to_angles(matrices: Tensor) -> Tensor:
    """Return the poses ``(B, 3)`` in degrees of rotation matrices ``(B, 3, 3)``."""
    level, side = level_and_side(matrices)
    yaw = torch.atan2(matrices[:, 0, 2], side * level)
    pitch = torch.atan2(side * matrices[:, 1, 2], side * matrices[:, 2, 2])
    roll = torch.atan2(side * matrices[:, 0, 1], side * matrices[:, 0, 0])
    return torch.stack([yaw, pitch, roll], 1) * (180 / math.pi)


def from_six(six: Tensor) -> Tensor:
    """Return rotation matrices from six numbers each, by Gram and Schmidt.

    The representation has no jumps, as any of three or four numbers has: Zhou et al. 2019, "On the
    Continuity of Rotation Representations in Neural Networks" (arXiv:1812.07035).

    Args:
        six: ``(B, 6)``, the first two columns of a matrix, of any length but zero.

    Returns:
        ``(B, 3, 3)``.
    """
    first = _unit(six[:, :3])
    second = six[:, 3:] - (first * six[:, 3:]).sum(1, keepdim=True) * first
    second = _unit(second)
    a, b, c = first.unbind(1)
    x, y, z = second.unbind(1)
    third = torch.stack([b * z - c * y, c * x - a * z, a * y - b * x], 1)
    return torch.stack([first, second, third], 2)


def angle_between(one: Tensor, other: Tensor) -> Tensor:
    """Return the angles in radians between rotations ``(B, 3, 3)`` or unit vectors ``(B, D)``.

    Of two rotations it is that of the one turn between them. Unlike an arc cosine it has a finite
    gradient everywhere.
    """
    far = (one - other).flatten(1).square().sum(1)
    near = (one + other).flatten(1).square().sum(1)
    if one.dim() == 3:
        near = (near - 4).clamp(min=0)  # so that far : near is tan^2 of half the angle
    return 2 * torch.atan2((far + SMALL).sqrt(), (near + SMALL).sqrt())


def follow(poses: Tensor, geometry: Geometry) -> Tensor:
    """Return what the poses of pictures are after augmentation.

    A turn is composed from the left, a flip negates yaw and roll. Where roll is unknown, yaw and
    pitch still say where the nose points, and a turn of the picture turns that arrow: they follow
    exactly, for a head that does not look up or down by more than 90 degrees. Of any other part of
    a pose nothing is known after a turn.

    Args:
        poses: ``(B, 3)`` yaw, pitch and roll in degrees, NaN where unknown.
        geometry: What was done.

    Returns:
        ``(B, 3)``.
    """
    known = poses.isfinite()
    turn = torch.deg2rad(geometry.turned.to(poses.dtype)).view(-1, 1)
    matrices = to_matrices(poses.nan_to_num())
    right, up = matrices[:, 0], matrices[:, 1]
    turned = torch.stack(
        [turn.cos() * right + turn.sin() * up, turn.cos() * up - turn.sin() * right], 1
    )
    matrices = torch.cat([turned, matrices[:, 2:]], 1)
    whole = to_angles(matrices)
    x, y, z = matrices[:, :, 2].unbind(1)
    side = torch.where(z < -ROUNDING, -1.0, 1.0)
    yaw = torch.atan2(x, side * (y.square() + z.square()).sqrt())
    pitch = torch.atan2(side * y, side * z)
    arrow = torch.rad2deg(torch.stack([yaw, pitch], 1))
    unknown = torch.full_like(poses, math.nan)
    seen = torch.cat([arrow, unknown[:, :1]], 1)
    after = torch.where(known.all(1, keepdim=True), whole, unknown)
    after = torch.where((known[:, :2].all(1) & ~known[:, 2]).unsqueeze(1), seen, after)
    after = torch.where(turn == 0, poses, after)
    flipped = torch.cat([-after[:, :1], after[:, 1:2], -after[:, 2:]], 1)
    return torch.where(geometry.flipped.unsqueeze(1), flipped, after)


def _unit(vectors: Tensor) -> Tensor:
    return vectors / (vectors.square().sum(1, keepdim=True) + SMALL).sqrt()
