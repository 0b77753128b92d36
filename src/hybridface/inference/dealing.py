"""The self-supervised tasks dealt to a model file, and what it answers, as in training. No torch.

A file that was exported with ``--keep-ssl-heads`` says in its metadata how each of these heads was
dealt its pictures: ``{"kind": "puzzle", "grid": 3}``, ``{"kind": "inpaint", "blank": 0.5, "holes":
2, "hole_side": [0.25, 0.5]}``. Heads of other kinds are left out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.inference.detection.base import Picture
from hybridface.inference.metadata import unfit
from hybridface.inference.runtime import FaceModel

Floats = NDArray[np.float32]
MOST_PSNR = 100.0


@dataclass(frozen=True)
class Answer:
    """What one head was dealt on one face, and what it answered.

    Attributes:
        name: The head.
        kind: ``puzzle`` or ``inpaint``.
        pictures: ``intact``, ``dealt`` and ``answered``, each uint8 ``(size, size, 3)``.
        facts: Of a puzzle ``grid``; ``dealt``, the tile in each slot, and ``answered``, the tile
            that each slot most probably holds, with its ``probabilities``; ``laid``, for each
            place of the picture put back the slot whose tile was laid there; ``right``, how many
            slots were answered rightly. Of in-painting ``holes``, the part of the picture that was
            blank, and ``psnr``, the peak signal-to-noise ratio inside the holes in dB. Slots,
            tiles and places are counted row by row, from 0.
    """

    name: str
    kind: str
    pictures: Mapping[str, Picture] = field(repr=False)
    facts: Mapping[str, Any]


class Dealer(ABC):
    """Deals one self-supervised head of a model its pictures.

    Args:
        model: The model, with the head in it.
        name: The head.
    """

    kind: str

    def __init__(self, model: FaceModel, name: str) -> None:
        self.model, self.name = model, name

    @abstractmethod
    def ask(self, face: Picture, generator: np.random.Generator) -> Answer:
        """Deal one face and run the model on it.

        Args:
            face: uint8 ``(size, size, 3)``, cut as the model expects it.
            generator: Source of every random number.

        Raises:
            HybridFaceError: ONNX Runtime failed.
        """

    def _answer(self, dealt: Floats) -> Floats:
        return self.model.answer(self.name, dealt)


class PuzzleDealer(Dealer):
    """Cuts a face into tiles and shuffles them; the model says which tile sits in each slot."""

    kind = "puzzle"

    def __init__(self, model: FaceModel, name: str, grid: int) -> None:
        super().__init__(model, name)
        self.grid = grid

    def ask(self, face: Picture, generator: np.random.Generator) -> Answer:
        """Deal a uniformly random permutation; see :meth:`Dealer.ask`."""
        order = generator.permutation(self.grid**2)[None]
        dealt = shuffle_tiles(_floats(face), order, self.grid)
        chances = self._answer(dealt)
        answered, laid = chances.argmax(2), chances.argmax(1)
        put_back = shuffle_tiles(dealt, laid, self.grid)
        facts = {
            "grid": self.grid,
            "dealt": order[0].tolist(),
            "answered": answered[0].tolist(),
            "probabilities": [round(float(each), 4) for each in chances.max(2)[0]],
            "laid": laid[0].tolist(),
            "right": int((answered == order).sum()),
        }
        shown = {"intact": face, "dealt": _pixels(dealt), "answered": _pixels(put_back)}
        return Answer(self.name, self.kind, shown, facts)


class InpaintDealer(Dealer):
    """Blanks rectangles of a face; the model fills them in.

    Args:
        model: The model, with the head in it.
        name: The head.
        holes: Rectangles a face.
        side: Smallest and largest side of a rectangle, as a part of the face's.
        blank: What stands in a hole, in [0, 1].
    """

    kind = "inpaint"

    def __init__(
        self, model: FaceModel, name: str, holes: int, side: Sequence[float], blank: float
    ) -> None:
        super().__init__(model, name)
        self.holes, self.side, self.blank = holes, (float(side[0]), float(side[1])), blank

    def ask(self, face: Picture, generator: np.random.Generator) -> Answer:
        """Blank random holes; see :meth:`Dealer.ask`."""
        draw = generator.random((4, 1, self.holes, 1), dtype=np.float32)
        holes = hole_masks(draw, len(face), self.side)
        truth = _floats(face)
        dealt = np.where(holes, np.float32(self.blank), truth)
        filled = np.where(holes, self._answer(dealt), truth)
        inside = np.broadcast_to(holes, truth.shape)
        error = float(np.square(filled - truth)[inside].mean()) if holes.any() else 0.0
        facts = {
            "holes": round(float(holes.mean()), 4),
            "psnr": round(min(-10 * np.log10(max(error, 1e-10)), MOST_PSNR), 2),
        }
        shown = {"intact": face, "dealt": _pixels(dealt), "answered": _pixels(filled)}
        return Answer(self.name, self.kind, shown, facts)


def dealers_of(model: FaceModel) -> list[Dealer]:
    """Return a dealer for each self-supervised head that can be dealt pictures of the model's size.

    Raises:
        HybridFaceError: What the model says of a head is damaged.
    """
    found: list[Dealer] = []
    for name, about in model.self_supervised.items():
        try:
            if about["kind"] == "puzzle":
                grid = int(about["grid"])
                if grid < 1:
                    raise ValueError("grid")
                if model.size % grid == 0:
                    found.append(PuzzleDealer(model, name, grid))
            elif about["kind"] == "inpaint":
                low, high = map(float, about["hole_side"])
                blank = float(about["blank"])
                found.append(InpaintDealer(model, name, int(about["holes"]), (low, high), blank))
        except (KeyError, TypeError, ValueError) as error:
            what = f"self-supervised head '{name}' is {about!r}, which cannot be dealt"
            raise unfit(model.path, what) from error
    return found


def shuffle_tiles(images: Floats, order: NDArray[np.integer[Any]], grid: int) -> Floats:
    """Put tile ``order[b, slot]`` of picture b in each slot, counted row by row.

    Args:
        images: ``(B, C, H, W)``, H and W divisible by ``grid``.
        order: ``(B, grid * grid)``.
        grid: Tiles along each side.

    Returns:
        ``(B, C, H, W)``.
    """
    batch, channels, height, width = images.shape
    tall, wide = height // grid, width // grid
    tiles = images.reshape(batch, channels, grid, tall, grid, wide).transpose(0, 2, 4, 1, 3, 5)
    tiles = tiles.reshape(batch, grid * grid, channels, tall, wide)
    dealt = tiles[np.arange(batch)[:, None], order]
    dealt = dealt.reshape(batch, grid, grid, channels, tall, wide).transpose(0, 3, 1, 4, 2, 5)
    return np.ascontiguousarray(dealt.reshape(batch, channels, height, width))


def hole_masks(draw: Floats, size: int, side: tuple[float, float]) -> NDArray[np.bool_]:
    """Return masks of rectangles that lie whole inside the picture.

    Args:
        draw: ``(4, B, holes, 1)`` in [0, 1): height, width, and how far down and across.
        size: Side of the pictures in pixels.
        side: Smallest and largest side of a rectangle, as a part of ``size``.

    Returns:
        ``(B, 1, size, size)``, True inside a hole.
    """
    low, high = np.float32(side[0]), np.float32(side[1] - side[0])
    sides = low + high * draw[:2]
    starts = draw[2:] * (1 - sides)
    place = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    within = (place >= starts) & (place < starts + sides)
    masks: NDArray[np.bool_] = (within[0][..., :, None] & within[1][..., None, :]).any(axis=1)
    return masks[:, None]


def _floats(face: Picture) -> Floats:
    """Return ``(1, 3, H, W)`` in [0, 1]."""
    return np.ascontiguousarray(face.transpose(2, 0, 1)[None], np.float32) / np.float32(255)


def _pixels(image: Floats) -> Picture:
    """Return uint8 ``(H, W, 3)`` of ``(1, 3, H, W)``."""
    pixels: Picture = (image[0].transpose(1, 2, 0) * 255).round().clip(0, 255).astype(np.uint8)
    return pixels
