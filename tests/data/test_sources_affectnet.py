from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hybridface.data.source import MISSING
from hybridface.data.sources import open_source
from hybridface.errors import DataError, UsageError
from layouts import AFFECTNET_HEADER, affectnet, affectnet_npy

Write = Callable[[dict[str, bytes]], Path]
NAMES = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")


def npy(value: object) -> bytes:
    out = io.BytesIO()
    np.save(out, np.array(value))
    return out.getvalue()


def test_original_layout(write_files: Write) -> None:
    source = open_source(f"affectnet:{write_files(affectnet())}")
    rows = source.read()
    assert rows.keys[0] == "Manually_Annotated_Images/0/training0.jpg"
    assert rows.split.tolist() == ["train"] * 9 + ["val"] * 3
    assert rows.labels["expression"].names == NAMES
    assert rows.labels["expression"].ids.tolist() == [*range(8), 0, 0, 1, 2]
    felt = rows.numeric["valence_arousal"]
    assert felt.names == ("valence", "arousal")
    np.testing.assert_allclose(felt.values[2], [0.2, -0.2])
    assert rows.boxes[0].tolist() == [2, 3, 20, 20]
    assert rows.group is None
    assert rows.problems == rows.notes == []
    assert {pixels.shape for pixels in source.decode(rows, range(12))} == {(17, 18, 3)}


@pytest.mark.parametrize("place", ["Manually_Annotated/Manually_Annotated_Images",
                                   "Manually_Annotated_compressed"])  # fmt: skip
def test_folders_as_the_archives_have_them(write_files: Write, place: str) -> None:
    files = {
        (f"Manually_Annotated_file_lists/{name}" if name.endswith(".csv")
         else name.replace("Manually_Annotated_Images", place)): content
        for name, content in affectnet().items()
    }  # fmt: skip
    source = open_source(f"affectnet:{write_files(files)}")
    rows = source.read()
    assert all(isinstance(pixels, np.ndarray) for pixels in source.decode(rows, range(12)))


def test_a_table_whose_first_line_is_a_row(write_files: Write) -> None:
    """As validation.csv is in the original archives; its landmarks hold many a semicolon."""
    files = affectnet()
    lines = files["validation.csv"].decode().replace("1.5;2.5;3.5", ";".join("12345" * 27))
    files["validation.csv"] = lines.replace(",2,3,18,17,", ",0,0,18,17,").encode()
    named = open_source(f"affectnet:{write_files(files)}").read()
    files["validation.csv"] = files["validation.csv"].partition(b"\n")[2] + b"x.jpg,0,0\n"
    rows = open_source(f"affectnet:{write_files(files)}").read()
    assert rows.keys == named.keys
    assert rows.split.tolist() == ["train"] * 9 + ["val"] * 3
    assert rows.labels["expression"].ids.tolist() == named.labels["expression"].ids.tolist()
    assert rows.boxes.tolist() == named.boxes.tolist()
    assert [problem.where for problem in rows.problems] == ["validation.csv:4"]


def test_later_layout(write_files: Write) -> None:
    source = open_source(f"affectnet:{write_files(affectnet_npy())}")
    rows = source.read()
    assert rows.keys[0] == "train_set/images/0.jpg"
    assert rows.split.tolist() == ["train"] * 9 + ["val"] * 3
    assert rows.labels["expression"].ids.tolist() == [*range(8), 0, 0, 1, 2]
    np.testing.assert_allclose(rows.numeric["valence_arousal"].values[2], [0.2, -0.5])
    assert rows.boxes is None
    assert rows.problems == rows.notes == []
    assert all(isinstance(pixels, np.ndarray) for pixels in source.decode(rows, range(12)))


def test_the_later_layout_in_folders_of_the_same_names(write_files: Write) -> None:
    """As archives that are unpacked into folders called by them give them."""
    files = affectnet_npy()
    plain = open_source(f"affectnet:{write_files(files)}").read()
    for name in [*files]:
        folder = name.partition("/")[0]
        files[f"AffectNet/{folder}/{name}"] = files.pop(name)
    rows = open_source(f"affectnet:{write_files(files) / 'AffectNet'}").read()
    assert [name.partition("/")[2] for name in rows.keys] == plain.keys
    assert rows.split.tolist() == plain.split.tolist()
    assert rows.labels["expression"].ids.tolist() == plain.labels["expression"].ids.tolist()
    assert rows.problems == rows.notes == []


@pytest.mark.parametrize("layout", ["original", "later"])
def test_seven_classes_and_no_expression(write_files: Write, layout: str) -> None:
    """Contempt is 7; 8 none, 9 uncertain, 10 no face; without one valence and arousal are -2."""
    if layout == "original":
        files = affectnet()
        more = [f"9/{code}.jpg,1,1,9,9,1;1,{code},-2,-2" for code in (8, 10, 10, 11)]
        files["training.csv"] += "\n".join(more).encode()
    else:
        files = affectnet_npy()
        for number, code in enumerate((8, 10, 10, 11), start=50):
            files[f"train_set/images/{number}.jpg"] = b""
            for end, value in (("exp", code), ("val", -2.0), ("aro", -2.0)):
                files[f"train_set/annotations/{number}_{end}.npy"] = npy(value)
    root = write_files(files)
    rows = open_source(f"affectnet:{root}").read()
    assert len(rows) == 13
    assert rows.notes == ["left out by their expression: 1 none, 2 no-face"]
    [problem] = rows.problems
    assert problem.what == "expression is not a whole number from 0 to 10"
    row = rows.keys.index(problem.where)
    assert rows.labels["expression"].ids[row] == MISSING
    assert np.isnan(rows.numeric["valence_arousal"].values[row]).all()
    seven = open_source(f"affectnet:{root}?classes=7").read()
    assert seven.labels["expression"].names == NAMES[:7]
    assert len(seven) == 12
    assert "1 contempt" in seven.notes[0]
    with pytest.raises(UsageError, match="option 'classes'"):
        open_source(f"affectnet:{root}?classes=6")


def test_what_is_wrong_is_named(write_files: Write) -> None:
    files = affectnet_npy()
    for number in (0, 4):
        del files[f"train_set/annotations/{number}_exp.npy"]
    files["train_set/annotations/1_val.npy"] = b"\x93NUMPY"
    files["train_set/annotations/2_aro.npy"] = npy([1.0, 2.0])
    files["train_set/annotations/3_exp.npy"] = npy("nan")
    files = {name: content for name, content in files.items() if not name.startswith("val_set")}
    rows = open_source(f"affectnet:{write_files(files)}").read()
    said = {problem.where: problem.what for problem in rows.problems}
    for number in (0, 4):
        assert said.pop(f"train_set/images/{number}.jpg") == "its _exp.npy is missing"
    assert said.pop("train_set/images/1.jpg").startswith("its _val.npy is not one of a single")
    assert said.pop("train_set/images/2.jpg").startswith("its _aro.npy is not one of a single")
    assert said.pop("train_set/images/3.jpg").startswith("expression is not a whole number")
    assert said == {}
    assert rows.labels["expression"].ids[[0, 3, 4]].tolist() == [MISSING] * 3
    assert rows.notes == ["not there: val_set"]


def test_tables_without_what_is_needed_are_explained(write_files: Write) -> None:
    files = affectnet()
    lines = files["training.csv"].decode().splitlines()
    lines[1] = lines[1].replace(",2,3,18,17,", ",,,,,")
    lines[2] = "," + lines[2].partition(",")[2]
    files["training.csv"] = "\n".join(lines).encode()
    rows = open_source(f"affectnet:{write_files(files)}").read()
    assert np.isnan(rows.boxes[0]).all()
    assert {problem.where: problem.what for problem in rows.problems} == {
        "Manually_Annotated_Images/0/training0.jpg": (
            "no box of the face: the whole picture is used"
        ),
        "training.csv:3": "no picture named; row left out",
    }
    files["training.csv"] = AFFECTNET_HEADER.replace("expression", "label").encode() + b"\n"
    with pytest.raises(DataError, match="expected subDirectory_filePath, expression"):
        open_source(f"affectnet:{write_files(files)}").read()
    with pytest.raises(DataError, match=r"expected: PATH/training\.csv"):
        open_source(f"affectnet:{write_files(files)}/Manually_Annotated_Images").read()


@pytest.mark.parametrize("layout", [affectnet, affectnet_npy])
def test_in_a_folder_of_its_own(write_files: Write, layout: Callable[[], dict[str, bytes]]) -> None:
    files = {f"AffectNet/{name}": content for name, content in layout().items()}
    source = open_source(f"affectnet:{write_files(files)}")
    rows = source.read()
    assert len(rows) == 12
    assert rows.problems == []
    assert all(isinstance(pixels, np.ndarray) for pixels in source.decode(rows, range(len(rows))))
