"""Pictures of any size as a detector takes them: reduced, and padded to whole strides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hybridface.inference.detection.base import Picture


@dataclass(frozen=True)
class Fitted:
    """How one picture lies in what the detector sees.

    Attributes:
        width: Width in pixels that the picture is reduced to.
        height: Height that it is reduced to.
        padded: Height and width with the padding, right and below.
        ratio: Width and height of the picture over those that it is reduced to.
    """

    width: int
    height: int
    padded: tuple[int, int]
    ratio: tuple[float, float]

    @classmethod
    def of(cls, picture: Picture, longest: int, stride: int) -> Fitted:
        """Fit a picture: at most ``longest`` pixels along a side, never enlarged."""
        height, width = picture.shape[:2]
        factor = min(1.0, longest / max(height, width))
        narrow, low = max(1, round(width * factor)), max(1, round(height * factor))
        padded = (-(-low // stride) * stride, -(-narrow // stride) * stride)
        return cls(narrow, low, padded, (width / narrow, height / low))

    def paste(self, picture: Picture, place: NDArray[np.float32]) -> None:
        """Write the reduced picture into ``(3, H, W)``, in [0, 255]; the rest stays."""
        if picture.shape[:2] != (self.height, self.width):
            size = (self.width, self.height)
            image = Image.fromarray(picture)
            # Reducing by whole factors first costs a large picture no visible quality.
            reduced = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
            picture = np.asarray(reduced)
        place[:, : self.height, : self.width] = picture.transpose(2, 0, 1)


def batches(fits: Sequence[Fitted], most_pixels: int) -> Iterator[list[int]]:
    """Put pictures that are padded to one size together.

    Args:
        fits: How each picture lies.
        most_pixels: Pixels of a batch; a picture of more is a batch by itself.

    Returns:
        Indices of the pictures of each batch; every picture stands in one.
    """
    alike: dict[tuple[int, int], list[int]] = {}
    for index, fit in enumerate(fits):
        alike.setdefault(fit.padded, []).append(index)
    for (height, width), indices in alike.items():
        count = max(1, most_pixels // (height * width))
        for start in range(0, len(indices), count):
            yield indices[start : start + count]
