"""The real pictures that a file is calibrated on and compared by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybridface import images
from hybridface.config import load_recipe
from hybridface.data.cache import Progress
from hybridface.data.prepare import PreparedData, prepare_data
from hybridface.data.source import Problem
from hybridface.data.sources import open_source
from hybridface.errors import DataError, UsageError
from hybridface.tasks import build_tasks, label_columns
from hybridface.training.runs import RunFolder

LEAST_PICTURES = 8
BATCH = 64
Pixels = NDArray[np.uint8]


def pictures_of_run(run: Path, count: int, progress: Progress | None = None) -> Pixels:
    """Return face crops of a run's validation split, spread evenly over it.

    Args:
        run: The run folder.
        count: At most how many.
        progress: Called with (done, total) while pictures are decoded.

    Returns:
        ``(N, size, size, 3)`` uint8.

    Raises:
        UsageError: The data cannot be opened, or ``count`` is too small.
        DataError: Fewer than 8 pictures are left.
    """
    _check_count(count)
    recipe = load_recipe(RunFolder(run).recipe)
    columns = label_columns(build_tasks(recipe.tasks))
    prepared = prepare_data(recipe.data, columns, recipe.seed, progress)
    pixels = pictures_of_split(prepared, "val", count)
    return _enough(pixels, f"the validation split of {run}")


def pictures_of_split(data: PreparedData, split: str, count: int) -> Pixels:
    """Return at most ``count`` pictures ``(N, size, size, 3)`` of a split, spread over it."""
    rows = data.splits[split]
    return np.asarray(data.images[rows[spread(len(rows), count)]])


def pictures_of_data(specs: Sequence[str], size: int, count: int) -> Pixels:
    """Return face crops of data sets, of each the same number, spread evenly over it.

    Args:
        specs: ``KIND:PATH`` of each.
        size: Side of the crops in pixels.
        count: At most how many in all.

    Returns:
        ``(N, size, size, 3)`` uint8.

    Raises:
        UsageError: A data set cannot be opened as asked, or ``count`` is too small.
        DataError: Fewer than 8 pictures are left.
    """
    _check_count(count)
    if count < len(specs):
        raise UsageError(
            f"pictures: {count} are fewer than the {len(specs)} data sets that they are to come "
            "from; ask for more, or name fewer"
        )
    pixels = [np.zeros((0, size, size, 3), np.uint8)]
    for source in [open_source(spec) for spec in specs]:
        read = source.read()
        index = spread(len(read), count // len(specs)).tolist()
        made = source.decode_each(read, index, lambda picture: images.resize(picture, size))
        pixels += [each[None] for each in made if not isinstance(each, Problem)]
    return _enough(np.concatenate(pixels), ", ".join(specs))


def spread(rows: int, count: int) -> NDArray[np.int64]:
    """Return at most ``count`` of the numbers below ``rows``, evenly spread."""
    chosen: NDArray[np.int64] = np.unique(np.linspace(0, max(rows - 1, 0), count).astype(np.int64))
    return chosen[:rows]


def as_input(pixels: Pixels) -> NDArray[np.float32]:
    """Return pixels as a model takes them: ``(N, 3, size, size)`` float32 in [0, 1]."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32) / np.float32(255)


def _check_count(count: int) -> None:
    if count < LEAST_PICTURES:
        raise UsageError(f"pictures: expected {LEAST_PICTURES} or more, got {count}")


def _enough(pixels: Pixels, where: str) -> Pixels:
    if len(pixels) < LEAST_PICTURES:
        raise DataError(
            f"{where}: {len(pixels)} pictures that can be used, at least {LEAST_PICTURES} are "
            "needed to compare the file with its model; name others by --data KIND:PATH"
        )
    return pixels
