"""Making a model as sure as it is right: one number a task, fitted to held-out pictures.

Of a classification it is the temperature that logits are divided by (Guo et al., "On Calibration
of Modern Neural Networks", ICML 2017, arXiv:1706.04599), of a number with its deviation what the
deviation is multiplied by. Neither changes the answer itself: the same class, the same number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from hybridface.errors import DataError
from hybridface.evaluation.calibration import reliability
from hybridface.evaluation.metrics import picture_nll
from hybridface.evaluation.number_metrics import WITHIN

LEAST_PICTURES = 50
SMALLEST = 1e-30
LOWEST, HIGHEST = 0.05, 20.0

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Recalibration:
    """What one number makes of the answers of a task.

    Attributes:
        kind: The kind of the task, ``classification`` or ``regression``.
        factor: The temperature, or what the deviations are multiplied by.
        count: How many pictures it was fitted to.
        loss: The mean negative log likelihood of these pictures before and after, in nats.
        trust: Before and after, of a classification the expected calibration error, of a
            regression the part of the pictures that is within 1.96 deviations, where 0.95 would
            be right of a normal distribution.
    """

    kind: str
    factor: float
    count: int
    loss: tuple[float, float]
    trust: tuple[float, float]

    def describe(self) -> str:
        """Return it in words."""
        what, of = "temperature", "calibration error"
        if self.kind == "regression":
            what, of = "deviations times", f"within {WITHIN} deviations"
        return (
            f"{what} {self.factor:.3f}; negative log likelihood {self.loss[0]:.4f} to "
            f"{self.loss[1]:.4f}, {of} {self.trust[0]:.4f} to {self.trust[1]:.4f}, on the "
            f"{self.count} pictures that it was fitted to"
        )


def tempered(probabilities: Floats, temperature: float) -> NDArray[np.float64]:
    """Return probabilities ``(N, K)`` as logits divided by a temperature would give them.

    Args:
        probabilities: ``(N, K)``; those below 1e-30 are taken as that.
        temperature: Above 1 for a model that is too sure.
    """
    logits = np.log(np.maximum(probabilities, SMALLEST, dtype=np.float64)) / temperature
    found: NDArray[np.float64] = special.softmax(logits, axis=1)
    return found


def fit_temperature(probabilities: Floats, targets: NDArray[np.int64]) -> Recalibration:
    """Return the temperature that makes the true classes likeliest.

    Args:
        probabilities: ``(N, K)`` of held-out pictures.
        targets: ``(N,)`` true classes, 0 to K - 1.

    Raises:
        DataError: The pictures are fewer than 50, or so few of them are wrong that the model could
            not be too sure.
    """
    _check(len(targets))

    def loss(logarithm: float) -> float:
        return float(picture_nll(tempered(probabilities, np.exp(logarithm)), targets).mean())

    bounds = (np.log(LOWEST), np.log(HIGHEST))
    found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    temperature = _within(float(np.exp(found.x)), "temperature")
    after = tempered(probabilities, temperature)
    both = (probabilities.astype(np.float64), after)
    first, last = (float(picture_nll(each, targets).mean()) for each in both)
    errors = [reliability(each.max(axis=1), each.argmax(axis=1) == targets).error for each in both]
    return Recalibration(
        "classification", temperature, len(targets), (first, last), (errors[0], errors[1])
    )


def fit_deviation(outputs: Floats, targets: Floats) -> Recalibration:
    """Return what deviations have to be multiplied by for the true numbers to be likeliest.

    The answer is a Laplace distribution, as the task ``age`` learns it.

    Args:
        outputs: ``(N, 2)`` numbers and their deviations, of held-out pictures.
        targets: ``(N,)`` the true numbers, all known.

    Raises:
        DataError: The pictures are fewer than 50, or all numbers are exactly right.
    """
    _check(len(targets))
    away = np.abs(outputs[:, 0].astype(np.float64) - targets)
    deviations = outputs[:, 1].astype(np.float64)
    factor = _within(float((np.sqrt(2) * away / deviations).mean()), "factor of the deviations")
    losses, covered = [], []
    for each in (deviations, factor * deviations):
        width = each / np.sqrt(2)
        losses.append(float((np.log(2 * width) + away / width).mean()))
        covered.append(float((away <= WITHIN * each).mean()))
    return Recalibration(
        "regression", factor, len(targets), (losses[0], losses[1]), (covered[0], covered[1])
    )


def _check(count: int) -> None:
    if count < LEAST_PICTURES:
        raise DataError(
            f"{count} pictures with a label are too few to say how sure a model may be; at least "
            f"{LEAST_PICTURES} are needed"
        )


def _within(factor: float, what: str) -> float:
    if not LOWEST * 1.001 < factor < HIGHEST / 1.001:
        raise DataError(
            f"the {what} that fits these pictures best is beyond {LOWEST:g} to {HIGHEST:g}: they "
            "do not say how sure the model may be, as where all answers are right, or all guesses"
        )
    return factor
