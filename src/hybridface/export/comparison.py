"""How near a file comes to the model that it was made from, on real pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.errors import HybridFaceError
from hybridface.export.pictures import BATCH, Pixels
from hybridface.export.precision import Precision
from hybridface.inference.metadata import ModelTask
from hybridface.inference.runtime import FaceModel

LEAST_AGREEMENT: dict[Precision, float] = {
    "fp32": 1.0, "fp16": 0.98, "fp16-stored": 0.98, "int8": 0.9
}  # fmt: skip
DEGREES = 3.0
DEVIATIONS = 0.1


@dataclass(frozen=True)
class Comparison:
    """How near one output of a file comes to that of the model it was made from.

    Attributes:
        largest: The largest difference of any number: of a probability, or in degrees or years.
        agreement: The part of the pictures with the same most probable class; for numbers, with
            all of them within ``bound`` of the model's.
        count: How many pictures.
        bound: 3 degrees for a pose; for another number a tenth of the standard deviation of its
            training labels, in its unit, and 1 where a task of a user's own does not say that
            deviation; None for classes.
    """

    largest: float
    agreement: float
    count: int
    bound: float | None = None

    def describe(self, of: str = "pictures") -> str:
        """Return it in words, of pictures of some sort."""
        within = "" if self.bound is None else f" (within {self.bound:.2g})"
        return (
            f"largest difference {self.largest:.2g}, agreement{within} {self.agreement:.1%} of "
            f"{self.count} {of}"
        )


def compare(
    model: FaceModel, wanted: Mapping[str, NDArray[np.float32]], pixels: Pixels
) -> dict[str, Comparison]:
    """Compare what a file says of pictures with what it should say.

    Args:
        model: The file.
        wanted: ``(N, K)`` outputs of the model that it was made from, by task.
        pixels: ``(N, size, size, 3)`` uint8.
    """
    found = model.predict(pixels, BATCH)
    return {
        name: _compare(task, found[name], wanted[name], _bound(task, model.metadata["tasks"][name]))
        for name, task in model.tasks.items()
    }


def check_agreement(
    out: Path, found: Mapping[str, Comparison], precision: Precision, least: float | None
) -> None:
    """Refuse a file that agrees with its model on too few pictures.

    Args:
        out: Where it would be written.
        found: Its comparisons by task.
        precision: Its precision.
        least: The least part of the pictures; None for 1, 0.98 or 0.9 by precision.

    Raises:
        HybridFaceError: Names the task, and what can be done.
    """
    least = LEAST_AGREEMENT[precision] if least is None else least
    for name, each in found.items():
        if not each.agreement >= least:
            raise HybridFaceError(
                f"{out}: not written, as task '{name}' agrees with its model on only "
                f"{each.agreement:.1%} of {each.count} pictures (largest difference "
                f"{each.largest:.3g}); at least {least:.1%} are asked for: take a higher "
                "precision, more pictures by --data, or a lower --least-agreement"
            )


def _bound(task: ModelTask, said: Mapping[str, Any]) -> float | None:
    """Return how far apart numbers of two models may be that agree; None for classes."""
    if task.kind == "pose":
        return DEGREES
    if task.kind == "regression":
        return DEVIATIONS * float(said.get("label_deviation", 1 / DEVIATIONS))
    return None


def _compare(
    task: ModelTask,
    found: NDArray[np.float32],
    wanted: NDArray[np.float32],
    bound: float | None,
) -> Comparison:
    differences = np.abs(found - wanted)
    if task.kind == "pose":  # angles meet again at 180
        differences = np.minimum(differences, np.abs(360 - differences))
    if bound is None:
        agree = found.argmax(axis=1) == wanted.argmax(axis=1)
    else:
        agree = differences.max(axis=1) <= bound
    agree &= np.isfinite(found).all(axis=1)  # the largest of NaN is whichever comes first
    return Comparison(float(differences.max()), float(agree.mean()), len(found), bound)
