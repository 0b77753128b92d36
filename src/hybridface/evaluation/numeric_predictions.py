"""Predicted numbers of an evaluation or a run, picture by picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class NumericPredictions:
    """What a model said of the labelled pictures in a task of numbers.

    Attributes:
        label: The label column that the targets come from.
        kind: ``pose`` or ``regression``.
        names: What the K numbers of the column are called.
        unit: What they are counted in.
        keys: ``(N,)`` str, the names of the pictures in their data set.
        targets: ``(N, K)`` float32; NaN where a number is not known.
        outputs: ``(N, C)`` float32, what the model's task gives.
        groups: ``(N,)`` int64, whose picture each is; None where the data does not say.
    """

    label: str
    kind: str
    names: tuple[str, ...]
    unit: str
    keys: NDArray[np.str_]
    targets: NDArray[np.float32]
    outputs: NDArray[np.float32]
    groups: NDArray[np.int64] | None = None

    @property
    def known(self) -> NDArray[np.bool_]:
        """The pictures ``(N,)`` of which any number is known."""
        known: NDArray[np.bool_] = np.any(np.isfinite(self.targets), axis=1)
        return known

    def rows(self, rows: NDArray[Any]) -> NumericPredictions:
        """Return those of some pictures."""
        parts = (self.keys[rows], self.targets[rows], self.outputs[rows])
        groups = None if self.groups is None else self.groups[rows]
        return NumericPredictions(self.label, self.kind, self.names, self.unit, *parts, groups)
