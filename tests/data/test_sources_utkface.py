from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hybridface.data.sources import open_source
from hybridface.data.sources.utkface import ETHNICITIES
from hybridface.errors import DataError
from layouts import utkface

Write = Callable[[dict[str, bytes]], Path]


def test_layout(write_files: Write) -> None:
    root = write_files(utkface())
    source = open_source(f"utkface:{root}")
    rows = source.read()
    assert len(rows) == 12
    assert rows.problems == rows.notes == []
    assert {key.endswith(".jpg.chip.jpg") for key in rows.keys} == {True, False}
    for row, key in enumerate(rows.keys):
        age, gender, race, _ = Path(key).name.split("_")
        assert rows.numeric["age"].values[row].tolist() == [float(age)]
        assert rows.labels["gender"].names[rows.labels["gender"].ids[row]] == (
            "female" if gender == "1" else "male"
        )
        assert rows.labels["ethnicity"].ids[row] == int(race)
    assert rows.labels["ethnicity"].names == ETHNICITIES
    assert rows.numeric["age"].unit == "years"
    assert [f"UTKFace/{key}" for key in open_source(f"utkface:{root}/UTKFace").read().keys] == (
        rows.keys
    )


def test_malformed_names_are_counted_and_named(write_files: Write) -> None:
    odd = ("39_1_20170116174525125", "61_3_20170109150557335", "7_2_0_20170109150557335", "x_0_0_1")
    files = utkface() | {f"UTKFace/{name}.jpg.chip.jpg": b"" for name in odd}
    rows = open_source(f"utkface:{write_files(files)}").read()
    assert len(rows) == 12
    [problem] = rows.problems
    assert problem.where == f"UTKFace/{odd[0]}.jpg.chip.jpg"
    assert problem.what.endswith("left out; 4 rows, this is the first")
    assert all(name in rows.notes[0] for name in odd)


def test_in_the_folder_of_the_archive(write_files: Write) -> None:
    files = {f"utkface_aligned_cropped/{name}": content for name, content in utkface().items()}
    rows = open_source(f"utkface:{write_files(files)}").read()
    assert len(rows) == 12
    assert rows.notes == []


def test_the_parts_of_whole_photos_are_read_together(write_files: Write) -> None:
    files = {
        f"part{1 + 2 * (number % 2)}/{name.partition('/')[2]}": content
        for number, (name, content) in enumerate(utkface().items())
    }
    source = open_source(f"utkface:{write_files(files)}")
    rows = source.read()
    assert {name.partition("/")[0] for name in rows.keys} == {"part1", "part3"}
    assert len(rows) == 12
    assert rows.notes == ["not there: part2", "whole photos, which are not cut to the faces"]
    assert all(isinstance(pixels, np.ndarray) for pixels in source.decode(rows, range(12)))


def test_what_is_no_utkface_is_explained(write_files: Write) -> None:
    with pytest.raises(DataError, match="expected: PATH/AGE_GENDER_RACE_DATE"):
        open_source(f"utkface:{write_files({'UTKFace/39_1_2017.jpg': b''})}").read()


@pytest.mark.data
def test_real_utkface(shared_data: Callable[[str, str], Path]) -> None:
    source = open_source(f"utkface:{shared_data('utkface-5000.zip', 'UTKFace')}")
    rows = source.read()
    assert len(rows) == 5001
    assert rows.problems[0].what.endswith("3 rows, this is the first")
    age = rows.numeric["age"].values
    assert 0 < age.min() < 3
    assert age.max() == 116
    assert np.bincount(rows.labels["gender"].ids).min() > 2000
    some = source.decode(rows, range(0, 5001, 250))
    assert {pixels.shape for pixels in some} == {(200, 200, 3)}
