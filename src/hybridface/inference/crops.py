"""Which part of a photo a model is shown, given the box that a detector found.

A model expects faces cut as its training pictures were: RAF-DB's reach from the forehead to the
chin, UTKFace's farther. A model's metadata says so as ``"crop": {"scale": …, "shift": [x, y]}``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.images import resize
from hybridface.inference.detection.base import Detector, Picture

MOST_SCALE = 10.0
MARGINS = (0.0, 0.5)
LEAST_FACES = 20


@dataclass(frozen=True)
class Crop:
    """A square around a detected face.

    The default lies between data sets: CenterFace's boxes in their pictures give a scale of 1.00
    for RAF-DB, 1.05 to 1.11 for UTKFace and 1.18 to 1.22 for FER2013.

    Attributes:
        scale: Side of the square over the mean of the box's width and height.
        shift: How far the square's centre lies right of and below the box's, in sides.
    """

    scale: float = 1.1
    shift: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def from_metadata(cls, entry: Any) -> Crop:
        """Read a model's entry; the default where there is none.

        Raises:
            ValueError: The entry is of another form; says which was expected.
        """
        if entry is None:
            return cls()
        try:
            scale, (right, down) = float(entry["scale"]), map(float, entry.get("shift", (0, 0)))
        except (TypeError, KeyError, ValueError, AttributeError):
            scale = right = down = np.nan
        if not (0 < scale <= MOST_SCALE and abs(right) <= 1 and abs(down) <= 1):
            raise ValueError(
                f"'crop' is {entry!r}, expected {{'scale': 1.1, 'shift': [0, 0]}}: a scale up to "
                f"{MOST_SCALE:g} and two shifts from -1 to 1"
            )
        return cls(scale, (right, down))

    def to_metadata(self) -> Mapping[str, Any]:
        """Return the entry for a model's metadata."""
        return {"scale": round(self.scale, 4), "shift": [round(each, 4) for each in self.shift]}

    def squares(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the squares ``(N, 4)`` around boxes ``(N, 4)``; they may leave the picture."""
        sides = self.scale * (boxes[:, 2:] - boxes[:, :2]).mean(axis=1, keepdims=True)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2 + sides * np.array(self.shift, np.float32)
        return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)

    def cut(self, picture: Picture, boxes: NDArray[np.float32], size: int) -> Picture:
        """Cut out the squares around boxes.

        Args:
            picture: RGB uint8 ``(H, W, 3)``.
            boxes: ``(N, 4)`` left, top, right, bottom.
            size: Side of what is returned, in pixels.

        Returns:
            ``(N, size, size, 3)`` uint8; outside the picture its nearest pixels are repeated.
        """
        faces = [resize(cut_square(picture, square), size) for square in self.squares(boxes)]
        return np.stack(faces) if faces else np.zeros((0, size, size, 3), np.uint8)


def cut_square(picture: Picture, square: Sequence[float] | NDArray[np.float32]) -> Picture:
    """Return a square of a picture, edges rounded to pixels; its nearest pixels outside it."""
    left, top, right, bottom = (round(float(edge)) for edge in square)
    rows = np.clip(np.arange(top, max(bottom, top + 1)), 0, picture.shape[0] - 1)
    columns = np.clip(np.arange(left, max(right, left + 1)), 0, picture.shape[1] - 1)
    return picture[rows[:, None], columns]


def measure_crop(faces: Sequence[Picture], detector: Detector) -> Crop | None:
    """Find how faces were cut: the crop that would cut a photo as they are.

    Each is shown to the detector as it is and with its edges repeated around it, as a box that
    leaves the picture is cut to it. Medians over all that were found.

    Args:
        faces: Face crops, each uint8 ``(H, W, 3)``.
        detector: Whose boxes the crop is to be taken from.

    Returns:
        The crop, or None where fewer than 20 faces were found.
    """
    found = []
    for margin in MARGINS:
        for face in faces:
            height, width = face.shape[:2]
            wide, tall = round(margin * width), round(margin * height)
            around = np.pad(face, ((tall, tall), (wide, wide), (0, 0)), mode="edge")
            boxes = detector.detect([around])[0].boxes[:1] - np.array([wide, tall, wide, tall])
            if len(boxes):
                side = (width + height) / 2
                middle = (boxes[0, :2] + boxes[0, 2:]) / 2
                shift = (np.array([width, height]) / 2 - middle) / side
                found.append([side / (boxes[0, 2:] - boxes[0, :2]).mean(), *shift])
    if len(found) < LEAST_FACES:
        return None
    scale, right, down = np.median(np.array(found), axis=0).clip(-1, MOST_SCALE)
    return Crop(float(scale), (float(right), float(down)))
