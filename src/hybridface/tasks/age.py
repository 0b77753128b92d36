"""Age, or any other single number, with how sure the answer is.

The answer is a Laplace distribution, and the loss its negative log-likelihood (as Kendall and Gal
2017, arXiv:1703.04977, with the absolute error in place of the squared one). So the head learns by
the absolute error, which age is measured by, and a wrong label pulls no harder than any other; its
gradient is bounded where that of a Gaussian grows with the error. A distribution over years (DLDL,
arXiv:1611.01731) would need bins chosen for each unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Generator, Tensor, nn

from hybridface.data.batches import Batch
from hybridface.data.source import NumericLabels
from hybridface.errors import UsageError
from hybridface.tasks.base import FeatureShape, Task, View, masked_mean
from hybridface.tasks.heads import PooledHead, PooledHeadConfig
from hybridface.tasks.means import widened

NARROWEST, WIDEST = -6.0, 4.0


class AgeConfig(PooledHeadConfig):
    """Options of ``age``.

    Attributes:
        label: The label column, of one number a picture.
        beta: How far a picture's loss counts by the width of its answer, taken to this power
            (beta-NLL, Seitzer et al. 2022, arXiv:2203.09168). 0 is the likelihood as it is, in
            which a sure answer that is wrong outweighs all others; with 1 the number learns from
            its absolute error alone, however sure it is.
    """

    label: str = "age"
    beta: float = Field(0.0, ge=0, le=1)


class Age(Task):
    """One number and its uncertainty, by the negative log-likelihood of a Laplace distribution.

    Labels are taken relative to the mean and the deviation of the training rows.
    """

    type_name = "age"
    summary = "regression of a label column of one number, with its uncertainty: age, ..."
    supervised = True
    kept_at_inference = True
    numeric = True
    below_zero = True
    selects = {"mae": False, "nll": False}
    Config = AgeConfig

    def __init__(self, name: str, config: Any) -> None:
        super().__init__(name, config)
        self.centre, self.spread, self.unit = 0.0, 1.0, "years"

    def adopt_numbers(self, labels: NumericLabels, numbers: Tensor, size: int) -> None:
        """Take over unit, mean and deviation of the training rows."""
        if len(labels.names) != 1:
            raise UsageError(
                f"task {self.name}: label column '{self.label}' has the parts "
                f"{', '.join(labels.names)}; expected one number a picture"
            )
        self.unit = labels.unit
        known = numbers[numbers.isfinite()].double()
        if len(known):
            self.centre = float(known.mean())
            self.spread = float(known.std(correction=0)) or 1.0

    def restore(self, said: Mapping[str, Any], size: int) -> None:
        """Take over what :meth:`describe` said."""
        self.centre, self.spread = float(said["label_mean"]), float(said["label_deviation"])
        self.unit = str(said["unit"])

    def build_head(self, shape: FeatureShape) -> nn.Module:
        """Return a linear layer that gives ``(B, 2)``, the middle and the log of the width."""
        return PooledHead(shape, 2, self.config.dropout, self.config.hidden)

    def make_view(self, images: Tensor, batch: Batch, generator: Generator) -> View:
        """Return the numbers as the target; the picture is the one all supervised heads see."""
        return View(None, self.truth(batch))

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the mean over the pictures with a number of the likelihood's loss, in nats."""
        known = target[:, 0].isfinite()
        numbers = target[:, 0].nan_to_num(self.centre)
        return masked_mean(self._nll(output, numbers, self.config.beta), known)

    @torch.no_grad()
    def measure(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the mean absolute error over the pictures with a number, in its unit."""
        away = (self.decode(output)[:, 0] - target[:, 0]).abs()
        return {"mae": masked_mean(away.nan_to_num(), target[:, 0].isfinite())}

    @torch.no_grad()
    def figures(self, output: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Return the mean absolute error, and the negative log-likelihood per unit in nats."""
        known = truth[:, 0].isfinite()
        output, truth = output[known], truth[known, 0]
        away = (self.decode(output)[:, 0] - truth).abs()
        nll = self._nll(output, truth).mean() + math.log(self.spread)
        return {"mae": away.mean(), "nll": nll}

    def decode(self, output: Tensor) -> Tensor:
        """Return ``(B, 2)``, mean and standard deviation in the label's unit."""
        middle, width = self._middle_and_width(output)
        deviation = math.sqrt(2) * self.spread * width.exp()
        return torch.stack([self.centre + self.spread * middle, deviation], 1)

    def describe(self) -> dict[str, Any]:
        """Return the unit, the distribution, and what labels are relative to."""
        return {
            "kind": "regression",
            "unit": self.unit,
            "label": self.label,
            "distribution": "laplace",
            "label_mean": self.centre,
            "label_deviation": self.spread,
        }

    def comparable(self, decoded: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        """Return the numbers relative to the deviation of the labels."""
        scaled: NDArray[np.floating[Any]] = (decoded - [self.centre, 0]) / self.spread
        return scaled

    def _middle_and_width(self, output: Tensor) -> tuple[Tensor, Tensor]:
        middle, width = widened(output).unbind(1)
        return middle, width.clamp(NARROWEST, WIDEST)

    def _nll(self, output: Tensor, numbers: Tensor, beta: float = 0.0) -> Tensor:
        middle, width = self._middle_and_width(output)
        away = ((numbers - self.centre) / self.spread - middle).abs()
        nll = away / width.exp() + width + math.log(2)
        return nll * (beta * width.detach()).exp() if beta else nll
