"""One look at every picture of a data set at full size, of which little is kept."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hybridface.data.cache import CHUNK, Progress, locate_cache
from hybridface.data.kept import keep, recall
from hybridface.data.source import Pixels, Problem, Rows, Source, pixel_digest
from hybridface.errors import HybridFaceError
from hybridface.files import cache_folder

FORMAT = 1
SIDE = 32


@dataclass(frozen=True)
class Looks:
    """What is kept of the N pictures of a data set: about 1 kB of each.

    Attributes:
        decoded: ``(N,)`` bool, whether a picture could be decoded; the rest is zero where not.
        digests: ``(N,)`` 16 bytes each, equal where the pictures at full size are equal.
        sizes: ``(N, 2)`` int32, width and height in pixels, after the cut to a box where there
            is one.
        brightness: ``(N,)`` float32, mean of the grey picture, 0 to 255.
        contrast: ``(N,)`` float32, standard deviation of the grey picture, 0 to 127.5.
        small: ``(N, SIDE, SIDE)`` uint8, the grey picture made small.
        problems: Pictures that could not be decoded.
    """

    decoded: NDArray[np.bool_]
    digests: NDArray[np.bytes_]
    sizes: NDArray[np.int32]
    brightness: NDArray[np.float32]
    contrast: NDArray[np.float32]
    small: NDArray[np.uint8]
    problems: list[Problem]

    def __len__(self) -> int:
        return len(self.decoded)


_ARRAYS = tuple(each.name for each in fields(Looks) if each.name != "problems")


class Look(NamedTuple):
    """What is kept of one picture; see :class:`Looks`."""

    digest: bytes
    width: int
    height: int
    brightness: float
    contrast: float
    small: Pixels


def look_at(pixels: Pixels) -> Look:
    """Look at one picture, ``(H, W, 3)`` RGB uint8."""
    grey = Image.fromarray(pixels).convert("L")
    levels = np.asarray(grey)
    small = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    height, width = levels.shape
    return Look(
        pixel_digest(pixels), width, height, float(levels.mean()), float(levels.std()), small
    )


def looks_file(source: Source, rows: Rows) -> Path:
    """Return where the looks at a data set are kept, by the content of its files."""
    return cache_folder() / "looks" / f"{locate_cache(source, rows, SIDE)[0].name}.npz"


def open_looks(source: Source, rows: Rows, progress: Progress | None = None) -> Looks:
    """Look at all pictures of a data set, unless that was done before.

    What was seen is kept in the cache folder by the content of the files, about 1 kB a picture.

    Args:
        source: The data set.
        rows: What ``source.read()`` gave.
        progress: Called with (done, total) while pictures are decoded.
    """
    kept = looks_file(source, rows)
    looks = _recall(kept, len(rows))
    if looks is None:
        looks = _look_through(source, rows, progress)
        with suppress(HybridFaceError):  # on a full disk it is looked through again next time
            _keep(kept, looks)
    return looks


def _look_through(source: Source, rows: Rows, progress: Progress | None) -> Looks:
    count = len(rows)
    looks = Looks(
        decoded=np.zeros(count, dtype=bool),
        digests=np.zeros(count, dtype="V16"),
        sizes=np.zeros((count, 2), dtype=np.int32),
        brightness=np.zeros(count, dtype=np.float32),
        contrast=np.zeros(count, dtype=np.float32),
        small=np.zeros((count, SIDE, SIDE), dtype=np.uint8),
        problems=[],
    )
    for start in range(0, count, CHUNK):
        index = range(start, min(start + CHUNK, count))
        _note(looks, index, source.decode_each(rows, index, look_at))
        if progress is not None:
            progress(index.stop, count)
    return looks


def _note(looks: Looks, index: range, found: Sequence[Look | Problem]) -> None:
    """Write what was seen of some rows into the arrays."""
    looks.problems.extend(each for each in found if isinstance(each, Problem))
    seen = [(row, each) for row, each in zip(index, found, strict=True) if isinstance(each, Look)]
    if not seen:
        return
    rows = [row for row, _ in seen]
    digests, widths, heights, brightness, contrast, small = zip(*(e for _, e in seen), strict=True)
    looks.decoded[rows] = True
    looks.digests[rows] = np.array(digests, dtype="V16")
    looks.sizes[rows] = np.stack([widths, heights], axis=1)
    looks.brightness[rows] = brightness
    looks.contrast[rows] = contrast
    looks.small[rows] = np.stack(small)


def _keep(file: Path, looks: Looks) -> None:
    keep(file, FORMAT, {name: getattr(looks, name) for name in _ARRAYS}, looks.problems)


def _recall(file: Path, count: int) -> Looks | None:
    """Read what was kept; None where it is not there, damaged or not the one expected."""
    kept = recall(file, FORMAT, *_ARRAYS)
    if kept is None or any(each.shape[:1] != (count,) for each in kept.arrays.values()):
        return None
    looks = Looks(**kept.arrays, problems=kept.problems)
    right = looks.small.shape[1:] == (SIDE, SIDE) and looks.sizes.shape[1:] == (2,)
    return looks if right else None
