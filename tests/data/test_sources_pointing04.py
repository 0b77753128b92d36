from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hybridface.data.sources import open_source
from hybridface.errors import DataError
from hybridface.rotations import ANGLES
from layouts import encode, pointing04

Write = Callable[[dict[str, bytes]], Path]
FIRST = "HeadPoseImageDatabase/Person01/person01100-90+0"


def test_layout(write_files: Write) -> None:
    root = write_files(pointing04())
    source = open_source(f"pointing04:{root}")
    rows = source.read()
    assert len(rows) == 12
    assert rows.keys[0] == f"{FIRST}.jpg"
    assert rows.problems == []
    assert rows.group.tolist() == [1] * 4 + [2] * 4 + [3] * 4
    pose = rows.numeric["pose"]
    assert pose.names == ANGLES
    assert pose.values[:4, :2].tolist() == [[0, -90], [0, 0], [75, 15], [-45, -30]]
    assert np.isnan(pose.values[:, 2]).all()
    assert pose.known().all()
    inner = open_source(f"pointing04:{root}/HeadPoseImageDatabase").read()
    assert [f"HeadPoseImageDatabase/{key}" for key in inner.keys] == rows.keys
    assert all(isinstance(pixels, np.ndarray) for pixels in source.decode(rows, range(12)))


def test_french_names(write_files: Write) -> None:
    files = pointing04()
    for name, content in pointing04().items():
        files[f"french/{name.replace('erson', 'ersonne')}"] = content
    root = write_files(files)
    named = open_source(f"pointing04:{root}").read()
    rows = open_source(f"pointing04:{root}/french").read()
    assert rows.keys[0] == FIRST.replace("erson", "ersonne") + ".jpg"
    assert rows.group.tolist() == named.group.tolist()
    assert rows.boxes.tolist() == named.boxes.tolist()
    np.testing.assert_array_equal(rows.numeric["pose"].values, named.numeric["pose"].values)


def test_the_box_is_middle_and_size(write_files: Write) -> None:
    root = write_files(pointing04())  # middle (12, 10), 8 wide and 6 high
    [box, *_] = open_source(f"pointing04:{root}?margin=0").read().boxes
    assert box.tolist() == [8, 6, 16, 14]
    [box, *_] = open_source(f"pointing04:{root}?margin=0.5").read().boxes
    assert box.tolist() == [4, 2, 20, 18]


def test_what_is_wrong_is_named(write_files: Write) -> None:
    files = pointing04()
    del files[f"{FIRST}.txt"]
    folder = "HeadPoseImageDatabase/Person02/person021"
    files[f"{folder}00-90+0.txt"] = b"person.jpg\n\nFace\n12\n10\n8\n"
    files[f"{folder}01+0+0.txt"] = b"person.jpg\n\nFace\n12\n10\n8\n-6\n"
    files[f"{folder}02+15-75.txt"] = b"person.jpg\n\nFace\n12\n10\n0\n6\n"
    files["HeadPoseImageDatabase/Person02/me.jpg"] = encode(99)
    rows = open_source(f"pointing04:{write_files(files)}").read()
    assert len(rows) == 8
    said = {problem.where: problem.what for problem in rows.problems}
    assert said[f"{FIRST}.jpg"] == "the file of its box is missing; row left out"
    twice = "four whole numbers; row left out; 2 rows, this is the first"
    assert said[f"{folder}00-90+0.jpg"].endswith(twice)
    assert said[f"{folder}02+15-75.jpg"] == "the file of its box holds an empty box; row left out"
    assert said["HeadPoseImageDatabase/Person02/me.jpg"] == (
        "its name is not personPPSNN+TT-PP.jpg; left out"
    )
    with pytest.raises(DataError, match="expected: PATH/PersonPP"):
        open_source("pointing04:/dev").read()


@pytest.mark.data
def test_real_pointing04(shared_data: Callable[[str, str], Path]) -> None:
    source = open_source(f"pointing04:{shared_data('pointing04.zip', 'HeadPoseImageDatabase')}")
    rows = source.read()
    assert rows.problems == []
    assert np.bincount(rows.group).tolist() == [0] + [186] * 12
    yaw, pitch, _ = rows.numeric["pose"].values.T
    assert np.unique(pitch).tolist() == [-90, -60, -30, -15, 0, 15, 30, 60, 90]
    assert np.unique(yaw).tolist() == [*range(-90, 91, 15)]
    assert set(yaw[np.abs(pitch) == 90]) == {0}
    assert all(isinstance(pixels, np.ndarray) for pixels in source.decode(rows, range(0, 2232, 99)))
