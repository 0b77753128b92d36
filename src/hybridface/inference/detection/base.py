"""What a detector is, and what it finds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridface.errors import UsageError

Picture = NDArray[np.uint8]
LEAST_SIDE = 32


@dataclass(frozen=True)
class Detections:
    """The faces of one picture, the surest first.

    Attributes:
        boxes: ``(N, 4)`` float32 left, top, right and bottom in pixels of the picture, inside it.
        scores: ``(N,)`` float32 in [0, 1].
        landmarks: ``(N, 5, 2)`` float32, x and y of the eye on the left of the picture, the one
            on the right, the nose, and the left and right corner of the mouth; NaN where a
            detector finds none.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    landmarks: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.boxes)

    def first(self, most: int | None) -> Detections:
        """Return the surest faces, at most so many; None for all."""
        return Detections(self.boxes[:most], self.scores[:most], self.landmarks[:most])

    @classmethod
    def none(cls) -> Detections:
        """Return the faces of a picture that has none."""
        return cls(*(np.zeros(shape, np.float32) for shape in ((0, 4), (0,), (0, 5, 2))))


class Detector(ABC):
    """Finds faces. A subclass must be made with these two options or without any.

    Attributes:
        threshold: The least score of a face.
        longest: Longest side in pixels that a picture is reduced to before it is looked at.
    """

    def __init__(self, *, threshold: float = 0.5, longest: int = 1024) -> None:
        if not 0 <= threshold <= 1:
            raise UsageError(f"detector threshold: expected a score in [0, 1], got {threshold}")
        if longest < LEAST_SIDE:
            raise UsageError(f"longest side: expected {LEAST_SIDE} or more, got {longest}")
        self.threshold = threshold
        self.longest = longest

    @abstractmethod
    def detect(self, pictures: Sequence[Picture]) -> list[Detections]:
        """Find the faces of some pictures.

        Args:
            pictures: RGB, each uint8 ``(H, W, 3)``, of any sizes.

        Returns:
            For each picture its faces; a picture without one gives no error.
        """


def overlaps(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the intersection over union of boxes.

    Args:
        ours: ``(N, 4)`` left, top, right, bottom.
        theirs: ``(M, 4)``.

    Returns:
        ``(N, M)`` float32 in [0, 1]; 0 where both boxes are empty.
    """
    low = np.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = np.minimum(ours[:, None, 2:], theirs[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [np.clip(each[:, 2:] - each[:, :2], 0, None).prod(axis=1) for each in (ours, theirs)]
    union = areas[0][:, None] + areas[1][None] - shared
    result: NDArray[np.float32] = np.divide(
        shared, union, out=np.zeros_like(shared), where=union > 0
    )
    return result


def suppress(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], most_overlap: float
) -> NDArray[np.int64]:
    """Keep the surest of boxes that overlap (greedy non-maximum suppression).

    Args:
        boxes: ``(N, 4)``.
        scores: ``(N,)``.
        most_overlap: Two boxes that are kept overlap no more than this, as in :func:`overlaps`.

    Returns:
        Indices of the boxes that are kept, the surest first.
    """
    order = np.argsort(-scores, kind="stable")
    free = np.ones(len(order), dtype=bool)
    kept: list[int] = []
    covered = overlaps(boxes[order], boxes[order]) > most_overlap
    for place, index in enumerate(order):
        if free[place]:
            kept.append(int(index))
            free &= ~covered[place]
    return np.array(kept, dtype=np.int64)
