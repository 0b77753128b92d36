"""Drawn faces as a data set: nothing on disk, every picture from a seed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hybridface.data.source import (
    Labels,
    Made,
    NumericLabels,
    Pixels,
    Problem,
    Rows,
    Source,
    SourceOptions,
)
from hybridface.errors import UsageError
from hybridface.rotations import ANGLES, to_angles

DEFAULT_COUNT = 2000
MOST = 1_000_000
_SAMPLE = (0, 16, 32)  # seed, faces and side of what stands for the renderer in fingerprints
_AT_ONCE = 2**24  # pixels drawn in one go
_BLOCK = 10_000
_SPLIT_OF_PERSON = np.array(["train"] * 6 + ["val"] + ["test"] * 3)


class DrawnOptions(SourceOptions):
    """Which faces to draw.

    Attributes:
        seed: Decides every face.
        pixels: Side of the pictures.
    """

    seed: int = Field(default=0, ge=0, lt=2**64)
    pixels: int = Field(default=96, ge=16, le=1024)


class Drawn(Source):
    """Faces of :mod:`hybridface.data.drawn_faces`, split by person six to one to three.

    Fewer than 29 faces, which eight persons have, leave a split empty.
    """

    kind = "drawn"
    layout = (
        f"PATH is how many faces to draw, as in drawn:500?seed=1 (by default {DEFAULT_COUNT}); "
        "nothing lies on disk"
    )
    Options = DrawnOptions
    options: DrawnOptions

    def __init__(self, path: str, options: DrawnOptions) -> None:
        super().__init__(path, options)
        text = path.strip() or str(DEFAULT_COUNT)
        if not re.fullmatch("[0-9]{1,7}", text) or not 1 <= int(text) <= MOST:
            raise UsageError(
                f"{self.kind}:{path}: expected how many faces to draw, a whole number from 1 to "
                f"{MOST}, as in {self.kind}:{DEFAULT_COUNT}"
            )
        self.count = int(text)

    def read(self) -> Rows:
        """Work out the labels; see :meth:`hybridface.data.source.Source.read`."""
        from hybridface.data.drawn_faces import EXPRESSIONS, face_labels
        from hybridface.data.drawn_faces.pose import rotation

        seed = self.options.seed
        expression = np.empty(self.count, dtype=np.int64)
        identity = np.empty(self.count, dtype=np.int64)
        pose = np.empty((self.count, 3), dtype=np.float32)
        for start in range(0, self.count, _BLOCK):  # all that is known of a face is 1 kB
            faces = face_labels(seed, start, min(_BLOCK, self.count - start))
            expression[start : start + _BLOCK] = faces.expression
            identity[start : start + _BLOCK] = faces.identity
            # The drawing's angles are of another order (nod, turn, tilt) than a label's.
            rows: NDArray[np.float32] = np.array(rotation(faces.pose))[..., 0]
            pose[start : start + _BLOCK] = to_angles(np.moveaxis(rows, -1, 0))
        return Rows(
            keys=[f"drawn-{seed}-{number:06d}" for number in range(self.count)],
            split=_SPLIT_OF_PERSON[identity % len(_SPLIT_OF_PERSON)],
            labels={"expression": Labels(tuple(EXPRESSIONS), expression)},
            group=identity,
            numeric={"pose": NumericLabels(ANGLES, pose, "degrees")},
        )

    def fingerprint(self, rows: Rows, memory: Path) -> str:
        """Return a digest of what decides the pictures, the renderer's own pixels included."""
        from hybridface.data.drawn_faces import draw_faces

        renderer = hashlib.sha256(draw_faces(*_SAMPLE).images.tobytes()).hexdigest()
        decides = (self.kind, self.count, self.options.seed, self.options.pixels, renderer)
        return hashlib.sha256(repr(decides).encode()).hexdigest()

    def decode_each(
        self, rows: Rows, index: Sequence[int], finish: Callable[[Pixels], Made]
    ) -> list[Made | Problem]:
        """Draw the asked faces, neighbours in one go as far as memory allows."""
        from hybridface.data.drawn_faces import draw_faces

        seed, pixels = self.options.seed, self.options.pixels
        most = max(1, _AT_ONCE // pixels**2)
        wanted = np.asarray(index, dtype=np.int64)
        made: list[Made | Problem] = []
        for run in np.split(wanted, np.flatnonzero(np.diff(wanted) != 1) + 1):
            for first in range(0, len(run), most):
                part = run[first : first + most]
                drawn = draw_faces(seed, len(part), pixels, start=int(part[0]))
                made.extend(finish(picture) for picture in drawn.images)
        return made
