from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hybridface.data.source import MISSING
from hybridface.data.sources import open_source
from hybridface.errors import DataError
from layouts import lfw_gender

Write = Callable[[dict[str, bytes]], Path]


def test_layout(write_files: Write) -> None:
    root = write_files(lfw_gender())
    source = open_source(f"lfw-gender:{root}")
    rows = source.read()
    assert rows.keys[:3] == [
        "lfw/Al_Gore/Al_Gore_0001.jpg",
        "lfw/Al_Gore/Al_Gore_0002.jpg",
        "lfw/Ann_Lee/Ann_Lee_0001.jpg",
    ]
    assert rows.labels["gender"].names == ("male", "female")
    assert rows.labels["gender"].ids.tolist() == [0, 0, 1, 1] * 3
    assert rows.group.tolist() == np.repeat(range(6), 2).tolist()
    assert rows.folds.tolist() == [0] * 6 + [1] * 6
    assert rows.problems == []
    assert rows.notes == ["0 of 12 pictures are in no list"]
    assert all(isinstance(pixels, np.ndarray) for pixels in source.decode(rows, range(12)))


@pytest.mark.parametrize(
    "inside", ["lfw-deepfunneled", "lfw_funneled", "lfw_home/lfw_funneled", ""]
)
def test_names_of_people_and_other_folders(write_files: Write, inside: str) -> None:
    files = {name.replace("lfw/", f"{inside}/".lstrip("/")): content
             for name, content in lfw_gender().items()}  # fmt: skip
    files["male_names.txt"] = b"Al_Gore\nBo_Li_0001\n\n"
    files["female_names.txt"] = b"Ann_Lee_0002.jpg\nNobody_0001.jpg\n"
    del files["people.txt"]
    rows = open_source(f"lfw-gender:{write_files(files)}").read()
    expected = [0, 0, MISSING, 1, 0, *[MISSING] * 7]
    assert rows.labels["gender"].ids.tolist() == expected
    assert rows.folds is None
    assert rows.notes == [
        "8 of 12 pictures are in no list",
        f"1 listed names have no picture in {inside or 'PATH'}",
    ]


def test_what_is_wrong_is_named(write_files: Write) -> None:
    files = lfw_gender()
    files["female_names.txt"] += b"Al_Gore_0001.jpg\n\xff_0001.jpg\n"
    files["people.txt"] = b"10\n2\nAl_Gore\t2\nAnn_Lee\t2\n"
    rows = open_source(f"lfw-gender:{write_files(files)}").read()
    assert rows.labels["gender"].ids[:2].tolist() == [MISSING, 0]
    assert [problem.where for problem in rows.problems] == [
        "female_names.txt:8",
        "lfw/Al_Gore/Al_Gore_0001.jpg",
    ]
    assert rows.folds.tolist() == [0] * 4 + [MISSING] * 8
    assert "8 pictures are of people who are in no set of people.txt" in rows.notes


def test_what_is_no_lfw_is_explained(write_files: Write) -> None:
    files = lfw_gender()
    del files["female_names.txt"]
    root = write_files(files)
    with pytest.raises(DataError, match=r"found: no female_names\.txt, but lfw/"):
        open_source(f"lfw-gender:{root}").read()
    with pytest.raises(DataError, match="found: Al_Gore_0001"):
        open_source(f"lfw-gender:{root}/lfw/Al_Gore").read()
