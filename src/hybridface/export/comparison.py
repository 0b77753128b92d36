"""How near a file comes to the model that it was made from, on real pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
WITHIN = {"pose": 3.0, "regression": 1.0}


@dataclass(frozen=True)
class Comparison:
    """How near one output of a file comes to that of the model it was made from.

    Attributes:
        largest: The largest difference of any number: of a probability, or in degrees or years.
        agreement: The part of the pictures with the same most probable class; for numbers, with
            all of them within 3 degrees, or 1 of the unit, of the model's.
        count: How many pictures.
    """

    largest: float
    agreement: float
    count: int

    def describe(self, of: str = "pictures") -> str:
        """Return it in words, of pictures of some sort."""
        return (
            f"largest difference {self.largest:.2g}, agreement {self.agreement:.1%} of "
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
    return {name: _compare(model.tasks[name], found[name], wanted[name]) for name in model.tasks}


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


def _compare(
    task: ModelTask, found: NDArray[np.float32], wanted: NDArray[np.float32]
) -> Comparison:
    differences = np.abs(found - wanted)
    if task.kind == "pose":  # angles meet again at 180
        differences = np.minimum(differences, np.abs(360 - differences))
    if task.kind in WITHIN:
        agree = differences.max(axis=1) <= WITHIN[task.kind]
    else:
        agree = found.argmax(axis=1) == wanted.argmax(axis=1)
    agree &= np.isfinite(found).all(axis=1)  # the largest of NaN is whichever comes first
    return Comparison(float(differences.max()), float(agree.mean()), len(found))
