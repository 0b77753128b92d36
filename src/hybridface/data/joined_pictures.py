"""The pictures of several data sets, read as those of one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hybridface.data.source import Pictures, Pixels
from hybridface.data.splits import Index


class JoinedPictures:
    """The pictures of several data sets, numbered through.

    Args:
        parts: Those of each, all of one size.
        rows: Which rows of each count, in order; all of all where null.
    """

    def __init__(self, parts: Sequence[Pictures], rows: Sequence[Index] | None = None) -> None:
        self.parts, self.rows = parts, rows
        counts = [part.shape[0] for part in parts] if rows is None else [*map(len, rows)]
        self.starts = np.cumsum([0, *counts])

    @property
    def shape(self) -> tuple[int, ...]:
        """Return ``(N, size, size, 3)``."""
        return (int(self.starts[-1]), *self.parts[0].shape[1:])

    def __getitem__(self, index: Index) -> Pixels:
        """Return some of them, ``(B, size, size, 3)`` RGB uint8."""
        pictures = np.empty((len(index), *self.shape[1:]), dtype=np.uint8)
        origin = np.searchsorted(self.starts, index, side="right") - 1
        for number in np.unique(origin):
            here = origin == number
            inside = index[here] - self.starts[number]
            rows = inside if self.rows is None else self.rows[number][inside]
            pictures[here] = self.parts[number][rows]
        return pictures
