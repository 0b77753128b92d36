from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from hybridface.data.check.counts import count_rows
from hybridface.data.sources import open_source
from hybridface.errors import DataError, UsageError
from hybridface.rotations import ANGLES, to_matrices
from layouts import aflw2000, mat, poses_300wlp

Write = Callable[[dict[str, bytes]], Path]


@pytest.mark.parametrize("inside", ["AFLW2000", "AFLW2000-3D/AFLW2000", ""])
def test_aflw2000_layout(write_files: Write, inside: str) -> None:
    root = write_files(
        {name.replace("AFLW2000", inside or "AFLW2000"): each for name, each in aflw2000().items()}
    ) / ("" if inside else "AFLW2000")
    source = open_source(f"aflw2000:{root}")
    rows = source.read()
    numbers = [2 + 40 * place for place in range(12)]  # by number, though 00442 and 00082 differ
    assert rows.keys == [f"{inside}/image{n:05d}.jpg".lstrip("/") for n in numbers]
    assert rows.problems == []
    assert rows.labels == {}
    assert set(rows.split) == {""}
    pose = rows.numeric["pose"]
    assert (pose.names, pose.unit) == (ANGLES, "degrees")
    expected = [[5 * place, place, 2 * place] for place in range(12)]  # the file's yaw is -5 place
    np.testing.assert_allclose(pose.values, expected, atol=1e-4)
    assert rows.group is not None
    assert rows.group.tolist() == [number // 50 for number in numbers]
    assert all(isinstance(pixels, np.ndarray) for pixels in source.decode(rows, range(12)))


def test_the_box_is_that_of_known_points_widened_and_square(write_files: Write) -> None:
    """Points from 6 to 18 and 8 to 16; -1 is no point. Left, right and top grow by 0.4."""
    root = write_files(aflw2000())
    [box, *_] = open_source(f"aflw2000:{root}").read().boxes
    # 21.6 wide from 1.2; 12.16 high from 4.8 grows about its middle, 10.88, to 21.6.
    np.testing.assert_allclose(box, [1.2, 0.08, 22.8, 21.68], atol=1e-4)
    [tight, *_] = open_source(f"aflw2000:{root}?margin=0").read().boxes
    np.testing.assert_allclose(tight, [6, 6, 18, 18])


def test_angles_beyond_99_degrees_are_left_out_or_kept(write_files: Write) -> None:
    files = aflw2000()
    files["AFLW2000/image00002.mat"] = mat(0, 99.5, 0)
    files["AFLW2000/image00042.mat"] = mat(0, -98.5, 0)
    files["AFLW2000/image00082.mat"] = mat(370, 0, -190)
    root = write_files(files)
    rows = open_source(f"aflw2000:{root}").read()
    assert len(rows) == 10
    assert rows.keys[0] == "AFLW2000/image00042.jpg"
    assert "2 of 12 pictures have an angle beyond 99 degrees" in rows.notes[1]
    kept = open_source(f"aflw2000:{root}?beyond_99=keep").read()
    assert len(kept) == 12
    expected = [[-99.5, 0, 0], [98.5, 0, 0], [0, 10, 170]]  # once round is left out
    np.testing.assert_allclose(kept.numeric["pose"].values[:3], expected, atol=1e-3)


def test_a_split_by_number(write_files: Write) -> None:
    """Counted before pictures beyond 99 degrees are dropped; what is between is left out."""
    files = aflw2000()
    files["AFLW2000/image00042.mat"] = mat(0, 99.5, 0)
    root = write_files(files)
    rows = open_source(f"aflw2000:{root}?split=5,2,3").read()
    assert [key[14:19] for key in rows.keys] == [
        f"{2 + 40 * place:05d}" for place in (0, 2, 3, 4, 5, 6, 9, 10, 11)
    ]
    assert rows.split.tolist() == ["train"] * 4 + ["val"] * 2 + ["test"] * 3
    assert len(rows.group) == len(rows.numeric["pose"].values) == len(rows.boxes) == 9
    counts = count_rows(rows)  # a block on both sides of a cut is no person there
    assert counts["persons"] is counts["persons_across_splits"] is None
    with pytest.raises(UsageError, match="names 13 pictures, and there are 12"):
        open_source(f"aflw2000:{root}?split=8,2,3").read()
    for wrong in ("5,2", "5,0,3", "some", "5,2,3,1"):
        with pytest.raises(UsageError, match="option 'split': expected three whole"):
            open_source(f"aflw2000:{root}?split={wrong}")


def test_what_is_wrong_is_named(write_files: Write) -> None:
    files = aflw2000()
    whole = files["AFLW2000/image00082.mat"]
    del files["AFLW2000/image00002.mat"]
    column = io.BytesIO()
    savemat(column, {"Pose_Para": np.zeros((7, 1)), "pt2d": np.ones((2, 21))})
    files |= {
        "AFLW2000/image00042.mat": whole[: len(whole) // 2],
        "AFLW2000/image00122.mat": b"MATLAB 7.3 MAT-file" + bytes(600),
        "AFLW2000/image00162.mat": mat(0, float("nan"), 0),
        "AFLW2000/image00202.mat": mat(0, 0, 0, np.full((2, 21), -1.0)),
        "AFLW2000/image00242.mat": mat(0, 0, 0, np.zeros((3,))),
        "AFLW2000/image00282.mat": column.getvalue(),
        "AFLW2000/portrait.jpg": b"",
    }
    rows = open_source(f"aflw2000:{write_files(files)}").read()
    assert len(rows) == 5
    said = {problem.where[9:]: problem.what for problem in rows.problems}
    assert len(said) == 8
    assert said["image00002.jpg"] == "its .mat file is missing; row left out"
    for name in ("image00042", "image00122"):
        assert said[f"{name}.jpg"].startswith("its .mat file is not one that can be read (")
    assert said["image00162.jpg"] == "its .mat file holds angles that are no numbers; row left out"
    assert "fewer than two known points" in said["image00202.jpg"]
    assert "holds no pt2d of at least 2 x 2 numbers" in said["image00242.jpg"]
    assert "holds no Pose_Para of at least 1 x 3 numbers" in said["image00282.jpg"]
    assert said["portrait.jpg"] == "not called imageNNNNN.jpg; left out"


def test_what_is_no_aflw2000_is_explained(write_files: Write) -> None:
    root = write_files({"x/picture.jpg": b""})
    with pytest.raises(DataError, match=r"expected: PATH/imageNNNNN\.jpg"):
        open_source(f"aflw2000:{root}").read()
    with pytest.raises(UsageError, match="option 'margin'"):
        open_source(f"aflw2000:{root}?margin=wide")


def test_300wlp_layout(write_files: Write) -> None:
    root = write_files(poses_300wlp())
    rows = open_source(f"300wlp:{root}").read()
    assert len(rows) == 12
    assert rows.notes == ["not there: IBUG, IBUG_Flip"]
    assert rows.problems == []
    by_key = {
        key: (rows.group[place], rows.numeric["pose"].values[place])
        for place, key in enumerate(rows.keys)
    }
    group, pose = by_key["AFW/AFW_1051618982_1_1.jpg"]
    np.testing.assert_allclose(pose, [-31, 5, 4], atol=1e-4)
    mirrored_group, mirrored = by_key["AFW_Flip/AFW_1051618982_1_1.jpg"]
    np.testing.assert_allclose(mirrored, pose * (-1, 1, -1), atol=1e-4)
    assert group == mirrored_group
    assert np.bincount(rows.group).tolist() == [4, 4, 4]
    [box, *_] = rows.boxes
    # 0.3 * 0.6 at the sides: 16.32 wide from 3.84; 14.24 high from 3.2.
    np.testing.assert_allclose(box, [3.84, 2.16, 20.16, 18.48], atol=1e-4)
    without = open_source(f"300wlp:{root}?flips=false").read()
    assert not any("_Flip" in key for key in without.keys)
    assert len(without) == 6


def test_300wlp_without_pictures_is_explained(write_files: Write) -> None:
    root = write_files({"landmarks/AFW/AFW_1_0_pts.mat": b"", "AFW/readme.txt": b"x"})
    with pytest.raises(DataError, match=r"no usable row in .* \(no picture\)"):
        open_source(f"300wlp:{root}").read()
    with pytest.raises(DataError, match=r"no usable row in .* \(no picture\)"):
        open_source(f"300wlp:{root}/landmarks").read()


@pytest.mark.parametrize("inside", ["300W_LP", "300W-LP", "300W-LP/300W_LP"])
def test_300wlp_in_the_folder_of_the_archive(write_files: Write, inside: str) -> None:
    files = {f"{inside}/{name}": content for name, content in poses_300wlp().items()}
    rows = open_source(f"300wlp:{write_files(files)}").read()
    assert len(rows) == 12
    assert rows.keys[0].startswith(f"{inside}/AFW/")


@pytest.fixture(scope="module")
def real(shared_data: Callable[[str, str], Path]) -> Path:
    return shared_data("aflw2000.zip", "AFLW2000")


@pytest.mark.data
def test_real_aflw2000(real: Path) -> None:
    source = open_source(f"aflw2000:{real}")
    rows = source.read()
    assert len(rows) == 1620
    assert rows.problems == []
    assert "30 of 1650 pictures" in rows.notes[1]
    assert np.abs(rows.numeric["pose"].values).max() <= 99
    for pixels in source.decode(rows, range(0, 1620, 90)):
        assert isinstance(pixels, np.ndarray)
        assert pixels.shape[0] == pytest.approx(pixels.shape[1], abs=1)
    assert len(open_source(f"aflw2000:{real}?beyond_99=keep").read()) == 1650


@pytest.fixture(scope="module")
def landmarks(real: Path) -> tuple[np.ndarray, np.ndarray]:
    """Every fifth row's pose, and its 68 landmarks on axes right, up and near."""
    from scipy.io import loadmat

    rows = open_source(f"aflw2000:{real}").read()
    points = [loadmat(real / f"{key[:-4]}.mat")["pt3d_68"] for key in rows.keys[::5]]
    return rows.numeric["pose"].values[::5], np.array(points) * [[1.0], [-1.0], [1.0]]


@pytest.mark.data
def test_signs_are_those_of_the_landmarks(landmarks: tuple[np.ndarray, np.ndarray]) -> None:
    pose, points = landmarks
    nose, jaw = points[:, :, 30], points[:, :, :17].mean(2)
    eyes = points[:, :, 42:48].mean(2) - points[:, :, 36:42].mean(2)
    between = (points[:, 1, 36:48].mean(1) + points[:, 1, 48:68].mean(1)) / 2
    assert np.corrcoef(nose[:, 0] - jaw[:, 0], pose[:, 0])[0, 1] > 0.9
    assert np.corrcoef(nose[:, 1] - between, pose[:, 1])[0, 1] > 0.7
    frontal = np.abs(pose[:, 0]) < 30
    tilt = -np.degrees(np.arctan2(eyes[:, 1], eyes[:, 0]))  # to the right is down at the right
    assert np.abs(tilt - pose[:, 2])[frontal].mean() < 4


@pytest.mark.data
def test_order_is_that_of_the_landmarks(landmarks: tuple[np.ndarray, np.ndarray]) -> None:
    """What turns one face's landmarks into another's (Kabsch) is what the poses say."""
    pose, points = landmarks
    points = points - points.mean(2, keepdims=True)
    one, other = points[:-1], points[1:]
    u, _, v = np.linalg.svd(other @ one.transpose(0, 2, 1))
    u[:, :, 2] *= np.linalg.det(u @ v)[:, None]  # a turn, and no mirror
    turn = u @ v

    def error(matrices: np.ndarray) -> float:
        said = matrices[1:] @ matrices[:-1].transpose(0, 2, 1)
        cosine = (np.trace(turn @ said.transpose(0, 2, 1), axis1=1, axis2=2) - 1) / 2
        return float(np.median(np.degrees(np.arccos(np.clip(cosine, -1, 1)))))

    roll_last = to_matrices(pose * [0, 0, 1]) @ to_matrices(pose * [1, 1, 0])
    assert error(to_matrices(pose)) < 3
    assert error(roll_last) > 5
