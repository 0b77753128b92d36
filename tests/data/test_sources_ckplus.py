from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hybridface.data.sources import open_source
from hybridface.errors import DataError, UsageError
from layouts import ckplus, ckplus_whole, encode

Write = Callable[[dict[str, bytes]], Path]


def test_layout(write_files: Write) -> None:
    root = write_files(ckplus())
    source = open_source(f"ckplus:{root}")
    rows = source.read()
    assert len(rows) == 12
    assert rows.keys[0] == "anger/S010_003_00000017.png"
    assert rows.labels["expression"].names == ("anger", "happy")
    assert rows.group.tolist() == [0, 0, 1, 1, 2, 2] * 2
    assert rows.problems == rows.notes == []
    assert open_source(f"ckplus:{root}/CK+48").read().keys == rows.keys
    assert all(isinstance(pixels, np.ndarray) for pixels in source.decode(rows, range(12)))


def test_a_name_without_subject_is_a_group_of_its_own(write_files: Write) -> None:
    files = ckplus() | {f"CK+48/happy/{name}.png": encode(900, "PNG") for name in ("a", "b")}
    rows = open_source(f"ckplus:{write_files(files)}").read()
    assert len(set(rows.group.tolist())) == 5
    assert rows.notes == ["2 names without a subject, as happy/a.png"]


def test_what_is_no_ckplus_is_explained(write_files: Write) -> None:
    with pytest.raises(DataError, match="expected: PATH/EXPRESSION/SNNN"):
        open_source(f"ckplus:{write_files({'happy/1.png': b''})}").read()


def test_the_whole_set(write_files: Write) -> None:
    root = write_files(ckplus_whole())
    source = open_source(f"ckplus:{root}")
    rows = source.read()
    images = "extended-cohn-kanade-images/cohn-kanade-images"
    assert rows.keys[:4] == [
        f"{images}/S010/001/S010_001_00000003.png", f"{images}/S010/001/S010_001_00000004.png",
        f"{images}/S010/001/S010_001_00000005.png", f"{images}/S010/002/S010_002_00000003.png",
    ]  # fmt: skip
    names = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
    assert rows.labels["expression"].names == names
    assert rows.labels["expression"].ids.tolist() == [6, 6, 6, 0, 0, 0] * 3
    assert rows.group.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert rows.notes == ["3 of 9 sequences have no emotion: left out"]
    assert rows.problems == []
    # The points go from 20 to 87 and from 30 to 38; a fifth is added, and the box made square.
    np.testing.assert_allclose(rows.boxes[0], [6.6, -12.9, 100.4, 80.9], atol=1e-4)
    assert all(isinstance(pixels, np.ndarray) for pixels in source.decode(rows, range(18)))
    for name in ("extended-cohn-kanade-images/cohn-kanade-images", "Emotion_labels/Emotion"):
        (root / name).rename(root / Path(name).name)
    moved = open_source(f"ckplus:{root}").read()
    assert [f"extended-cohn-kanade-images/{key}" for key in moved.keys] == rows.keys
    assert moved.labels["expression"].ids.tolist() == rows.labels["expression"].ids.tolist()


def test_first_frames_of_the_whole_set_are_neutral(write_files: Write) -> None:
    root = write_files({f"CK+/{name}": content for name, content in ckplus_whole().items()})
    rows = open_source(f"ckplus:{root}?neutral=true&label=mood").read()
    assert rows.labels["mood"].names[:2] == ("neutral", "anger")
    assert rows.labels["mood"].ids.tolist() == [0, 7, 7, 7, 0, 1, 1, 1] * 3
    assert Path(rows.keys[0]).name == "S010_001_00000001.png"
    unlabelled = open_source(f"ckplus:{root}?unlabelled=true").read()
    assert len(unlabelled) == 45
    assert unlabelled.labels == {}
    assert len(set(unlabelled.group.tolist())) == 3


@pytest.mark.parametrize("option", ["neutral=true", "margin=0.3"])
def test_options_of_the_whole_set_are_not_ignored_for_the_crops(
    write_files: Write, option: str
) -> None:
    with pytest.raises(UsageError, match="leave it out for CK"):
        open_source(f"ckplus:{write_files(ckplus())}?{option}").read()


def test_what_is_wrong_in_the_whole_set_is_named(write_files: Write) -> None:
    files = ckplus_whole()
    emotion, landmarks = "Emotion_labels/Emotion", "Landmarks/S042/001/S042_001_00000005"
    files[f"{emotion}/S010/001/S010_001_00000005_emotion.txt"] = b"   0.0000000e+00\n"
    files[f"{emotion}/S010/002/S010_002_00000005_emotion.txt"] = b""
    files[f"{emotion}/S099/001/S099_001_00000005_emotion.txt"] = b"   1.0000000e+00\n"
    files[f"{landmarks}_landmarks.txt"] = b"1 2 3"
    rows = open_source(f"ckplus:{write_files(files)}").read()
    assert len(rows) == 12
    whole = (
        "does not hold one whole number from 1 to 7; sequence left out; 2 rows, this is the first"
    )
    images = "extended-cohn-kanade-images/cohn-kanade-images"
    assert {problem.where: problem.what for problem in rows.problems} == {
        f"{emotion}/S010/001/S010_001_00000005_emotion.txt": whole,
        f"{emotion}/S099/001/S099_001_00000005_emotion.txt": (
            "is of no frame that is there; sequence left out"
        ),
        f"{images}/S042/001/S042_001_00000005.png": (
            "its file of landmarks holds 3 numbers, expected 68 times x and y: the whole picture "
            "is used"
        ),
    }
    assert np.isnan(rows.boxes).all(axis=1).sum() == 1


def test_the_whole_set_without_landmarks_or_emotions(write_files: Write) -> None:
    files = {name: content for name, content in ckplus_whole().items() if "Landm" not in name}
    root = write_files(files)
    rows = open_source(f"ckplus:{root}").read()
    assert rows.boxes is None
    assert rows.notes[1] == "no Landmarks: whole pictures, which are not cut to the faces"
    (root / "Emotion_labels").rename(root / "Emotion_labels.old")
    with pytest.raises(DataError, match=r"unpack Emotion_labels\.zip"):
        open_source(f"ckplus:{root}").read()


@pytest.mark.data
def test_real_ckplus(shared_data: Callable[[str, str], Path]) -> None:
    rows = open_source(f"ckplus:{shared_data('ckplus48.zip', 'CK+48')}").read()
    assert len(rows) == 981
    assert len(set(rows.group.tolist())) == 118
    assert rows.problems == rows.notes == []
    assert rows.labels["expression"].names == (
        "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise",
    )  # fmt: skip
