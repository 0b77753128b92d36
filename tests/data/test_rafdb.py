from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hybridface.config import DataConfig
from hybridface.data.prepare import prepare_data
from hybridface.data.source import MISSING
from hybridface.data.sources import open_source
from hybridface.errors import DataError

NAMES = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")


def write_list(root: Path, text: str) -> None:
    for folder in ("EmoLabel", "Image/aligned"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "EmoLabel" / "list_patition_label.txt").write_bytes(text.encode("latin-1"))


@pytest.mark.parametrize("inside", ["", "rafdb", "basic", "RAF-DB/basic"])
def test_layout(tmp_path: Path, write_picture: Callable[..., Path], inside: str) -> None:
    write_list(tmp_path / inside, "train_00001.jpg 5\r\n\r\ntest_0001.jpg 1\n")
    for name in ("train_00001", "test_0001"):
        write_picture(tmp_path / inside / "Image" / "aligned" / f"{name}_aligned.jpg")
    source = open_source(f"rafdb:{tmp_path}")
    rows = source.read()
    assert rows.keys == [
        (Path(inside) / "Image" / "aligned" / name).as_posix()
        for name in ("train_00001_aligned.jpg", "test_0001_aligned.jpg")
    ]
    assert rows.split.tolist() == ["train", "test"]
    assert rows.labels["expression"].names == NAMES
    assert rows.labels["expression"].ids.tolist() == [4, 0]
    assert rows.problems == []
    assert all(isinstance(pixels, np.ndarray) for pixels in source.decode(rows, [0, 1]))


def test_pictures_in_a_folder_of_the_same_name(
    tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    """As an archive that is unpacked into a folder called by it gives them."""
    write_list(tmp_path / "basic", "train_00001.jpg 5\ntest_0001.jpg 1\n")
    inside = "basic/Image/aligned/aligned"
    for name in ("train_00001", "test_0001"):
        write_picture(tmp_path / inside / f"{name}_aligned.jpg")
    rows = open_source(f"rafdb:{tmp_path}").read()
    assert rows.keys == [
        f"{inside}/train_00001_aligned.jpg", f"{inside}/test_0001_aligned.jpg"
    ]  # fmt: skip


def test_pictures_that_are_still_packed_are_asked_for(tmp_path: Path) -> None:
    write_list(tmp_path, "train_00001.jpg 5\n")
    (tmp_path / "Image" / "aligned").rename(tmp_path / "Image" / "original")
    (tmp_path / "Image" / "aligned.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"unpack aligned\.zip") as raised:
        open_source(f"rafdb:{tmp_path}").read()
    assert str(raised.value).endswith(f"in {tmp_path}/Image: aligned.zip, original/")


def test_compound_expressions_are_not_taken_for_basic_ones(tmp_path: Path) -> None:
    write_list(tmp_path, "".join(f"train_{number:04d}.jpg {number}\n" for number in range(1, 12)))
    with pytest.raises(DataError, match="RAF-DB's compound expressions"):
        open_source(f"rafdb:{tmp_path}").read()


def test_bad_lines_are_named(tmp_path: Path) -> None:
    write_list(
        tmp_path,
        "train_1.jpg 1\ntrain_2.jpg 8\ntrain_3.jpg x\nother_4.jpg 2\ntrain_5\n\xe9\xff 3\n",
    )
    rows = open_source(f"rafdb:{tmp_path}").read()
    assert rows.labels["expression"].ids.tolist() == [0, MISSING, MISSING]
    assert {problem.where: problem.what for problem in rows.problems} == {
        "Image/aligned/train_2_aligned.jpg": (
            "unknown label '8' in list_patition_label.txt:2, expected 1 to 7"
        ),
        "Image/aligned/train_3_aligned.jpg": (
            "unknown label 'x' in list_patition_label.txt:3, expected 1 to 7"
        ),
        "list_patition_label.txt:4": (
            "'other_4.jpg 2' names no train_ or test_ picture; 3 rows, this is the first"
        ),
    }


def test_a_row_is_named_once(
    tmp_path: Path, hybridface_cache: Path, write_picture: Callable[..., Path]
) -> None:
    lines = [f"train_{number}.jpg {number % 7 + 1}" for number in range(28)]
    lines += ["train_28.jpg 9", "train_29.jpg x", "nonsense 3"]
    for number in range(29):  # the last of them has neither label nor picture
        write_picture(tmp_path / "Image" / "aligned" / f"train_{number}_aligned.jpg", number)
    (tmp_path / "EmoLabel").mkdir()
    (tmp_path / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(lines))
    config = DataConfig(source=f"rafdb:{tmp_path}", size=16, validation=0.3)
    data = prepare_data(config, ["expression"], 0)
    named = [(problem.where, problem.what.partition(",")[0]) for problem in data.problems]
    label = "in list_patition_label.txt"
    assert named[:3] == [
        ("Image/aligned/train_28_aligned.jpg", f"unknown label '9' {label}:29"),
        ("Image/aligned/train_29_aligned.jpg", f"unknown label 'x' {label}:30"),
        ("list_patition_label.txt:31", "'nonsense 3' names no train_ or test_ picture"),
    ]
    assert named[3][0] == "Image/aligned/train_29_aligned.jpg"
    assert "cannot be read" in named[3][1]
    assert len(named) == 4


def test_missing_picture_is_a_problem(tmp_path: Path) -> None:
    write_list(tmp_path, "train_00001.jpg 5\n")
    source = open_source(f"rafdb:{tmp_path}")
    [problem] = source.decode(source.read(), [0])
    assert problem.where == "Image/aligned/train_00001_aligned.jpg"
    assert "No such file" in problem.what


@pytest.mark.parametrize("text", [None, "", "nothing of use\n"])
def test_what_is_no_rafdb_is_explained(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        write_list(tmp_path, text)
    with pytest.raises(DataError) as raised:
        open_source(f"rafdb:{tmp_path}").read()
    message = str(raised.value)
    assert f"rafdb:{tmp_path}: this is not a data set of kind 'rafdb'" in message
    assert "expected: PATH/EmoLabel/list_patition_label.txt" in message
    assert ("an empty folder" if text is None else "no usable line") in message


@pytest.mark.parametrize("inside", ["", "DATASET"])
def test_folders_called_by_the_numbers_of_the_classes(
    tmp_path: Path, write_picture: Callable[..., Path], inside: str
) -> None:
    for name in ("train/5/train_00001_aligned.jpg", "train/1/train_00002_aligned.jpg",
                 "test/7/test_0001_aligned.jpg"):  # fmt: skip
        write_picture(tmp_path / inside / name)
    (tmp_path / "train_labels.csv").write_text("image,label\ntrain_00001_aligned.jpg,5\n")
    source = open_source(f"rafdb:{tmp_path}")
    rows = source.read()
    assert [Path(name).name for name in rows.keys] == [
        "train_00002_aligned.jpg", "train_00001_aligned.jpg", "test_0001_aligned.jpg"
    ]  # fmt: skip
    assert rows.split.tolist() == ["train", "train", "test"]
    assert rows.labels["expression"].names == NAMES
    assert rows.labels["expression"].ids.tolist() == [0, 4, 6]
    assert rows.problems == rows.notes == []
    assert all(isinstance(pixels, np.ndarray) for pixels in source.decode(rows, range(3)))


def test_folders_of_classes_without_a_split_or_pictures_are_named(
    tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    (tmp_path / "train" / "3").mkdir(parents=True)
    with pytest.raises(DataError, match="folders 1 to 7 without a picture"):
        open_source(f"rafdb:{tmp_path}").read()
    write_picture(tmp_path / "train" / "3" / "1.jpg")
    assert open_source(f"rafdb:{tmp_path}").read().notes == ["no picture in test/"]


def test_pictures_that_lie_elsewhere_are_named_where_they_are_expected(
    tmp_path: Path, hybridface_cache: Path, write_picture: Callable[..., Path]
) -> None:
    write_list(tmp_path, "train_00001.jpg 5\n")
    write_picture(tmp_path / "Image" / "original" / "train_00001.jpg")
    with pytest.raises(DataError, match=r"Image/aligned/train_00001_aligned\.jpg: cannot be read"):
        prepare_data(DataConfig(source=f"rafdb:{tmp_path}", size=16), ["expression"], 0)


@pytest.mark.data
def test_real_rafdb(shared_data: Callable[[str, str], Path]) -> None:
    source = open_source(f"rafdb:{shared_data('rafdb-train.zip', 'rafdb')}")
    rows = source.read()
    assert len(rows) == 12271
    assert set(rows.split) == {"train"}
    counts = np.bincount(rows.labels["expression"].ids)
    assert counts.tolist() == [1290, 281, 717, 4772, 1982, 705, 2524]
    assert rows.problems == []
    for pixels in source.decode(rows, range(0, 12271, 500)):
        assert isinstance(pixels, np.ndarray)
        assert pixels.shape == (100, 100, 3)
