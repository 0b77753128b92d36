"""What tells two states of a data set apart, and nothing else does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridface.config import DataConfig
from hybridface.data.identity import Identity, changes, identify
from hybridface.data.prepare import prepare_data
from hybridface.data.source import NumericLabels
from hybridface.rotations import ANGLES as PARTS

Write = Callable[..., Path]
BOTH = ["expression", "pose"]


@pytest.fixture
def faces(tmp_path: Path, write_picture: Write, hybridface_cache: Path) -> Path:
    """Return a folder of 24 labelled and one of 5 other pictures."""
    for number in range(24):
        write_picture(tmp_path / "faces" / "ab"[number % 2] / f"{number}.png", number)
    for number in range(5):
        write_picture(tmp_path / "others" / "x" / f"{number}.png", 100 + number)
    return tmp_path / "faces"


def identity(faces: Path, **options: Any) -> Identity:
    config = DataConfig(
        source=f"folder:{faces}",
        size=16,
        unlabelled=(f"folder:{faces.parent / 'others'}?unlabelled=true",),
        **options,
    )
    return identify(prepare_data(config, ["expression"], seed=0))


def test_the_same_data_is_the_same(faces: Path, hybridface_cache: Path) -> None:
    first = identity(faces)
    os.utime(faces / "a" / "0.png", (1, 1))
    shutil.rmtree(hybridface_cache)
    assert changes(first, identity(faces)) == []


def other_picture(faces: Path, write_picture: Write) -> None:
    write_picture(faces / "a" / "0.png", 99)


def other_label(faces: Path, write_picture: Write) -> None:
    (faces / "a" / "0.png").rename(faces / "b" / "0.png")


def other_name_of_a_class(faces: Path, write_picture: Write) -> None:
    (faces / "a").rename(faces / "c")


def one_more(faces: Path, write_picture: Write) -> None:
    write_picture(faces / "a" / "new.png", 99)


def other_unlabelled(faces: Path, write_picture: Write) -> None:
    write_picture(faces.parent / "others" / "x" / "0.png", 99)


CHANGES: list[tuple[Callable[[Path, Write], None], list[str]]] = [
    (other_picture, ["the pictures of folder:{faces} (as many, others)"]),
    (other_label, ["the pictures of folder:{faces} (as many", "the labels 'expression' (as many"]),
    (other_name_of_a_class, ["the labels 'expression' (as many, others)"]),
    (one_more, ["folder:{faces} (24 then, 25 now)", "the labels 'expression' (24 then, 25 now)"]),
    (other_unlabelled, ["the pictures of data.unlabelled folder:{others}?unlabelled=true (as"]),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES)
def test_what_changed_is_said(
    change: Callable[[Path, Write], None],
    expected: list[str],
    faces: Path,
    write_picture: Write,
) -> None:
    before = identity(faces)
    change(faces, write_picture)
    said = changes(before, identity(faces))
    for part in expected:
        wanted = part.format(faces=faces, others=faces.parent / "others")
        assert any(wanted in each for each in said), said
    if change is other_unlabelled:
        assert len(said) == 1


def test_other_rows_for_training_are_said(faces: Path) -> None:
    said = changes(identity(faces), identity(faces, fraction=0.5))
    assert any("the rows of split 'train' (" in each and " then, " in each for each in said)
    assert not any("the pictures of folder" in each for each in said)


def test_parts_that_come_and_go_are_said() -> None:
    assert changes({"a": "3 x"}, {"b": "4 y"}) == ["a (3 then, 0 now)", "b (0 then, 4 now)"]


def test_numbers_are_part_of_it_and_leave_the_rest_alone(hybridface_cache: Path) -> None:
    config = DataConfig(source="drawn:60", size=16)
    alone, both = (identify(prepare_data(config, c, 0)) for c in (["expression"], BOTH))
    assert set(both) - set(alone) == {"the numbers 'pose'"}
    assert {name: both[name] for name in alone} == alone
    data = prepare_data(config, BOTH, 0)
    values = data.numeric["pose"].values.copy()
    values[3, 0] += 1e-5  # as far as machines differ
    assert (
        identify(replace(data, numeric={"pose": NumericLabels(PARTS, values, "degrees")})) == both
    )
    for change in (0.5, np.nan):
        values[3, 0] += change
        other = replace(data, numeric={"pose": NumericLabels(PARTS, values, "degrees")})
        assert changes(both, identify(other)) == ["the numbers 'pose' (as many, others)"]
