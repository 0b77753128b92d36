from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from hybridface.inference.detection.base import Detections, overlaps
from hybridface.inference.detection.centerface import CenterFace, decode

data = pytest.importorskip("skimage.data")
FACE = np.array([[182, 58, 270, 178]], np.float32)  # of the astronaut


@cache
def detector() -> CenterFace:
    return CenterFace(threads=1)


def find(picture: np.ndarray, **options: Any) -> Detections:
    chosen = CenterFace(threads=1, **options) if options else detector()
    return chosen.detect([picture])[0]


def same_faces(one: Detections, other: Detections, within: float = 1e-2) -> None:
    np.testing.assert_allclose(one.boxes, other.boxes, atol=within)
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-3)
    np.testing.assert_allclose(one.landmarks, other.landmarks, atol=within)


def slowly_decoded(maps: Any, threshold: float) -> list[tuple[int, list[float], float]]:
    """Read the maps cell by cell, as the paper says."""
    heat, scale, offset, _ = maps
    found = []
    for picture, row, column in np.ndindex(heat[:, 0].shape):
        around = heat[picture, 0, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        score = heat[picture, 0, row, column]
        if score < threshold or score < around.max():
            continue
        tall, wide = 4 * np.exp(scale[picture, :, row, column])
        y = 4 * (row + 0.5 + offset[picture, 0, row, column])
        x = 4 * (column + 0.5 + offset[picture, 1, row, column])
        box = [x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2]
        found.append((picture, box, float(score)))
    return found


def test_decoding_is_that_of_the_paper() -> None:
    draw = np.random.default_rng(0)
    maps = [
        draw.random((3, channels, 9, 7)).astype(np.float32) + low
        for channels, low in ((1, 0), (2, 1), (2, -0.5), (10, 0))
    ]
    picture, boxes, scores, landmarks = decode(tuple(maps), 0.6)  # type: ignore[arg-type]
    wanted = slowly_decoded(maps, 0.6)
    assert len(wanted) > 5
    assert picture.tolist() == [each[0] for each in wanted]
    np.testing.assert_allclose(boxes, [each[1] for each in wanted], atol=1e-3)
    np.testing.assert_allclose(scores, [each[2] for each in wanted])
    inside = (landmarks >= boxes[:, None, :2] - 1e-3) & (landmarks <= boxes[:, None, 2:] + 1e-3)
    assert inside.all()  # parts of the box, as all landmark numbers here lie in [0, 1]


def test_the_astronaut_has_one_face_with_its_landmarks_in_place() -> None:
    faces = find(data.astronaut())
    assert overlaps(faces.boxes, FACE).tolist() == [[pytest.approx(1, abs=0.1)]]
    assert faces.scores[0] > 0.9
    eye, other, nose, corner, opposite = faces.landmarks[0]
    assert eye[0] < nose[0] < other[0] and corner[0] < nose[0] < opposite[0]
    assert eye[1] < nose[1] < corner[1] and other[1] < nose[1] < opposite[1]


def test_pictures_without_faces_are_empty() -> None:
    pictures = [data.coffee(), data.rocket(), np.zeros((1, 1, 3), np.uint8)]
    assert [len(each) for each in detector().detect(pictures)] == [0, 0, 0]
    assert detector().detect([]) == []


def test_a_batch_changes_nothing() -> None:
    astronaut = data.astronaut()
    pictures = [astronaut, data.coffee(), astronaut[:, 60:], astronaut[:400, :500], astronaut]
    together = detector().detect(pictures)
    assert [len(each) for each in together] == [1, 0, 1, 1, 1]
    for picture, faces in zip(pictures, together, strict=True):
        same_faces(find(picture), faces)


def test_a_flip_mirrors_what_is_found() -> None:
    astronaut = data.astronaut()
    plain, flipped = find(astronaut), find(np.ascontiguousarray(astronaut[:, ::-1]))
    width = astronaut.shape[1]
    mirrored = width - flipped.boxes[:, [2, 1, 0, 3]]
    mirrored[:, [1, 3]] = flipped.boxes[:, [1, 3]]
    assert overlaps(plain.boxes, mirrored)[0, 0] > 0.9
    assert abs(width - flipped.landmarks[0, 0, 0] - plain.landmarks[0, 1, 0]) < 5


def test_boxes_are_in_pixels_of_a_large_picture() -> None:
    large = data.astronaut().repeat(4, axis=0).repeat(3, axis=1)
    faces = find(large)
    assert overlaps(faces.boxes, FACE * (3, 4, 3, 4))[0, 0] > 0.8
    same = find(large, longest=2048)
    assert overlaps(faces.boxes, same.boxes)[0, 0] > 0.8


@pytest.mark.parametrize("side", [24, 32, 40])
def test_small_faces_among_others_are_found(side: int) -> None:
    from PIL import Image

    factor = side / (FACE[0, 3] - FACE[0, 1])
    small = Image.fromarray(data.astronaut()[:240, 100:360])
    face = np.asarray(small.resize((round(260 * factor), round(240 * factor))))
    scene = np.full((300, 400, 3), 128, np.uint8)
    places = [(20, 30), (150, 250), (200, 60)]
    for top, left in places:
        scene[top : top + face.shape[0], left : left + face.shape[1]] = face
    faces = find(scene)
    wanted = np.concatenate(
        [(FACE - (100, 0, 100, 0)) * factor + (left, top, left, top) for top, left in places]
    ).astype(np.float32)
    assert (overlaps(wanted, faces.boxes).max(axis=1) > 0.5).all()
    assert len(faces) == 3


def test_boxes_stay_inside_the_picture() -> None:
    half = np.ascontiguousarray(data.astronaut()[:160, 215:])
    faces = find(half, threshold=0.1)
    assert len(faces)
    assert (faces.boxes >= 0).all()
    assert (faces.boxes <= (*half.shape[1::-1], *half.shape[1::-1])).all()
