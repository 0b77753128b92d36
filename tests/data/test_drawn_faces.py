import dataclasses
import hashlib

import numpy as np
import pytest

from hybridface.data.drawn_faces import (
    ACTION_UNITS,
    EXPRESSIONS,
    MAX_POSE,
    draw_faces,
    face_labels,
    nose_tip,
)
from hybridface.data.drawn_faces.exact import cos_turns, noise, sin_turns, uniforms
from hybridface.data.drawn_faces.mesh import rest_mesh
from hybridface.data.drawn_faces.pose import rotation
from hybridface.data.drawn_faces.raster import visible_triangles
from hybridface.data.drawn_faces.render import render

CHECKSUMS = {
    (0, 48): "7980cd318bd5c289843000aed76075071086ad4d1740a7590c0f08749ace0a89",
    (0, 64): "30bab9fbf1e8be2080ea6f3179517f4aa8e87506c2c83bea7868154909ce876c",
    (12345, 48): "a2ade645b342d36e435f3a1dca088c7de5e864ccd4c4d8a666733695ca34ecab",
    (12345, 64): "e31d4e05a6b53336c7f671cde50a1a513431f88246d3283d7db924a15d8bbe0f",
}


@pytest.mark.parametrize(("seed", "size"), list(CHECKSUMS))
def test_pixels_are_the_same_on_every_machine(seed, size):
    images = draw_faces(seed, 24, size).images
    assert hashlib.sha256(images.tobytes()).hexdigest() == CHECKSUMS[seed, size]


def test_shapes_types_and_ranges():
    faces = draw_faces(3, 5, 32)
    assert faces.images.shape == (5, 32, 32, 3)
    assert faces.images.dtype == np.uint8
    assert faces.action_units.shape == (5, len(ACTION_UNITS))
    assert len(faces) == 5
    assert faces.images.std(axis=(1, 2, 3)).min() > 5


def test_a_face_depends_on_seed_and_number_only():
    whole = draw_faces(7, 20, 48, threads=1)
    tail = draw_faces(7, 9, 48, start=11, threads=3)
    np.testing.assert_array_equal(whole.images[11:], tail.images)
    np.testing.assert_array_equal(whole.pose[11:], tail.pose)
    for number in (0, 13):
        alone = draw_faces(7, 1, 48, start=number)
        np.testing.assert_array_equal(whole.images[number], alone.images[0])


def test_chunks_do_not_matter():
    faces = face_labels(4, 0, 6)
    np.testing.assert_array_equal(render(faces, 24), draw_faces(4, 6, 24).images)


def test_labels_are_those_of_face_labels():
    drawn, labels = draw_faces(2, 6, 16, start=9), face_labels(2, 9, 6)
    for name in ("expression", "pose", "action_units", "identity"):
        np.testing.assert_array_equal(getattr(drawn, name), getattr(labels, name))


def test_sizes_show_the_same_face():
    small, large = draw_faces(5, 6, 32).images / 255, draw_faces(5, 6, 64).images / 255
    halved = large.reshape(6, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    own = np.abs(small - halved).mean(axis=(1, 2, 3))
    other = np.abs(small - np.roll(halved, 1, axis=0)).mean(axis=(1, 2, 3))
    assert (own < 0.4 * other).all()


def test_seeds_differ():
    assert (draw_faces(0, 2, 16).images != draw_faces(1, 2, 16).images).mean() > 0.5


def test_expressions_are_balanced_and_intensities_vary():
    labels = face_labels(0, 0, 7 * 50)
    assert np.bincount(labels.expression).tolist() == [50] * len(EXPRESSIONS)
    assert len(np.unique(labels.expression[:21].reshape(3, 7), axis=0)) > 1
    assert labels.intensity.std() > 0.1
    assert labels.action_units.min() >= 0
    assert labels.action_units.max() <= 1


def test_action_units_tell_expressions_apart():
    labels = face_labels(0, 0, 700)
    pull = labels.action_units[:, ACTION_UNITS.index("lip_corner_pull")]
    frown = labels.action_units[:, ACTION_UNITS.index("brow_lower")]
    means = [
        [unit[labels.expression == k].mean() for k in range(len(EXPRESSIONS))]
        for unit in (pull, frown)
    ]
    assert int(np.argmax(means[0])) == EXPRESSIONS.index("happy")
    assert int(np.argmax(means[1])) == EXPRESSIONS.index("angry")


def test_poses_fill_their_ranges():
    pose = face_labels(0, 0, 4000).pose
    assert (np.abs(pose).max(axis=0) <= MAX_POSE).all()
    assert (np.abs(pose).max(axis=0) > 0.8 * np.array(MAX_POSE)).all()
    assert (np.abs(pose.mean(axis=0)) < 1).all()


def test_four_faces_show_one_person():
    labels = face_labels(6, 2, 10)
    assert labels.identity.tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert (labels.person[2:6] == labels.person[2]).all()
    assert (labels.person[5] != labels.person[6]).all()
    assert (labels.scene[2] != labels.scene[3]).all()


def posed(yaw=0.0, pitch=0.0, roll=0.0):
    faces = face_labels(0, 0, 1)
    plain = dataclasses.replace(faces, pose=np.array([[yaw, pitch, roll]]))
    return dataclasses.replace(plain, scene=np.full_like(faces.scene, 0.5))


def test_the_nose_points_where_the_signs_say():
    (x, y), (right, _), (_, up) = (
        nose_tip(posed(*pose))[0] for pose in ((0, 0, 0), (30, 0, 0), (0, 20, 0))
    )
    assert x == pytest.approx(0.5, abs=1e-3)
    assert right > x + 0.1
    assert up < y - 0.05
    # The nose is below the middle of the turn, so a clockwise tilt moves it to the left.
    assert nose_tip(posed(roll=20))[0, 0] < x - 0.01


def test_a_mirrored_head_has_opposite_yaw_and_roll():
    here = nose_tip(posed(25, 10, 12))[0]
    there = nose_tip(posed(-25, 10, -12))[0]
    assert here[0] + there[0] == pytest.approx(1.0, abs=1e-4)
    assert here[1] == pytest.approx(there[1], abs=1e-4)


def test_rotations_are_orthonormal():
    matrix = np.array([[v[0, 0] for v in row] for row in rotation(np.array([[31.0, -17.0, 9.0]]))])
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(matrix) == pytest.approx(1.0, abs=1e-5)


def test_the_nearer_triangle_hides_the_farther():
    x = np.array([[1, 1, 7, 0, 0, 8]], np.float32)
    y = np.array([[1, 7, 7, 0, 8, 8]], np.float32)
    depth = np.array([[1, 1, 1, 0, 0, 0]], np.float32)
    seen = visible_triangles((x, y, depth), np.array([[3, 4, 5], [0, 1, 2]]), 8).reshape(8, 8)
    assert seen[5, 3] == 1
    assert seen[7, 0] == 0
    assert seen[1, 6] == -1
    back = visible_triangles((x, y, depth), np.array([[3, 5, 4]]), 8)
    assert (back == -1).all()


def test_the_mesh_is_symmetric_and_sound():
    mesh = rest_mesh()
    assert mesh.triangles.max() == mesh.position.shape[1] - 1
    part = mesh.part("head")
    head = mesh.position[:, part.slice].reshape(3, part.rows, part.columns)
    np.testing.assert_allclose(head[0], -head[0, :, ::-1], atol=1e-6)
    np.testing.assert_allclose(head[1:], head[1:, :, ::-1], atol=1e-6)


def test_exact_arithmetic_is_close_to_the_truth():
    turns = np.linspace(-2, 2, 999)
    np.testing.assert_allclose(sin_turns(turns), np.sin(2 * np.pi * turns), atol=1e-9)
    np.testing.assert_allclose(cos_turns(turns), np.cos(2 * np.pi * turns), atol=1e-9)
    key = np.arange(500, dtype=np.uint64)
    numbers, grain = uniforms(key, 100), noise(key, 100)
    assert 0 <= numbers.min() < 1e-3
    assert numbers.mean() == pytest.approx(0.5, abs=0.01)
    assert grain.mean() == pytest.approx(0, abs=0.01)
    assert grain.std() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    "bad",
    [
        {"count": -1},
        {"size": 15},
        {"start": -1},
        {"seed": -1},
        {"seed": 2**64},
        {"threads": 0},
    ],
)
def test_bad_arguments_are_refused(bad):
    with pytest.raises(ValueError, match=r"must"):
        draw_faces(**{"seed": 0, "count": 1, **bad})


def test_no_faces():
    assert draw_faces(0, 0).images.shape == (0, 48, 48, 3)
