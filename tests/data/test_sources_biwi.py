from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hybridface.data.sources import open_source
from hybridface.errors import DataError
from hybridface.rotations import ANGLES, to_matrices
from layouts import RGB_CAL, biwi, encode

Write = Callable[[dict[str, bytes]], Path]
FIRST = "hpdb/01/frame_00003"


def pose_text(matrix: np.ndarray, centre: tuple[float, float, float] = (0, 0, 1000)) -> bytes:
    lines = [" ".join(f"{value:.8f}" for value in row) + " " for row in (*matrix.tolist(), centre)]
    return "\n".join([*lines[:3], "", lines[3], ""]).encode()


def test_layout(write_files: Write) -> None:
    root = write_files(biwi())
    source = open_source(f"biwi:{root}")
    rows = source.read()
    assert len(rows) == 12
    assert rows.keys[0] == f"{FIRST}_rgb.png"
    assert rows.problems == rows.notes == []
    assert rows.numeric["pose"].names == ANGLES
    assert np.abs(rows.numeric["pose"].values).max() == 0
    assert rows.group.tolist() == [1] * 4 + [3] * 8  # sequence 15 shows the person of 3
    inner = open_source(f"biwi:{root}/hpdb").read()
    assert [f"hpdb/{key}" for key in inner.keys] == rows.keys
    (root / "kinect_head_pose_db").mkdir()
    (root / "hpdb").rename(root / "kinect_head_pose_db" / "hpdb")
    assert len(open_source(f"biwi:{root}").read()) == 12
    (root / "kinect_head_pose_db" / "hpdb").rename(root / "hpdb")
    assert all(isinstance(pixels, np.ndarray) for pixels in source.decode(rows, range(12)))


def test_frames_as_jpeg(write_files: Write) -> None:
    """As fast.ai's copy has them, without a folder around; a PNG of the same frame goes before."""
    files = {name.removeprefix("hpdb/"): content for name, content in biwi().items()}
    for name in [name for name in files if name.endswith("_rgb.png")]:
        files[name.replace(".png", ".jpg")] = encode(len(files), size=640)
        if not name.startswith("01/frame_00003"):
            del files[name]
    source = open_source(f"biwi:{write_files(files)}")
    rows = source.read()
    assert rows.keys[:2] == ["01/frame_00003_rgb.png", "01/frame_00004_rgb.jpg"]
    assert len(rows) == 12
    assert rows.problems == rows.notes == []
    assert all(isinstance(pixels, np.ndarray) for pixels in source.decode(rows, range(12)))


@pytest.mark.parametrize(
    ("axis", "degrees", "expected"),
    [
        # On axes right, down and far, as a camera has them.
        ((1, 0, 0), 20, (0, -20, 0)),  # the nose, which points near, goes from near to down
        ((0, 1, 0), 20, (-20, 0, 0)),  # from near to the left
        ((0, 0, 1), 20, (0, 0, 20)),  # the top, from up to the right
    ],
)
def test_what_a_matrix_means(
    write_files: Write, axis: tuple[int, int, int], degrees: float, expected: tuple[float, ...]
) -> None:
    matrix = Rotation.from_rotvec(np.array(axis) * degrees, degrees=True).as_matrix()
    nose, top = matrix @ (0, 0, -1), matrix @ (0, -1, 0)
    assert (nose[1] > 0.1, nose[0] < -0.1, top[0] > 0.1) == tuple(np.array(axis) == 1)
    files = biwi() | {f"{FIRST}_pose.txt": pose_text(matrix)}
    rows = open_source(f"biwi:{write_files(files)}").read()
    np.testing.assert_allclose(rows.numeric["pose"].values[0], expected, atol=1e-4)


def test_any_matrix_is_turned_to_the_axes_of_the_package(write_files: Write) -> None:
    """And its angles are those that are usual on this set, with the yaw negated."""
    matrices = Rotation.from_euler("XYZ", [[20, 40, -15], [-50, -60, 30]], degrees=True).as_matrix()
    files = biwi()
    for number, matrix in enumerate(matrices, start=3):
        files[f"hpdb/01/frame_{number:05d}_pose.txt"] = pose_text(matrix)
    pose = open_source(f"biwi:{write_files(files)}").read().numeric["pose"].values[:2]
    flip = np.diag([1, -1, -1])
    np.testing.assert_allclose(to_matrices(pose), flip @ matrices @ flip, atol=1e-6)
    usual = [
        [
            -np.degrees(np.arcsin(m[0, 2])),
            np.degrees(np.arctan2(m[1, 2], m[2, 2])),
            np.degrees(np.arctan2(-m[0, 1], m[0, 0])),
        ]
        for m in matrices
    ]
    np.testing.assert_allclose(pose, usual, atol=1e-4)


def test_the_box_is_around_the_projected_centre(write_files: Write) -> None:
    calibration = RGB_CAL.replace("1 0 0 \n0 1 0 \n0 0 1 \n\n-24.0198 5.8896 -13.2308",
                                  "0 -1 0 \n1 0 0 \n0 0 1 \n\n10 20 -100")  # fmt: skip
    files = biwi() | {
        "hpdb/01/rgb.cal": calibration.encode(),
        f"{FIRST}_pose.txt": pose_text(np.eye(3), (100, 50, 1100)),
        "hpdb/01/frame_00004_pose.txt": pose_text(np.eye(3), (0, 0, -1100)),
    }
    source = open_source(f"biwi:{write_files(files)}?width=200")
    rows = source.read()
    middle = 320 + 517.679 * (-50 + 10) / 1000, 240.5 + 517.679 * (100 + 20) / 1000
    half = 517.679 * 100 / 1000
    expected = [middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half]
    np.testing.assert_allclose(rows.boxes[0], expected, rtol=1e-5)
    pixels, behind = source.decode(rows, [0, 1])
    assert pixels.shape[:2] == pytest.approx((2 * half, 2 * half), abs=1)
    assert "does not fit" in behind.what  # a head behind the camera


def test_what_is_wrong_is_named(write_files: Write) -> None:
    files = biwi()
    del files["hpdb/03/rgb.cal"]
    del files[f"{FIRST}_pose.txt"]
    files["hpdb/15/rgb.cal"] = b"517 0 320"
    files["hpdb/01/frame_00004_pose.txt"] = b"1 0 0\n0 1 0\n0 0 1\n\n0 0"
    files["hpdb/01/frame_00005_pose.txt"] = b"1 0 0\n0 1 0\n0 0 x\n\n0 0 900"
    files["hpdb/01/frame_00006_pose.txt"] = pose_text(np.diag([1.0, 1.0, -1.0]))
    rows = open_source(f"biwi:{write_files(files)}").read()
    assert len(rows) == 8
    assert {problem.where: problem.what for problem in rows.problems} == {
        "hpdb/15/rgb.cal": (
            "is not a camera's matrix, rotation and translation; another sequence's is used to "
            "cut out faces"
        ),
        f"{FIRST}_rgb.png": "its file of the pose is missing; row left out",
        "hpdb/01/frame_00004_rgb.png": (
            "its file of the pose holds 11 numbers, expected 12; row left out"
        ),
        "hpdb/01/frame_00005_rgb.png": (
            "its file of the pose holds something else than numbers (could not convert string to "
            "float: b'x'); row left out"
        ),
        "hpdb/01/frame_00006_rgb.png": (
            "its file of the pose holds a matrix that is no rotation; row left out"
        ),
    }
    assert rows.notes == ["no rgb.cal in 03: faces are cut out by sequence 12's"]
    with pytest.raises(DataError, match=r"expected: PATH/NN/frame_XXXXX_rgb\.png"):
        open_source("biwi:/dev").read()
