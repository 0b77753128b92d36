from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hybridface.data import fingerprint
from hybridface.data.fingerprint import digest_files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_text(f"content of {name}")
    return folder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read."""
    names: list[str] = []
    digest = fingerprint._digest

    def counting(path: Path) -> str:
        names.append(path.name)
        return digest(path)

    monkeypatch.setattr(fingerprint, "_digest", counting)
    return names


def test_unchanged_files_are_read_once(root: Path, tmp_path: Path, reads: list[str]) -> None:
    memory = tmp_path / "memory"
    first = digest_files(root, ["a", "b", "a"], memory)
    assert sorted(reads) == ["a", "b"]
    assert digest_files(root, ["a", "b", "a"], memory) == first
    assert sorted(reads) == ["a", "b"]
    digest_files(root, ["a", "b", "c"], memory)
    assert sorted(reads) == ["a", "b", "c"]
    assert sorted(path.name for path in root.iterdir()) == ["a", "b", "c"]


def test_a_touched_file_is_read_and_stays_equal(
    root: Path, tmp_path: Path, reads: list[str]
) -> None:
    first = digest_files(root, ["a", "b"], tmp_path / "memory")
    os.utime(root / "a", (1, 1))
    assert digest_files(root, ["a", "b"], tmp_path / "memory") == first
    assert sorted(reads) == ["a", "a", "b"]


def test_content_order_and_names_count(root: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    found = {digest_files(root, names, memory) for names in (["a", "b"], ["b", "a"], ["a"])}
    (root / "b").write_text("other content")
    found.add(digest_files(root, ["a", "b"], memory))
    (root / "b").unlink()
    found.add(digest_files(root, ["a", "b"], memory))
    (root / "b").mkdir()
    assert digest_files(root, ["a", "b"], memory) in found  # a folder counts as absent
    assert len(found) == 5


def test_absent_then_there(root: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    without = digest_files(root, ["a", "new"], memory)
    (root / "new").write_text("x")
    assert digest_files(root, ["a", "new"], memory) != without


def test_what_could_not_be_read_is_tried_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = digest_files(root, ["a", "b"], tmp_path / "other")
    with monkeypatch.context() as failing:
        failing.setattr(fingerprint, "_digest", lambda path: fingerprint.ABSENT)
        assert digest_files(root, ["a", "b"], tmp_path / "memory") != right
    assert digest_files(root, ["a", "b"], tmp_path / "memory") == right


def test_the_same_content_elsewhere_is_equal(root: Path, tmp_path: Path) -> None:
    other = root.rename(tmp_path / "moved")
    moved = digest_files(other, ["a", "b"], tmp_path / "one")
    other.rename(root)
    assert digest_files(root, ["a", "b"], tmp_path / "two") == moved


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"a": 1}', '{"a": ["x"]}', "\udcff"])
def test_damaged_memory_is_made_anew(root: Path, tmp_path: Path, damage: str) -> None:
    memory = tmp_path / "memory"
    first = digest_files(root, ["a", "b"], memory)
    [record] = memory.iterdir()
    record.write_bytes(damage.encode("utf-8", "surrogateescape"))
    assert digest_files(root, ["a", "b"], memory) == first
    assert set(json.loads(record.read_bytes())) == {"a", "b"}


def test_absolute_names_and_names_that_are_not_utf8(root: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")
    (root / odd).write_text("x")
    names = [str(root / "a"), odd]
    first = digest_files(root, names, tmp_path / "memory")
    assert digest_files(root, names, tmp_path / "memory") == first


def test_what_cannot_be_remembered_is_read_again(
    root: Path, tmp_path: Path, reads: list[str]
) -> None:
    (tmp_path / "file").touch()
    once, twice = (digest_files(root, ["a"], tmp_path / "file" / "memory") for _ in range(2))
    assert once == twice == digest_files(root, ["a"], tmp_path / "memory")
    assert reads == ["a"] * 3
