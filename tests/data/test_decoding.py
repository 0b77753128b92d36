"""What is decoded whenever it is read is what the cache holds; nothing else is kept of it."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hybridface.config import DataConfig
from hybridface.data.batches import Batch, make_loader
from hybridface.data.cache import CachedPictures, open_cache
from hybridface.data.decoding import (
    MOST_WORKERS,
    DecodedPictures,
    PackedNames,
    choose_workers,
    killed_workers_named,
    open_pictures,
)
from hybridface.data.orders import BatchOrder, MixedOrder
from hybridface.data.prepare import PreparedData, prepare_data
from hybridface.data.source import Pixels, Rows, Source, SourceOptions
from hybridface.data.sources import open_source
from hybridface.data.sources.folder import Folder
from hybridface.data.workers import WorkerLoader
from hybridface.errors import DataError, HybridFaceError
from written_faces import write_faces

SIZE = 32
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces(tmp_path_factory.mktemp("faces"), 60)


def uncached(spec: str, workers: int = 0, **options: Any) -> CachedPictures:
    source = open_source(spec)
    return open_pictures(source, source.read(), SIZE, limit_gib=0, workers=workers, **options)


def a_table(faces: Path, folder: Path) -> str:
    """Write the faces into a Parquet file of several row groups."""
    files = sorted(faces.rglob("*.jpg"))
    columns = {
        "image": [path.read_bytes() for path in files],
        "label": [path.parent.name for path in files],
    }
    pq.write_table(pa.table(columns), folder / "faces.parquet", row_group_size=20)
    return f"csv:{folder / 'faces.parquet'}"


def a_challenge(folder: Path) -> str:
    """Write a file in FER2013's layout."""
    greys = np.random.default_rng(0).integers(0, 256, (9, 48 * 48))
    lines = (f"{n % 7},{' '.join(map(str, grey))},Training\n" for n, grey in enumerate(greys))
    (folder / "fer2013.csv").write_text("emotion,pixels,Usage\n" + "".join(lines))
    return f"fer2013:{folder}"


@pytest.mark.parametrize("kind", ["folder", "parquet", "fer2013", "drawn"])
@pytest.mark.parametrize("workers", [0, 2])
def test_every_kind_decodes_to_what_its_cache_holds(
    kind: str, workers: int, faces: Path, tmp_path: Path, hybridface_cache: Path
) -> None:
    specs = {
        "folder": lambda: f"folder:{faces}",
        "parquet": lambda: a_table(faces, tmp_path),
        "fer2013": lambda: a_challenge(tmp_path),
        "drawn": lambda: "drawn:30?pixels=40",
    }
    spec = specs[kind]()
    ours = uncached(spec, workers)
    assert not (hybridface_cache / "pictures").exists()
    assert isinstance(ours.images, DecodedPictures)
    source = open_source(spec)
    theirs = open_cache(source, source.read(), SIZE)
    np.testing.assert_array_equal(ours.decoded, theirs.decoded)
    assert ours.digests.tobytes() == theirs.digests.tobytes()
    assert ours.problems == theirs.problems
    assert ours.fingerprint == theirs.fingerprint
    assert ours.images.shape == theirs.images.shape
    good = np.flatnonzero(theirs.decoded)
    random = np.random.default_rng(1)
    parts = [random.choice(good, 7), good[:0], good[::-1]]  # with repeats, empty, backwards
    ours.images[good[:9]]  # what is open here must not disturb the workers
    for part, pixels in zip(parts, WorkerLoader(ours.images, parts, workers), strict=True):
        np.testing.assert_array_equal(pixels, theirs.images[part])


def test_pictures_go_to_a_process_that_is_not_forked(
    faces: Path, tmp_path: Path, hybridface_cache: Path
) -> None:
    for spec in (f"folder:{faces}", a_table(faces, tmp_path), "drawn:9?pixels=40"):
        opened = uncached(spec)
        good = np.flatnonzero(opened.decoded)[-3:]
        here = opened.images[good]
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(opened.images))[good], here)


def prepared(faces: Path, others: Path | None, **data: Any) -> PreparedData:
    unlabelled = () if others is None else ("rest", f"folder:{others}?unlabelled=true")
    config = DataConfig(
        source=f"folder:{faces}", size=SIZE, fraction=0.6, validation=0.3, unlabelled=unlabelled,
        **data,
    )  # fmt: skip
    return prepare_data(config, ["expression"], 0)


def test_batches_are_those_of_the_cache(
    faces: Path, tmp_path: Path, hybridface_cache: Path
) -> None:
    others = write_faces(tmp_path / "others", 20, seed=1)
    cached = prepared(faces, others)
    decoded = prepared(faces, others, cache_limit_gib=0, workers=2)
    assert (cached.workers, decoded.workers) == (0, 2)
    reports = [data.report() for data in (cached, decoded)]
    said = reports[1].pop("notes")
    assert said[:-1] == reports[0].pop("notes")
    assert "not cached" in said[-1]
    assert reports[0] == reports[1]
    assert [name for name in ("broken.jpg", "cut.jpg") if name in str(reports[1]["problems"])]
    batches = []
    for data in (cached, decoded):
        assert data.unlabelled is not None
        labelled = BatchOrder(len(data.splits["train"]), 8, seed=3)
        loader = make_loader(data, "train", MixedOrder(labelled, len(data.unlabelled), 5))
        batches.append([])
        for epoch in (4, 5):
            loader.sampler.set_epoch(epoch)
            batches[-1] += list(loader)
    assert len(batches[0]) == len(batches[1]) > 4
    for ours, theirs in zip(*batches, strict=True):
        assert_same_batch(ours, theirs)


def assert_same_batch(one: Batch, other: Batch) -> None:
    assert torch.equal(one.images, other.images)
    assert one.images.stride() == other.images.stride()
    assert one.labelled == other.labelled
    assert one.labels.keys() == other.labels.keys()
    assert all(torch.equal(value, other.labels[name]) for name, value in one.labels.items())


def test_refused_problems_are_the_same(faces: Path, hybridface_cache: Path) -> None:
    said = []
    for limit in (0, 1):
        with pytest.raises(DataError, match=r"broken\.jpg") as caught:
            prepared(faces, None, cache_limit_gib=limit, problems="refuse")
        said.append(str(caught.value))
    assert said[0] == said[1]


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the pictures that are decoded in this process, as they are."""
    keys: list[str] = []
    decode = Folder.decode_each

    def counting(source: Folder, rows: Rows, index: Sequence[int], finish: Any) -> list[Any]:
        keys.extend(rows.keys[row] for row in index)
        return decode(source, rows, index, finish)

    monkeypatch.setattr(Folder, "decode_each", counting)
    return keys


def test_a_data_set_is_looked_through_once(
    faces: Path, tmp_path: Path, hybridface_cache: Path, looked_at: list[str]
) -> None:
    data = Path(shutil.copytree(faces, tmp_path / "data"))
    told: list[tuple[int, int]] = []
    first = uncached(f"folder:{data}", progress=lambda *each: told.append(each))
    count = len(first.decoded)
    assert told == [(count, count)]
    assert len(looked_at) == count
    again = uncached(f"folder:{data}")
    assert len(looked_at) == count
    assert again.problems == first.problems
    assert again.digests.tobytes() == first.digests.tobytes()
    kept = list((hybridface_cache / "outcomes").iterdir())
    assert len(kept) == 1
    assert kept[0].stat().st_size < 50 * count
    for damaged in (b"", kept[0].read_bytes()[:300], b"rubbish"):
        kept[0].write_bytes(damaged)
        assert uncached(f"folder:{data}").problems == first.problems
    assert len(looked_at) == 4 * count
    shutil.copy(data / first.problems[0].where, next(data.rglob("0*.jpg")))
    assert len(uncached(f"folder:{data}").problems) == len(first.problems) + 1
    assert len(looked_at) == 5 * count


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda path, _: path.unlink(), "cannot be read"),
        (lambda path, _: path.write_bytes(path.read_bytes()[:400]), "cannot be decoded"),
        (lambda path, other: shutil.copy(other, path), "another picture than before"),
    ],
)
def test_a_picture_that_changes_later_is_named(
    workers: int,
    change: Callable[[Path, Path], object],
    what: str,
    faces: Path,
    tmp_path: Path,
    hybridface_cache: Path,
) -> None:
    data = Path(shutil.copytree(faces, tmp_path / "data"))
    opened = uncached(f"folder:{data}")
    good = np.flatnonzero(opened.decoded)
    key = open_source(f"folder:{data}").read().keys[good[10]]
    change(data / key, faces / open_source(f"folder:{data}").read().keys[good[11]])
    loader = WorkerLoader(opened.images, [good[:10], good[10:20], good[20:]], workers)
    read = iter(loader)
    assert len(next(read)) == 10
    with pytest.raises(DataError, match=what) as caught:
        next(read)
    assert key in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_worker_is_named(
    number: signal.Signals, faces: Path, hybridface_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        assert multiprocessing.parent_process() is not None
        os.kill(os.getpid(), number)

    monkeypatch.setattr(Folder, "decode_each", kill)
    named = pytest.raises(HybridFaceError, match=r"ended unexpectedly .*killed by signal.*workers")
    with named, killed_workers_named():
        uncached(f"folder:{faces}", workers=2)
    assert not multiprocessing.active_children()
    assert not (hybridface_cache / "outcomes").exists()


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(RuntimeError, match=r"^some other$"), killed_workers_named():
        raise RuntimeError("some other")


@pytest.mark.parametrize(("free", "is_cached"), [(SIZE**2 * 3 * 10, False), (2**40, True)])
def test_the_disk_limits_the_cache(
    free: int, is_cached: bool, faces: Path, hybridface_cache: Path, monkeypatch: Any, caplog: Any
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**41, 0, free))
    source = open_source(f"folder:{faces}")
    rows = source.read()
    opened = open_pictures(source, rows, SIZE)
    assert isinstance(opened.images, np.memmap) == is_cached == (not opened.note)
    assert (f"GiB that are free in {hybridface_cache}" in caplog.text) == (not is_cached)
    if not is_cached:  # one that is there already needs nothing more
        open_cache(source, rows, SIZE)
        assert isinstance(open_pictures(source, rows, SIZE).images, np.memmap)


def test_the_limit_counts_the_whole_cache(faces: Path, hybridface_cache: Path) -> None:
    source = open_source(f"folder:{faces}")
    rows = source.read()
    needed = len(rows) * SIZE**2 * 3 / 2**30
    assert "more than the limit" in open_pictures(source, rows, SIZE, limit_gib=needed * 0.99).note
    assert open_pictures(source, rows, SIZE, limit_gib=needed).note == ""
    # One that is there is used, unless none is to be.
    assert open_pictures(source, rows, SIZE, limit_gib=needed * 0.99).note == ""
    assert "more than the limit" in open_pictures(source, rows, SIZE, limit_gib=0).note


@given(st.none() | st.integers(0, 256), st.integers(1, 300))
def test_workers_are_chosen_from_the_cores(asked: int | None, processes: int) -> None:
    chosen = choose_workers(asked, processes)
    cores = os.cpu_count() or 1
    assert chosen == asked if asked is not None else 1 <= chosen <= min(MOST_WORKERS, cores)


@given(st.lists(st.text() | st.text(st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF))))
def test_packed_names_are_the_names(names: list[str]) -> None:
    packed = PackedNames(names)
    assert list(packed) == names
    assert packed[1:] == names[1:]
    assert not names or packed[-1] == names[-1]


class Many(Source):
    """Tiny pictures of which only the names are many."""

    kind = "many"
    layout = "PATH is anything"

    def read(self) -> Rows:
        names = [f"a/folder/of/some/length/{number:09d}.png" for number in range(100_000)]
        return Rows(names, np.full(len(names), ""), {})

    def decode_each(self, rows: Rows, index: Sequence[int], finish: Any) -> list[Any]:
        side = np.zeros((4, 4, 3), dtype=np.uint8)
        return [finish(side + len(rows.keys[row]) % 2) for row in index]


class Measured:
    """Reads pictures and returns how much memory the process has to itself."""

    def __init__(self, pictures: DecodedPictures) -> None:
        self.pictures = pictures

    def __getitem__(self, index: NDArray[np.int64]) -> int:
        self.pictures[index]
        lines = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_s_own_memory_does_not_grow_with_the_data() -> None:
    source = Many("", SourceOptions())
    rows = source.read()
    digest = source.decode_each(rows, [0], _digest)[0]
    pictures = DecodedPictures(source, rows, 4, np.full(len(rows), np.void(digest)))
    kib = list(WorkerLoader(Measured(pictures), np.arange(100_000).reshape(50, -1), 1))
    assert kib[-1] - kib[5] < 2_000


def _digest(pixels: Pixels) -> bytes:
    from hybridface.data.source import pixel_digest

    return pixel_digest(pixels)


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    assert not multiprocessing.active_children()
