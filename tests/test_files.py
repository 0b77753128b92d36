"""Whole files or none, and errors that say how much room there is and what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridface.data.sources import open_source
from hybridface.errors import DataError, HybridFaceError
from hybridface.files import (
    at_home,
    read_arrays,
    read_json,
    read_json_lines,
    read_json_object,
    remove_unfinished,
    write_arrays,
    write_atomically,
)


def refuse_writes(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the system refuse to write what is left of a file, after a part of it."""
    go = os.fdopen

    def fdopen(handle: int, *arguments: Any) -> Any:
        file = go(handle, *arguments)

        class Refusing:
            def __enter__(self) -> Refusing:
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def write(self, data: bytes) -> None:
                file.write(data[:3])
                raise OSError(number, os.strerror(number))

        return Refusing()

    monkeypatch.setattr(os, "fdopen", fdopen)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_keeps_what_was_there(
    number: int, cached: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRIDFACE_CACHE", str(tmp_path if cached else tmp_path / "elsewhere"))
    path = tmp_path / "rows.json"
    write_atomically(path, "old")
    refuse_writes(monkeypatch, number)
    with pytest.raises(HybridFaceError) as caught:
        write_atomically(path, "something new")
    said = str(caught.value)
    assert said.startswith(f"{path}: cannot be written ({os.strerror(number)}; ")
    assert " MB are free); make room" in said and "--resume" in said
    assert ("HYBRIDFACE_CACHE" in said) == cached
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["rows.json"]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_what_may_not_be_written_is_named(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRIDFACE_CACHE", str(tmp_path / "cache"))
    refuse_writes(monkeypatch, number)
    why = os.strerror(number)
    with pytest.raises(HybridFaceError, match=rf"\({why}\); set HYBRIDFACE_CACHE to a folder"):
        write_atomically(tmp_path / "cache" / "a.npz", b"new")
    with pytest.raises(HybridFaceError, match=rf"a\.npz: .*\({why}\); name another place"):
        write_atomically(tmp_path / "run" / "a.npz", b"new")


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_says_who_may_read(mask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "page.html", "faces")
    finally:
        os.umask(before)
    assert (tmp_path / "page.html").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("name", [".", "..", "/", "there"])
def test_a_folder_is_not_replaced(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    with pytest.raises(HybridFaceError, match="cannot be written"):
        write_atomically(Path(name), "faces")
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_arrays_come_back_and_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_arrays(path, {"x": np.arange(5), "y": np.array("text")})
    with np.load(path) as content:
        assert content["x"].tolist() == list(range(5))
        assert str(content["y"]) == "text"
    with pytest.raises(ValueError, match="arrays of objects are not written: x"):
        write_arrays(path, {"x": np.array([{}], dtype=object)})
    with np.load(path) as content:
        assert set(content) == {"x", "y"}


def test_any_damaged_bit_leaves_the_arrays_or_none(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_arrays(path, {"x": np.arange(5)})
    whole = path.read_bytes()
    none = 0
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        found = read_arrays(path, "x")
        none += found is None
        assert found is None or found["x"].tolist() == list(range(5))
    assert none > len(whole)
    path.write_bytes(whole)
    assert read_arrays(path, "x") is not None
    assert read_arrays(path, "x", "y") is None
    np.save(path.open("wb"), np.arange(5))
    assert read_arrays(path, "x") is None
    assert read_arrays(tmp_path / "absent.npz", "x") is None


def test_a_home_that_nobody_has_is_left_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert at_home("~/data") == Path("/home/me/data")
    assert at_home(Path("~nobody-at-all/data")) == Path("~nobody-at-all/data")
    source = open_source("csv:~nobody-at-all/t.csv?root=~nobody-at-all/x")
    with pytest.raises(DataError, match="does not exist"):
        source.read()


def test_only_what_was_half_written_is_removed(tmp_path: Path) -> None:
    for name in (".a.json.k3jd8s", ".a.json.x", "a.json", ".b.json.x", ".lock", ".a.json"):
        (tmp_path / name).touch()
    remove_unfinished([tmp_path / "a.json"])
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"a.json", ".b.json.x", ".lock", ".a.json"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, r"a\.json: cannot be read \(No such file or directory\)"),
        (b"", r"a\.json: damaged \(no JSON: Expecting value: line 1 column 1"),
        (b'{"a": 1,\n', r"a\.json: damaged \(no JSON: .*line 2 column 1"),
        (b"\xff{}", r"a\.json: damaged \(no UTF-8: "),
        (b"[" * 100_000, r"a\.json: damaged \(no JSON: "),
    ],
)
def test_json_that_cannot_be_read_is_named(
    content: bytes | None, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    for read in (read_json, read_json_object):
        with pytest.raises(DataError, match=said):
            read(path)


def test_json_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('["\u00e9"]', encoding="utf-8")
    assert read_json(path) == ["\u00e9"]
    with pytest.raises(DataError, match=r"a\.json: damaged \(expected a JSON object, found list"):
        read_json_object(path)


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n[2]\n')
    assert read_json_lines(path) == [{"a": 1}, [2]]
    path.write_text('{"a": 1}\n{"a"')
    with pytest.raises(DataError, match=r"a\.jsonl: line 2: damaged \(no JSON: "):
        read_json_lines(path)
