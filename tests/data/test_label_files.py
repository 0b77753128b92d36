"""What small label files hold is remembered, and read again where they changed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from hybridface.data.sources import label_files
from hybridface.data.sources.label_files import floats, read_bytes, read_each


@pytest.fixture
def folder(tmp_path: Path, hybridface_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(label_files, "MANY", 3)
    for number in range(5):
        (tmp_path / f"{number}.txt").write_text(f"{number} {number + 0.5}")
    return tmp_path


NAMES = [f"{number}.txt" for number in (3, 0, 4, 1, 2)]
EXPECTED = [[3, 3.5], [0, 0.5], [4, 4.5], [1, 1.5], [2, 2.5]]


class Parse:
    """Reads two numbers, and knows which files it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, path: Path) -> np.ndarray:
        self.asked.append(path.name)
        return floats(read_bytes(path))


def test_files_are_read_once_and_again_when_they_change(folder: Path) -> None:
    first, second = Parse(), Parse()
    values, wrong = read_each(folder, NAMES, first, 2, memory="pairs")
    assert values.tolist() == EXPECTED
    assert wrong == {}
    assert sorted(first.asked) == sorted(NAMES)
    (folder / "4.txt").write_text("7 7")
    os.utime(folder / "1.txt", ns=(1, 1))
    (folder / "0.txt").write_text("x")
    (folder / "2.txt").unlink()
    values, wrong = read_each(folder, NAMES, second, 2, memory="pairs")
    assert sorted(second.asked) == ["0.txt", "1.txt", "2.txt", "4.txt"]
    assert values[[0, 2, 3]].tolist() == [[3, 3.5], [7, 7], [1, 1.5]]
    assert np.isnan(values[[1, 4]]).all()
    assert wrong[1].startswith("holds something else than numbers")
    assert wrong[4] == "is missing"


def test_what_is_wrong_is_found_again(folder: Path) -> None:
    (folder / "0.txt").write_text("x")
    for _ in range(2):
        _, wrong = read_each(folder, NAMES, Parse(), 2, memory="pairs")
        assert list(wrong) == [1]


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 99, None])
def test_a_damaged_memory_is_made_anew(
    folder: Path, hybridface_cache: Path, content: bytes | None
) -> None:
    read_each(folder, NAMES, Parse(), 2, memory="pairs")
    [record] = (hybridface_cache / "labels").iterdir()
    if content is None:
        np.savez(record, stamps=np.zeros(0, np.uint64), values=np.zeros((0, 2)))
    else:
        record.write_bytes(content)
    values, _ = read_each(folder, NAMES, Parse(), 2, memory="pairs")
    assert values.tolist() == EXPECTED


def test_others_are_not_remembered(folder: Path, hybridface_cache: Path) -> None:
    read_each(folder, NAMES, Parse(), 2)
    read_each(folder, NAMES[:2], Parse(), 2, memory="pairs")
    assert not hybridface_cache.exists()
    read_each(folder, NAMES, Parse(), 2, memory="pairs")
    other = Parse()
    read_each(folder, NAMES, other, 2, memory="others")
    assert sorted(other.asked) == sorted(NAMES)
