"""Pictures decoded once, kept as memory-mapped uint8, outside the data set's own folder."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface import images
from hybridface.data.source import Pictures, Pixels, Problem, Rows, Source, pixel_digest
from hybridface.errors import HybridFaceError
from hybridface.files import cache_folder, cannot_write, read_arrays, read_json_object

FORMAT = 1
CHUNK = 256
ABANDONED = 24 * 3600.0
# Folders of single files that other modules keep beside the pictures.
KEPT_BESIDE = ("digests", "labels", "looks", "outcomes", "tables")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CachedPictures:
    """The decoded pictures of a data set.

    Attributes:
        images: ``(N, size, size, 3)`` RGB uint8, memory-mapped; rows that did not decode are black.
            Where there is no cache, what decodes them:
            :class:`hybridface.data.decoding.DecodedPictures`.
        decoded: ``(N,)`` bool, whether a row's picture could be decoded.
        digests: ``(N,)`` 16 bytes each, equal where the pictures at full size are equal.
        problems: Pictures that did not decode.
        folder: Where the cache lies.
        fingerprint: What ``source.fingerprint()`` gave: equal for equal content of all pictures.
        note: Why there is no cache; empty where there is one.
    """

    images: Pictures
    decoded: NDArray[np.bool_]
    digests: NDArray[np.bytes_]
    problems: list[Problem]
    folder: Path
    fingerprint: str
    note: str = ""


def locate_cache(source: Source, rows: Rows, size: int) -> tuple[Path, str]:
    """Return the folder that is a data set's cache where there is one, and its fingerprint."""
    place = cache_folder()
    content = source.fingerprint(rows, place / "digests")
    key = hashlib.sha256(f"{FORMAT}\0{source.kind}\0{size}\0{content}".encode()).hexdigest()[:24]
    named = source.kind.replace(":", ".")
    return place / "pictures" / f"{named}-{size}px-{key}", content


def shrink(pixels: Pixels, size: int) -> tuple[Pixels, bytes]:
    """Return the picture that a model sees, ``(size, size, 3)``, and its digest at full size."""
    return images.resize(pixels, size), pixel_digest(pixels)


def open_cache(
    source: Source, rows: Rows, size: int, progress: Progress | None = None
) -> CachedPictures:
    """Open the decoded pictures of a data set, decoding them first where that is still to do.

    The cache is keyed by the content of the files and by ``size``. It is built in a folder of its
    own and renamed when whole, so two processes may build it at once and a killed one leaves
    nothing that would be taken for a cache; what it leaves is removed by the first build a day
    later.

    Args:
        source: The data set.
        rows: What ``source.read()`` gave.
        size: Side of the cached pictures in pixels.
        progress: Called with (done, total) while decoding.

    Raises:
        HybridFaceError: The cache folder cannot be written.
    """
    folder, content = locate_cache(source, rows, size)
    if (cached := _open(folder, len(rows), size, content)) is not None:
        return cached
    building = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder.parent)
        building.mkdir()
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        _build(building, source, rows, size, progress)
        _put_in_place(building, folder, len(rows), size)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    cached = _open(folder, len(rows), size, content)
    if cached is None:
        raise HybridFaceError(f"{folder}: the cache was changed while it was built; try again")
    return cached


def _build(folder: Path, source: Source, rows: Rows, size: int, progress: Progress | None) -> None:
    count = len(rows)
    decoded = np.zeros(count, dtype=bool)
    digests = np.zeros(count, dtype="V16")
    problems: list[Problem] = []
    small = partial(shrink, size=size)

    # Not through a mapping: on a full disk a mapping ends the process (SIGBUS), a write raises.
    with (folder / "images.npy").open("wb") as file:
        about = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)}
        np.lib.format.write_array_header_1_0(file, about)
        for start in range(0, count, CHUNK):
            index = range(start, min(start + CHUNK, count))
            block = np.zeros((len(index), size, size, 3), dtype=np.uint8)
            for row, result in zip(index, source.decode_each(rows, index, small), strict=True):
                if isinstance(result, Problem):
                    problems.append(result)
                    continue
                block[row - start], digest = result
                digests[row] = np.void(digest)
                decoded[row] = True
            file.write(block.data)
            if progress is not None:
                progress(index.stop, count)
        file.flush()
        os.fsync(file.fileno())  # the folder's new name must not be on disk before its content
    np.savez(folder / "rows.npz", decoded=decoded, digests=digests)
    note: dict[str, Any] = {
        "format": FORMAT,
        "count": count,
        "size": size,
        "problems": [[problem.where, problem.what] for problem in problems],
    }
    (folder / "cache.json").write_text(json.dumps(note), encoding="utf-8")


def _remove_abandoned(place: Path) -> None:
    """Remove what killed processes left: hidden folders and files not written to for a day."""
    for folder in place.glob(".*"):
        try:
            last = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
        except OSError:  # another process was first, or it is no folder
            continue
        if time.time() - last > ABANDONED:
            shutil.rmtree(folder, ignore_errors=True)
    for name in KEPT_BESIDE:
        for path in (place.parent / name).glob(".*"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > ABANDONED:
                    path.unlink()


def _put_in_place(building: Path, folder: Path, count: int, size: int) -> None:
    """Rename, unless another process was first; move a damaged cache out of the way."""
    if folder.exists() and _open(folder, count, size) is None:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        building.rename(folder)
    except OSError:
        if _open(folder, count, size) is None:
            raise


def _open(folder: Path, count: int, size: int, fingerprint: str = "") -> CachedPictures | None:
    """Open a cache folder; None where it is not there, not whole or not the one expected."""
    try:
        note = read_json_object(folder / "cache.json")
        images_in = np.lib.format.open_memmap(folder / "images.npy", mode="r")
        problems = [Problem(where, what) for where, what in note["problems"]]
    except Exception:  # numpy raises nearly anything on damaged files
        return None
    rows = read_arrays(folder / "rows.npz", "decoded", "digests")
    if rows is None or any(each.shape != (count,) for each in rows.values()):
        return None
    if images_in.shape != (count, size, size, 3) or images_in.dtype != np.uint8:
        return None
    return CachedPictures(
        images_in, rows["decoded"], rows["digests"], problems, folder, fingerprint
    )
