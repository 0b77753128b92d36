from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hybridface.inference.detection.letterbox import Fitted, batches

sides = st.integers(1, 700)


@given(sides, sides, st.integers(32, 400))
def test_pictures_are_reduced_never_enlarged(height: int, width: int, longest: int) -> None:
    fit = Fitted.of(np.zeros((height, width, 3), np.uint8), longest, 32)
    assert max(fit.width, fit.height) <= longest
    assert fit.width <= width and fit.height <= height
    if max(height, width) <= longest:
        assert (fit.width, fit.height) == (width, height)
    for padded, side in zip(fit.padded, (fit.height, fit.width), strict=True):
        assert padded % 32 == 0 and side <= padded < side + 32
    assert fit.ratio == (width / fit.width, height / fit.height)


def test_the_picture_lies_in_the_corner_and_the_rest_stays() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    fit = Fitted.of(picture, 64, 32)
    place = np.full((3, *fit.padded), -1, np.float32)
    fit.paste(picture, place)
    np.testing.assert_array_equal(place[:, :40, :50], picture.transpose(2, 0, 1))
    assert (place[:, 40:] == -1).all() and (place[:, :, 50:] == -1).all()


def test_a_reduced_picture_keeps_its_colours() -> None:
    picture = np.zeros((300, 200, 3), np.uint8)
    picture[:150] = (10, 120, 250)
    fit = Fitted.of(picture, 60, 32)
    place = np.zeros((3, *fit.padded), np.float32)
    fit.paste(picture, place)
    np.testing.assert_allclose(place[:, :25, :40].mean((1, 2)), (10, 120, 250), atol=1)
    np.testing.assert_allclose(place[:, 35:60, :40], 0, atol=1)


@given(st.lists(st.tuples(sides, sides), max_size=30), st.integers(1, 400_000))
def test_every_picture_stands_in_one_batch(sizes: list[tuple[int, int]], most: int) -> None:
    fits = [Fitted.of(np.zeros((*size, 3), np.uint8), 400, 32) for size in sizes]
    made = list(batches(fits, most))
    assert sorted(index for batch in made for index in batch) == list(range(len(fits)))
    for batch in made:
        (padded,) = {fits[index].padded for index in batch}
        assert len(batch) == 1 or len(batch) * padded[0] * padded[1] <= most
