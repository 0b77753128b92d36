from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hybridface.config import DataConfig
from hybridface.data.prepare import prepare_data
from hybridface.data.source import MISSING
from hybridface.data.sources import open_source
from hybridface.errors import DataError, UsageError
from layouts import ADIENCE_HEADER, adience, encode

Write = Callable[[dict[str, bytes]], Path]


def test_layout(write_files: Write) -> None:
    root = write_files(adience())
    source = open_source(f"adience:{root}")
    rows = source.read()
    assert len(rows) == 15
    assert rows.keys[0] == "faces/00@N00/coarse_tilt_aligned_face.1.10390_0_o.jpg"
    assert rows.labels["gender"].ids.tolist() == [1, 0, 0] * 5
    names = rows.labels["age_group"].names
    assert names == ("0-2", "4-6", "8-12", "15-20", "25-32", "38-43", "48-53", "60-100")
    assert rows.labels["age_group"].ids.tolist() == [0, 4, 7] * 5
    assert rows.folds.tolist() == np.repeat(range(5), 3).tolist()
    assert len(set(rows.group.tolist())) == 15
    assert rows.numeric == {}
    assert rows.problems == rows.notes == []
    assert all(isinstance(pixels, np.ndarray) for pixels in source.decode(rows, range(15)))
    years = open_source(f"adience:{root}?midpoints=true").read().numeric["age"]
    assert years.values[:3, 0].tolist() == [1, 28.5, 80]


@pytest.mark.parametrize(
    ("age", "group"),
    [
        ("(38, 42)", "38-43"), ("(27, 32)", "25-32"), ("(38, 48)", "38-43"), ("35", None),
        ("13", None), ("3", None), ("2", "0-2"), ("58", None), ("(8, 23)", "15-20"), ("None", None),
        ("", None), ("(60,100)", "60-100"),
    ],
)  # fmt: skip
def test_other_ages(write_files: Write, age: str, group: str | None) -> None:
    files = adience()
    row = f"u\ti.jpg\t1\t{age}\tu" + "\t0" * 7
    files["fold_2_data.txt"] = f"{ADIENCE_HEADER}\n{row}\n".encode()
    rows = open_source(f"adience:{write_files(files)}").read()
    labels = rows.labels["age_group"]
    place = rows.folds.tolist().index(2)
    assert labels.ids[place] == (MISSING if group is None else labels.names.index(group))
    assert rows.labels["gender"].ids[place] == MISSING
    assert rows.problems == []


def test_what_is_wrong_is_named(write_files: Write) -> None:
    files = adience()
    del files["fold_4_data.txt"]
    lines = ["u\t\t1\t(0, 2)\tm", "u\ti.jpg\t1\told\tm", "u\tj.jpg\t1\t(0, 2)\tx"]
    lines = [ADIENCE_HEADER, *(line + "\t0" * 7 for line in lines), "too\tfew"]
    files["fold_0_data.txt"] = "\n".join(lines).encode()
    rows = open_source(f"adience:{write_files(files)}").read()
    assert {problem.where: problem.what for problem in rows.problems} == {
        "fold_4_data.txt": "not there: the pictures of fold 4 are left out",
        "fold_0_data.txt:2": "no picture named; row left out",
        "fold_0_data.txt:5": "2 cells where the first line has 12; row left out",
        "faces/u/coarse_tilt_aligned_face.1.i.jpg": "unknown age 'old'",
        "faces/u/coarse_tilt_aligned_face.1.j.jpg": "unknown gender 'x', expected m, f or u",
    }
    assert rows.notes == ["not there: fold_4_data.txt"]
    for spec, message in (
        (f"adience:{write_files(files)}?pictures=aligned", "found: faces/"),
        (f"adience:{write_files(files)}/faces", "expected: PATH/fold_0_data.txt"),
    ):
        with pytest.raises(DataError, match=message):
            open_source(spec).read()


def test_aligned_pictures_come_first(write_files: Write) -> None:
    name = "aligned/00@N00/landmark_aligned_face.1.10390_0_o.jpg"
    root = write_files(adience() | {name: encode(77)})
    assert open_source(f"adience:{root}").read().keys[0] == name
    assert open_source(f"adience:{root}?pictures=faces").read().keys[0].startswith("faces/")


@pytest.mark.parametrize("lists", ["", "folds/", "../"])
def test_in_the_folder_of_the_archive(write_files: Write, lists: str) -> None:
    inside = "AdienceBenchmarkGenderAndAgeClassification"
    files = {
        f"{inside}/{name if name.startswith('faces') else lists + name}": content
        for name, content in adience().items()
    }
    source = open_source(f"adience:{write_files(files)}")
    rows = source.read()
    assert len(rows) == 15
    assert rows.keys[0].startswith(f"{inside}/faces/00@N00/")
    assert rows.problems == rows.notes == []
    assert all(isinstance(pixels, np.ndarray) for pixels in source.decode(rows, range(15)))


def test_lists_of_frontal_faces_are_read_where_there_are_no_others(write_files: Write) -> None:
    frontal = {name.replace("fold_", "fold_frontal_"): each for name, each in adience().items()}
    del frontal["fold_frontal_3_data.txt"]
    rows = open_source(f"adience:{write_files(frontal)}").read()
    assert len(rows) == 12
    assert set(rows.folds.tolist()) == {0, 1, 2, 4}
    assert rows.notes == [
        "not there: fold_frontal_3_data.txt",
        "frontal faces alone: no fold_0_data.txt",
    ]
    whole = open_source(f"adience:{write_files(adience())}").read()  # beside those
    assert len(whole) == 15
    assert whole.notes == []


def test_official_folds_are_those_of_a_recipe(write_files: Write, hybridface_cache: Path) -> None:
    root = write_files(adience())

    def tested(**folds: object) -> set[str]:
        config = DataConfig(source=f"adience:{root}", size=16, validation=0.3, folds=folds)
        data = prepare_data(config, ["gender"], 0)
        used = np.concatenate(list(data.splits.values()))
        assert sorted(used.tolist()) == list(range(15))
        return {data.keys[row].split("/")[1][0] for row in data.splits["test"].tolist()}

    for number in range(5):
        assert tested(official=True, test=number) == {str(number)}
    assert tested(test=0) != {"0"}  # drawn: albums of any fold
    with pytest.raises(UsageError, match=r"say data\.folds\.count=5"):
        tested(official=True, count=4)
    config = DataConfig(source="drawn:40", size=16, folds={"official": True})
    with pytest.raises(UsageError, match="drawn:40 has no folds of its own"):
        prepare_data(config, ["expression"], 0)
