"""CenterFace: a face is the peak of a heatmap, its box and landmarks are read at that place.

Xu et al. 2019, "CenterFace: Joint Face Detection and Alignment Using Face as Point"
(arXiv:1911.03599). The weights are the authors', under the MIT licence beside the file; the
decoding follows the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybridface.errors import HybridFaceError
from hybridface.inference.detection.base import Detections, Detector, Picture, suppress
from hybridface.inference.detection.letterbox import Fitted, batches
from hybridface.inference.session import open_session

MODEL = Path(__file__).parent / "centerface.onnx"
STRIDE = 32
CELL = 4
# 720 faces of 24 to 40 pixels in scenes (benchmarks/detection.py): 0.889 are found at 0.5, 0.919 at
# 0.4 with 2 more finds elsewhere, 0.936 at 0.3 with 6 more.
THRESHOLD = 0.4
MOST_OVERLAP = 0.3
MOST_FACES = 1000
MOST_PIXELS = 8 * 640 * 480
OUTPUTS = ["heatmap", "scale", "offset", "landmarks"]
Map = NDArray[np.float32]
Maps = tuple[Map, Map, Map, Map]


class CenterFace(Detector):
    """Finds faces from about 10 pixels up; ``threads`` as in :func:`open_session`."""

    def __init__(
        self, *, threshold: float = THRESHOLD, longest: int = 1024, threads: int | None = None
    ) -> None:
        super().__init__(threshold=threshold, longest=longest)
        self._session = open_session(MODEL, threads=threads)

    def detect(self, pictures: Sequence[Picture]) -> list[Detections]:
        """Find the faces of some pictures; see :meth:`Detector.detect`.

        Raises:
            HybridFaceError: ONNX Runtime failed.
        """
        fits = [Fitted.of(picture, self.longest, STRIDE) for picture in pictures]
        found: list[Detections] = [Detections.none()] * len(pictures)
        for indices in batches(fits, MOST_PIXELS):
            images = np.zeros((len(indices), 3, *fits[indices[0]].padded), np.float32)
            for place, index in zip(images, indices, strict=True):
                fits[index].paste(pictures[index], place)
            try:
                maps: Maps = self._session.run(OUTPUTS, {"images": images})
            except Exception as error:  # ONNX Runtime's errors share no class of their own
                raise HybridFaceError(f"{MODEL}: ONNX Runtime failed ({error})") from error
            for index, faces in zip(indices, self._decode(maps, len(indices)), strict=True):
                found[index] = _to_picture(faces, fits[index], pictures[index])
        return found

    def _decode(self, maps: Maps, count: int) -> list[Detections]:
        picture, boxes, scores, landmarks = decode(maps, self.threshold)
        faces = []
        for number in range(count):
            (own,) = np.nonzero(picture == number)
            own = own[np.argsort(-scores[own], kind="stable")[:MOST_FACES]]
            own = own[suppress(boxes[own], scores[own], MOST_OVERLAP)]
            faces.append(Detections(boxes[own], scores[own], landmarks[own]))
        return faces


def decode(
    maps: Maps, threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Read faces off the network's maps, whose cells are 4 pixels wide.

    A face is a cell that is a peak among its eight neighbours. Its height and width are ``4
    exp(scale)`` pixels, its centre lies ``offset`` cells from the middle of the cell, and its
    landmarks are parts of the box. Each pair of numbers is y before x.

    Args:
        maps: The heatmap ``(B, 1, h, w)`` in [0, 1], ``scale`` and ``offset`` ``(B, 2, h, w)``, and
            the landmarks ``(B, 10, h, w)``.
        threshold: The least height of a peak.

    Returns:
        The number of the picture of each face ``(N,)``, boxes ``(N, 4)`` in pixels, scores
        ``(N,)`` and landmarks ``(N, 5, 2)`` with x before y.
    """
    heatmap, scale, offset, landmarks = maps
    heights = heatmap[:, 0]
    picture, row, column = np.nonzero((heights >= threshold) & (heights >= _around(heights)))
    scores = heights[picture, row, column]
    cells = np.stack([row, column], axis=1).astype(np.float32)
    sides = CELL * np.exp(scale[picture, :, row, column])
    centres = CELL * (cells + 0.5 + offset[picture, :, row, column])
    low = centres - sides / 2
    points = landmarks[picture, :, row, column].reshape(-1, 5, 2)
    points = points * sides[:, None] + low[:, None]
    boxes = np.concatenate([low[:, ::-1], (low + sides)[:, ::-1]], axis=1)
    return picture, boxes.astype(np.float32), scores, points[:, :, ::-1].astype(np.float32)


def _around(heights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest of the 3 x 3 cells around each cell of ``(B, h, w)``."""
    wide = np.pad(heights, ((0, 0), (0, 0), (1, 1)), constant_values=-1)
    wide = np.maximum(np.maximum(wide[:, :, :-2], wide[:, :, 1:-1]), wide[:, :, 2:])
    tall = np.pad(wide, ((0, 0), (1, 1), (0, 0)), constant_values=-1)
    return np.maximum(np.maximum(tall[:, :-2], tall[:, 1:-1]), tall[:, 2:])


def _to_picture(faces: Detections, fit: Fitted, picture: Picture) -> Detections:
    """Scale to pixels of the picture; boxes are cut to it, and those wholly outside left out."""
    height, width = picture.shape[:2]
    ratio = np.array(fit.ratio, np.float32)
    boxes = faces.boxes * np.tile(ratio, 2)
    boxes = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
    inside = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(axis=1)
    landmarks = faces.landmarks * ratio
    return Detections(boxes[inside], faces.scores[inside], landmarks[inside])
