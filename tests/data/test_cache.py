from __future__ import annotations

import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import hybridface.data.cache as cache_module
from hybridface.data.cache import CachedPictures, open_cache
from hybridface.data.source import Rows, Source
from hybridface.data.sources import open_source
from hybridface.data.sources.folder import Folder
from hybridface.errors import HybridFaceError

Write = Callable[..., Path]
Finish = Callable[[NDArray[np.uint8]], Any]


@pytest.fixture
def data(tmp_path: Path, write_picture: Write) -> Path:
    """Five good pictures, two of them equal, and a broken one."""
    folder = tmp_path / "data"
    for seed, key in enumerate(("happy/1", "happy/2", "sad/1", "sad/2")):
        write_picture(folder / f"{key}.png", seed, 20)
    write_picture(folder / "sad" / "again.png", 0, 20)
    (folder / "sad" / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the pictures that are decoded, as they are."""
    keys: list[str] = []
    decode = Folder.decode_each

    def counting(source: Folder, rows: Rows, index: Sequence[int], finish: Finish) -> list[Any]:
        keys.extend(rows.keys[row] for row in index)
        return decode(source, rows, index, finish)

    monkeypatch.setattr(Folder, "decode_each", counting)
    return keys


def opened(data: Path, size: int = 16) -> CachedPictures:
    source = open_source(f"folder:{data}")
    return open_cache(source, source.read(), size)


def stamps(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def test_what_is_cached(data: Path, hybridface_cache: Path) -> None:
    cached = opened(data)
    assert cached.images.shape == (6, 16, 16, 3)
    assert isinstance(cached.images, np.memmap)
    assert cached.folder.is_relative_to(hybridface_cache)
    assert cached.decoded.tolist() == [True] * 5 + [False]
    assert [problem.where for problem in cached.problems] == ["sad/broken.png"]
    assert not cached.images[5].any()
    assert cached.images[:5].reshape(5, -1).any(axis=1).all()
    keys = open_source(f"folder:{data}").read().keys
    assert cached.digests[0] == cached.digests[keys.index("sad/again.png")]
    assert len({digest.tobytes() for digest in cached.digests}) == 5


def test_second_open_decodes_nothing(
    data: Path, hybridface_cache: Path, decoded: list[str]
) -> None:
    first = opened(data)
    assert len(decoded) == 6
    second = opened(data)
    assert len(decoded) == 6
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.digests, second.digests)
    assert first.problems == second.problems


def test_changed_content_is_decoded_again(
    data: Path, hybridface_cache: Path, decoded: list[str], write_picture: Write
) -> None:
    first = opened(data)
    write_picture(data / "happy" / "1.png", 99, 20)
    second = opened(data)
    assert len(decoded) == 12
    assert second.folder != first.folder
    assert (second.images[0] != first.images[0]).any()
    np.testing.assert_array_equal(second.images[1:], first.images[1:])


def test_a_touched_file_is_not_decoded_again(
    data: Path, hybridface_cache: Path, decoded: list[str]
) -> None:
    first = opened(data)
    os.utime(data / "happy" / "1.png", (1, 1))
    assert opened(data).folder == first.folder
    assert len(decoded) == 6


def test_another_size_is_another_cache(
    data: Path, hybridface_cache: Path, decoded: list[str]
) -> None:
    assert opened(data, 16).folder != opened(data, 12).folder
    assert len(decoded) == 12
    assert opened(data, 12).images.shape == (6, 12, 12, 3)
    assert len(decoded) == 12


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(byte: int, bit: int) -> Callable[[Path], object]:
    """Return a function that damages one bit of a file; counted from the end where below 0."""

    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[byte] ^= 1 << bit
        path.write_bytes(content)

    return damage


DAMAGES = [
    ("images.npy", flip(8, 6)),  # the length of its head
    ("rows.npz", flip(-126, 0)),  # how the first array is compressed
    ("images.npy", Path.unlink),
    ("images.npy", cut_in_half),
    ("images.npy", lambda path: path.write_bytes(b"")),
    ("images.npy", lambda path: np.save(path, np.zeros((6, 8, 8, 3), dtype=np.uint8))),
    ("rows.npz", Path.unlink),
    ("rows.npz", lambda path: path.write_bytes(b"rubbish")),
    ("rows.npz", lambda path: path.write_bytes(b"")),
    ("rows.npz", cut_in_half),
    ("cache.json", Path.unlink),
    ("cache.json", cut_in_half),
    ("cache.json", lambda path: path.write_text("[]")),
    ("cache.json", lambda path: path.write_bytes(b"\xff\xfe")),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_a_damaged_cache_is_rebuilt(
    data: Path,
    hybridface_cache: Path,
    decoded: list[str],
    name: str,
    damage: Callable[[Path], object],
) -> None:
    first = opened(data)
    expected = first.images.copy()
    damage(first.folder / name)
    second = opened(data)
    assert len(decoded) == 12
    assert second.folder == first.folder
    np.testing.assert_array_equal(second.images, expected)
    opened(data)
    assert len(decoded) == 12


def test_a_killed_build_leaves_nothing_that_is_taken_for_a_cache(
    data: Path, hybridface_cache: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "_put_in_place", killed)
        with pytest.raises(KeyboardInterrupt):
            opened(data)
    assert list((hybridface_cache / "pictures").iterdir()) == []
    assert opened(data).decoded.sum() == 5


def test_pictures_are_not_held_at_full_size(
    tmp_path: Path, hybridface_cache: Path, write_picture: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for number in range(24):  # 1.4 MB each once decoded
        write_picture(tmp_path / "large" / "happy" / f"{number}.png", number, 700)
    tracemalloc.start()
    try:
        assert opened(tmp_path / "large").decoded.all()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * 700 * 700 * 3


def test_what_a_killed_build_left_is_removed_after_a_day(
    data: Path, hybridface_cache: Path
) -> None:
    place = hybridface_cache / "pictures"
    for name in ("old", "written", "new"):
        (place / f".folder-16px-{name}.x").mkdir(parents=True)
        (place / f".folder-16px-{name}.x" / "images.npy").write_bytes(b"half")
    (place / ".note").write_text("no folder")
    digests = hybridface_cache / "digests"
    digests.mkdir()
    for name in ("a.json", ".a.json.0123", ".b.json.4567"):
        (digests / name).write_text("{}")
    yesterday = time.time() - 25 * 3600
    for name in (".folder-16px-old.x/images.npy", ".folder-16px-old.x", ".folder-16px-written.x"):
        os.utime(place / name, (yesterday, yesterday))
    for name in ("a.json", ".a.json.0123"):
        os.utime(digests / name, (yesterday, yesterday))
    cached = opened(data)
    left = {path.name for path in place.iterdir()}
    assert left == {".folder-16px-written.x", ".folder-16px-new.x", ".note", cached.folder.name}
    assert {"a.json", ".b.json.4567"} <= {path.name for path in digests.iterdir()}
    assert not (digests / ".a.json.0123").exists()


def test_two_threads_at_once(
    data: Path, hybridface_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_built = Barrier(2, timeout=20)
    put = cache_module._put_in_place

    def together(building: Path, folder: Path, count: int, size: int) -> None:
        both_built.wait()
        put(building, folder, count, size)

    monkeypatch.setattr(cache_module, "_put_in_place", together)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(opened, [data, data])
    assert one.folder == other.folder
    np.testing.assert_array_equal(one.images, other.images)
    assert [path.name for path in (hybridface_cache / "pictures").iterdir()] == [one.folder.name]


def test_two_processes_at_once(data: Path, hybridface_cache: Path) -> None:
    code = (
        "from hybridface.data.sources import open_source as o; "
        "from hybridface.data.cache import open_cache; "
        f"s = o('folder:{data}'); print(open_cache(s, s.read(), 16).decoded.sum())"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)
        for _ in range(2)
    ]
    assert [process.communicate(timeout=60)[0].strip() for process in running] == [b"5", b"5"]
    assert len(list((hybridface_cache / "pictures").iterdir())) == 1


def test_nothing_is_written_beside_the_pictures(data: Path, hybridface_cache: Path) -> None:
    before = stamps(data)
    opened(data)
    opened(data)
    assert stamps(data) == before


def test_a_cache_folder_that_cannot_be_written_is_named(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HYBRIDFACE_CACHE", str(tmp_path / "file"))
    with pytest.raises(HybridFaceError) as raised:
        opened(data)
    assert str(tmp_path / "file") in str(raised.value)
    assert "cannot be written" in str(raised.value)


def test_a_pictures_folder_that_cannot_be_written_is_named(
    data: Path, hybridface_cache: Path
) -> None:
    hybridface_cache.mkdir()
    (hybridface_cache / "pictures").touch()
    with pytest.raises(HybridFaceError, match="set HYBRIDFACE_CACHE to a folder that can"):
        opened(data)


def test_a_full_disk_is_named_and_leaves_nothing(
    data: Path, hybridface_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(HybridFaceError, match="No space left on device"):
        opened(data)
    assert list((hybridface_cache / "pictures").iterdir()) == []


def test_progress_is_told(
    data: Path, hybridface_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "CHUNK", 4)
    source = open_source(f"folder:{data}")
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        told.append((done, total))

    open_cache(source, source.read(), 16, progress)
    assert told == [(4, 6), (6, 6)]
    open_cache(source, source.read(), 16, progress)
    assert len(told) == 2


def test_kinds_do_not_share_a_cache(data: Path, hybridface_cache: Path, decoded: list[str]) -> None:
    keys = open_source(f"folder:{data}").read().keys
    table = data.parent / "table.csv"
    table.write_text("path,label\n" + "".join(f"{key},x\n" for key in keys))
    other: Source = open_source(f"csv:{table}?root={data}")
    one, two = opened(data), open_cache(other, other.read(), 16)
    assert one.folder != two.folder
    np.testing.assert_array_equal(one.images, two.images)
