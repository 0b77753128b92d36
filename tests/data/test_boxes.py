"""Faces cut out of larger pictures by the boxes that a data set gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridface import images
from hybridface.data.cache import open_cache
from hybridface.data.source import Rows, Source, SourceOptions

NAMES = ("a.png", "b.png", "c.png")


class Boxed(Source):
    """Three pictures, the last one a face already."""

    kind = "boxed"
    layout = "three pictures"
    boxes: NDArray[np.float32]

    def read(self) -> Rows:
        return Rows(NAMES, np.array(["", "", ""]), {}, boxes=self.boxes)


@pytest.fixture
def boxed(tmp_path: Path, picture_bytes: Callable[..., bytes]) -> Boxed:
    for seed, name in enumerate(NAMES):
        (tmp_path / name).write_bytes(picture_bytes(seed, 40, "PNG"))
    source = Boxed(str(tmp_path), SourceOptions())
    source.boxes = np.array([[10, 5, 30, 25], [-10, 20, 10, 40], [np.nan] * 4], np.float32)
    return source


def test_pictures_are_cut_to_their_boxes(boxed: Boxed) -> None:
    whole = [images.read(boxed.root / name) for name in NAMES]
    cut = boxed.decode(boxed.read(), [0, 1, 2])
    assert np.array_equal(cut[0], whole[0][5:25, 10:30])
    assert np.array_equal(cut[1][:, 10:], whole[1][20:, :10])
    assert np.array_equal(cut[2], whole[2])


def test_a_box_off_the_picture_is_a_problem_of_its_row(
    boxed: Boxed, hybridface_cache: Path
) -> None:
    boxed.boxes[1] = [50, 50, 70, 70]
    cached = open_cache(boxed, boxed.read(), 16)
    assert cached.decoded.tolist() == [True, False, True]
    assert [problem.where for problem in cached.problems] == ["b.png"]
    assert "does not fit a picture of 40x40" in cached.problems[0].what


def test_other_boxes_are_another_cache(boxed: Boxed, hybridface_cache: Path) -> None:
    first = open_cache(boxed, boxed.read(), 16)
    boxed.boxes[0] += 1
    second = open_cache(boxed, boxed.read(), 16)
    assert first.fingerprint != second.fingerprint
    assert not np.array_equal(first.images[0], second.images[0])
    assert np.array_equal(first.images[2], second.images[2])
