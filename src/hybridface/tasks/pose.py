"""Pose of the head: yaw, pitch and roll, by way of a rotation matrix.

The head gives six numbers that become a rotation (Zhou et al. 2019, arXiv:1812.07035), and learns
by the angle between that and the true rotation, as 6DRepNet does (Hempel et al. 2022,
arXiv:2202.12555). What angles mean, and their order, is said in :mod:`hybridface.rotations`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from hybridface import rotations
from hybridface.augment import Geometry
from hybridface.data.batches import Batch
from hybridface.data.source import NumericLabels
from hybridface.errors import UsageError
from hybridface.tasks import turns
from hybridface.tasks.base import FeatureShape, Task, View, masked_mean
from hybridface.tasks.heads import PooledHead, PooledHeadConfig
from hybridface.tasks.means import widened

FRONTAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


class PoseConfig(PooledHeadConfig):
    """Options of ``pose``.

    Attributes:
        label: The label column, of yaw, pitch and roll in degrees.
    """

    label: str = "pose"


class Pose(Task):
    """Yaw, pitch and roll of the head; the angle between the answer and the truth, in radians.

    A picture without roll, as in Pointing'04, counts by the angle between where the nose points
    and where it should. One with other angles alone counts by the mean over these of the distance
    between points on the unit circle. A picture without any does not count.
    """

    type_name = "pose"
    summary = "yaw, pitch and roll of the head, in degrees (arXiv:2202.12555)"
    supervised = True
    kept_at_inference = True
    numeric = True
    selects = {"mae": False, "geodesic": False}
    Config = PoseConfig

    def adopt_numbers(self, labels: NumericLabels, numbers: Tensor, size: int) -> None:
        """Refuse numbers that are no poses; see :meth:`Task.adopt_numbers`."""
        if labels.names != rotations.ANGLES:
            raise UsageError(
                f"task {self.name}: label column '{self.label}' has the parts "
                f"{', '.join(labels.names)}; expected {', '.join(rotations.ANGLES)}"
            )

    def build_head(self, shape: FeatureShape) -> nn.Module:
        """Return a linear layer that starts near the frontal pose."""
        head = PooledHead(shape, len(FRONTAL), self.config.dropout, self.config.hidden)
        with torch.no_grad():
            head.linear.bias.copy_(torch.tensor(FRONTAL))
        return head

    def follow(self, labels: Tensor, geometry: Geometry) -> Tensor:
        """Turn and mirror the poses with their pictures; see :func:`turns.follow`."""
        return turns.follow(labels, geometry)

    def make_view(self, images: Tensor, batch: Batch, generator: Generator) -> View:
        """Return the poses as the target; the picture is the one all supervised heads see."""
        return View(None, self.truth(batch))

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the mean angle over the pictures with a pose, in radians."""
        found, true = turns.from_six(widened(output)), turns.to_matrices(target.nan_to_num())
        known = target.isfinite()
        parts = (_parts(found, target.nan_to_num()) * known).sum(1) / known.sum(1).clamp(min=1)
        nose = turns.angle_between(found[:, :, 2], true[:, :, 2])
        values = torch.where(known[:, :2].all(1), nose, parts)
        values = torch.where(known.all(1), turns.angle_between(found, true), values)
        return masked_mean(values, known.any(1))

    @torch.no_grad()
    def measure(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the mean absolute error over the angles that are known, in degrees."""
        away = _away(self.decode(output), target)
        return {"mae": masked_mean(away.nan_to_num(), target.isfinite())}

    @torch.no_grad()
    def figures(self, output: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Return mean absolute errors and the mean angle between rotations, in degrees.

        ``mae`` is the mean over the angles that any picture has, each of its mean over pictures.
        As everywhere in the literature, pictures with an angle beyond 99 degrees do not count;
        where none counts, there are no figures.
        """
        inside = ~(truth.abs() > rotations.FURTHEST).any(1)
        found, truth = self.decode(output[inside]), truth[inside]
        counted = truth.isfinite()
        there = counted.any(0)
        if not there.any():
            return {}
        # Only missing labels are left out: an answer that is no number has to show.
        means = torch.where(counted, _away(found, truth), 0.0).sum(0) / counted.sum(0)
        figures = {
            f"mae_{name}": value
            for name, value, known in zip(rotations.ANGLES, means, there, strict=True)
            if known
        }
        whole = counted.all(1)
        if whole.any():
            pair = (turns.to_matrices(angles[whole]) for angles in (found, truth))
            figures["geodesic"] = torch.rad2deg(turns.angle_between(*pair)).mean()
        return {"mae": means[there].mean(), **figures}

    def decode(self, output: Tensor) -> Tensor:
        """Return ``(B, 3)`` yaw, pitch and roll in degrees."""
        return turns.to_angles(turns.from_six(widened(output)))

    def describe(self) -> dict[str, Any]:
        """Return the unit."""
        return {"kind": "pose", "unit": "degrees", "label": self.label}

    def comparable(self, decoded: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        """Return rotation matrices, which do not jump where angles do."""
        return rotations.to_matrices(decoded).reshape(-1, 9)


def _parts(found: Tensor, true: Tensor) -> Tensor:
    """Return for each angle ``(B, 3)`` the distance of two points on the unit circle.

    Those of pitch and roll shrink towards profile, where these mean less and less, without the
    model gaining by a more profile answer.
    """
    level, side = turns.level_and_side(found)
    sine, cosine = torch.deg2rad(true).sin(), torch.deg2rad(true).cos()
    kept = level.detach()  # only the part across the circle has a gradient
    onto = side * kept / level
    pairs = [
        (found[:, 0, 2], side * level, sine[:, 0], cosine[:, 0]),
        (onto * found[:, 1, 2], onto * found[:, 2, 2], kept * sine[:, 1], kept * cosine[:, 1]),
        (onto * found[:, 0, 1], onto * found[:, 0, 0], kept * sine[:, 2], kept * cosine[:, 2]),
    ]
    squares = [(a - c).square() + (b - d).square() for a, b, c, d in pairs]
    return (torch.stack(squares, 1) + turns.SMALL).sqrt()


def _away(found: Tensor, true: Tensor) -> Tensor:
    """Return the absolute differences of angles in degrees, the short way round."""
    return ((found - true + 180).remainder(360) - 180).abs()
