"""Pictures of data sets too large for the cache: looked through once, decoded whenever read."""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from hybridface.data.cache import CHUNK, CachedPictures, Progress, locate_cache, open_cache, shrink
from hybridface.data.kept import keep, recall
from hybridface.data.source import Pictures, Pixels, Problem, Rows, Source, pixel_digest
from hybridface.data.splits import Index
from hybridface.errors import DataError, HybridFaceError
from hybridface.files import CACHE_LIMIT_GIB, cache_folder

FORMAT = 1
GIB = 2**30
MOST_WORKERS = 16

Found = list[bytes | Problem]


class PackedNames(Sequence[str]):
    """Many names in one array.

    Workers share the memory of the process that started them only as far as nothing writes to
    it, and Python writes to every object that it looks at: a list of names would be copied into
    each worker, name by name.
    """

    def __init__(self, names: Sequence[str]) -> None:
        encoded = [name.encode("utf-8", "surrogatepass") for name in names]
        self._bytes = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        self._ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        number = range(len(self))[place]
        name = self._bytes[self._ends[number] : self._ends[number + 1]]
        return name.tobytes().decode("utf-8", "surrogatepass")


class DecodedPictures:
    """Pictures that are decoded each time they are read, as the cache decodes them once.

    Args:
        source: The data set.
        rows: What ``source.read()`` gave.
        size: Side of the pictures in pixels.
        digests: ``(N,)`` 16 bytes each, of the pictures when they were looked through.
    """

    def __init__(self, source: Source, rows: Rows, size: int, digests: NDArray[np.bytes_]) -> None:
        self.source = source
        self.rows = replace(rows, keys=PackedNames(rows.keys))
        self.size = size
        self.digests = digests

    @property
    def shape(self) -> tuple[int, ...]:
        """Return ``(N, size, size, 3)``, as the array of a cache has it."""
        return (len(self.rows), self.size, self.size, 3)

    def __getitem__(self, index: Index) -> Pixels:
        """Decode some pictures, ``(B, size, size, 3)`` RGB uint8.

        Raises:
            DataError: One of them is no longer what it was when the data set was looked through.
                It is named, and never skipped: other pictures in its place would be another run.
        """
        pictures = np.empty((len(index), *self.shape[1:]), dtype=np.uint8)
        order = np.argsort(index, kind="stable")  # tables are read in order, neighbours at once
        rows = index[order].tolist()
        made = self.source.decode_each(self.rows, rows, partial(shrink, size=self.size))
        for place, row, result in zip(order, rows, made, strict=True):
            if isinstance(result, Problem):
                raise self._changed(row, result.what)
            pictures[place], digest = result
            if digest != self.digests[row].tobytes():
                raise self._changed(row, "another picture than before")
        return pictures

    def _changed(self, row: int, what: str) -> DataError:
        named = Problem(self.rows.keys[row], what)
        return DataError(
            f"{self.source.kind}:{self.source.path}: {named.where}: {named.what}; it was a good "
            "picture when the data set was looked through, and without a cache it is read in "
            "every epoch. Put it back as it was and go on by --resume, or start a run anew"
        )


def open_pictures(
    source: Source,
    rows: Rows,
    size: int,
    progress: Progress | None = None,
    *,
    limit_gib: float = CACHE_LIMIT_GIB,
    workers: int = 0,
) -> CachedPictures:
    """Open the pictures of a data set: from the cache, or to be decoded where it is too large.

    What is to be decoded is looked through first, unless that was done before: which pictures can
    be decoded decides labels, splits and orders. Of that a small file is kept in the cache folder.

    Args:
        source: The data set.
        rows: What ``source.read()`` gave.
        size: Side of the pictures in pixels.
        progress: Called with (done, total) while pictures are decoded.
        limit_gib: The largest cache allowed, in GiB.
        workers: How many processes look through a data set that is not cached.

    Raises:
        HybridFaceError: The cache folder cannot be written, or a worker ended.
    """
    why = _why_not_cached(source, rows, size, limit_gib)
    if not why:
        return open_cache(source, rows, size, progress)
    logging.getLogger(__name__).warning(why)
    folder, fingerprint = locate_cache(source, rows, size)
    kept = cache_folder() / "outcomes" / f"{folder.name}.npz"
    outcome = _recall(kept, len(rows))
    if outcome is None:
        outcome = _outcome(_look_through(source, rows, workers, progress))
        with suppress(HybridFaceError):  # on a full disk it is looked through again next time
            keep(kept, FORMAT, {"decoded": outcome[0], "digests": outcome[1]}, outcome[2])
    decoded, digests, problems = outcome
    pictures = DecodedPictures(source, rows, size, digests)
    return CachedPictures(pictures, decoded, digests, problems, kept.parent, fingerprint, why)


def choose_workers(asked: int | None, processes: int = 1) -> int:
    """Return how many workers decode for one process; as many as it has cores to spare.

    Args:
        asked: What the recipe says; null where it leaves the choice.
        processes: How many processes train on this machine.
    """
    if asked is not None:
        return asked
    cores = os.cpu_count() or 1
    if sys.platform == "linux":
        cores = len(os.sched_getaffinity(0))
    return min(MOST_WORKERS, max(1, cores // processes - 1))


def needed_workers(workers: int, *pictures: Pictures) -> int:
    """Return ``workers`` where some of the pictures are to be decoded, else 0."""
    return workers if any(isinstance(each, DecodedPictures) for each in pictures) else 0


def _why_not_cached(source: Source, rows: Rows, size: int, limit_gib: float) -> str:
    """Say why a data set is not cached; empty where it is."""
    needed = len(rows) * size * size * 3
    if needed > limit_gib * GIB:
        too_large = f"more than the limit of {limit_gib:g} GiB"
    else:
        free = _free_bytes(cache_folder())
        if needed <= free:
            return ""
        too_large = f"more than the {free / GIB:.3g} GiB that are free in {cache_folder()}"
    if limit_gib and locate_cache(source, rows, size)[0].exists():  # last, as it costs a look
        return ""
    return (
        f"{source.kind}:{source.path}: not cached, as {len(rows)} pictures of {size} px need "
        f"{needed / GIB:.3g} GiB, {too_large}; they are decoded each time they are read"
    )


def _free_bytes(place: Path) -> float:
    """Return how much room there is for a folder, which need not be there yet."""
    try:
        there = next(path for path in (place, *place.absolute().parents) if path.exists())
        return shutil.disk_usage(there).free
    except OSError:  # whoever writes there says what is wrong with it
        return math.inf


@contextmanager
def killed_workers_named() -> Iterator[None]:
    """Say in words that a worker process was killed: torch notices wherever the process is.

    Raises:
        HybridFaceError: In place of torch's own error.
    """
    try:
        yield
    except RuntimeError as error:
        said = [str(each) for each in (error.__cause__, error)]
        named = [each for each in said if each.startswith("DataLoader worker (pid")]
        if not named:
            raise
        reason = " ".join(named[0].split()).split(". ")[0].rstrip(".")
        raise HybridFaceError(
            f"a process that decodes pictures ended unexpectedly ({reason}). Where memory, or the "
            "shared memory in /dev/shm, is short, allow fewer of them by data.workers; a run goes "
            "on where it was by --resume"
        ) from error


class _FirstLook:
    """What is found when some pictures are decoded: a digest of each, or what is wrong with it."""

    def __init__(self, source: Source, rows: Rows) -> None:
        self.source = source
        self.rows = replace(rows, keys=PackedNames(rows.keys))

    def __getitem__(self, index: range) -> Found:
        return self.source.decode_each(self.rows, index, pixel_digest)


def _look_through(source: Source, rows: Rows, workers: int, progress: Progress | None) -> Found:
    from hybridface.data.workers import WorkerLoader

    count = len(rows)
    parts = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
    found: Found = []
    for part in WorkerLoader(_FirstLook(source, rows), parts, min(workers, len(parts))):
        found += part
        if progress is not None:
            progress(len(found), count)
    return found


def _outcome(found: Found) -> tuple[NDArray[np.bool_], NDArray[np.bytes_], list[Problem]]:
    """Return what a cache would know: which rows decode, their digests, the problems."""
    problems = [each for each in found if isinstance(each, Problem)]
    decoded = np.array([not isinstance(each, Problem) for each in found], dtype=bool)
    nothing = bytes(16)
    digests = np.array([nothing if isinstance(d, Problem) else d for d in found], dtype="V16")
    return decoded, digests, problems


def _recall(
    file: Path, count: int
) -> tuple[NDArray[np.bool_], NDArray[np.bytes_], list[Problem]] | None:
    """Read an outcome; None where it is not there, damaged or not the one expected."""
    kept = recall(file, FORMAT, "decoded", "digests")
    if kept is None or any(each.shape != (count,) for each in kept.arrays.values()):
        return None
    return kept.arrays["decoded"], kept.arrays["digests"], kept.problems
