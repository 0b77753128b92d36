from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridface.inference.crops import Crop, cut_square, measure_crop
from hybridface.inference.detection.centerface import CenterFace

RAMP = np.arange(40 * 30 * 3).reshape(40, 30, 3).astype(np.uint8)


@given(st.integers(-60, 60), st.integers(-60, 60), st.integers(1, 50))
def test_outside_the_picture_its_nearest_pixels_are_repeated(
    left: int, top: int, side: int
) -> None:
    found = cut_square(RAMP, (left, top, left + side, top + side))
    assert found.shape == (side, side, 3)
    for row, column in ((0, 0), (side - 1, 0), (side // 2, side - 1)):
        nearest = RAMP[np.clip(top + row, 0, 39), np.clip(left + column, 0, 29)]
        np.testing.assert_array_equal(found[row, column], nearest)


def test_the_square_has_the_mean_side_and_the_shift() -> None:
    boxes = np.array([[10, 20, 30, 60]], np.float32)  # 20 x 40, centre 20, 40
    assert Crop(1.0).squares(boxes).tolist() == [[5, 25, 35, 55]]
    assert Crop(2.0, (0.1, -0.5)).squares(boxes).tolist() == [[-4, -20, 56, 40]]


def test_no_box_gives_no_face() -> None:
    assert Crop().cut(RAMP, np.zeros((0, 4), np.float32), 8).shape == (0, 8, 8, 3)


def test_a_thin_box_is_still_a_face() -> None:
    box = np.array([[5, 5, 5.2, 5.4]], np.float32)
    assert Crop().cut(RAMP, box, 8).shape == (1, 8, 8, 3)


def test_metadata_goes_there_and_back() -> None:
    crop = Crop(1.25, (0.0, 0.0625))
    assert Crop.from_metadata(crop.to_metadata()) == crop
    assert Crop.from_metadata(None) == Crop()
    assert Crop.from_metadata({"scale": 2}) == Crop(2.0)


@pytest.mark.parametrize(
    "entry",
    [1.1, [], {}, {"scale": 0}, {"scale": "big"}, {"scale": float("nan")}, {"scale": 11},
     {"scale": 1, "shift": [0]}, {"scale": 1, "shift": [0, 1.5]}, {"scale": 1, "shift": None}],
)  # fmt: skip
def test_what_is_no_crop_is_refused(entry: object) -> None:
    with pytest.raises(ValueError, match=r"'crop' is .*expected"):
        Crop.from_metadata(entry)


@cache
def detector() -> CenterFace:
    return CenterFace(threads=1)


def test_the_crop_of_cut_faces_is_found_again() -> None:
    astronaut = pytest.importorskip("skimage.data").astronaut()
    boxes = detector().detect([astronaut])[0].boxes
    for crop in (Crop(1.0), Crop(1.5, (0.0, -0.1))):
        face = cut_square(astronaut, crop.squares(boxes)[0])
        found = measure_crop([face] * 20, detector())
        assert found is not None
        assert found.scale == pytest.approx(crop.scale, abs=0.12)
        np.testing.assert_allclose(found.shift, crop.shift, atol=0.06)


def test_too_few_faces_measure_nothing() -> None:
    assert measure_crop([RAMP] * 30, detector()) is None
