"""Label files, one a picture, of a few numbers each; and finding what lies where. No kind."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybridface import images
from hybridface.data.source import Source, describe_folder, in_threads, is_file, is_folder
from hybridface.errors import DataError, HybridFaceError
from hybridface.files import cache_folder, read_arrays, stamp, write_arrays

Numbers = NDArray[np.float64]
MANY = 4000  # files, from which on it is worth while to remember
LARGEST = 10_000_000  # bytes; those of the known data sets have under 100,000


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, in order, without hidden ones; none where it cannot be read."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208
    except (OSError, ValueError):
        return []


def pictures_in(folder: Path) -> list[str]:
    """Return those of the :func:`names_in` a folder that are pictures' by their suffix."""
    return [name for name in names_in(folder) if Path(name).suffix.lower() in images.SUFFIXES]


def not_there(names: Sequence[str]) -> list[str]:
    """Return a note that names what a data set lacks; none where it lacks nothing."""
    return [f"not there: {', '.join(names)}"] if names else []


def first_folder(source: Source, inside: Iterable[str], wanted: Callable[[str], object]) -> str:
    """Return the first of some folders below a root that holds something with a wanted name.

    Args:
        source: Whose root it is.
        inside: Where to look, relative to the root; ``""`` is the root itself.
        wanted: Says of a name whether it is one.

    Raises:
        DataError: None of the folders has such a name in it.
    """
    for place in inside:
        folder = source.root / place
        if is_folder(folder) and any(wanted(name) for name in names_in(folder)):
            return place
    raise source.refuse(describe_folder(source.root))


def find_file(source: Source, name: str, inside: Iterable[str]) -> Path | None:
    """Return the first file of a name in some folders below a root, or None."""
    paths = (source.root / place / name for place in inside)
    return next((path for path in paths if is_file(path)), None)


def find_folder(root: Path, inside: Iterable[str]) -> str | None:
    """Return the first of some places below a root that is a folder, or None."""
    return next((place for place in inside if is_folder(root / place)), None)


def key(*parts: str) -> str:
    """Join folders and a name to the key of a row; an empty part is none."""
    return "/".join(part for part in parts if part)


def read_bytes(path: Path) -> bytes:
    """Read a small file.

    Raises:
        DataError: It cannot be read, is no file, or is no small one; does not name it.
    """
    try:
        if not is_file(path):  # a pipe would wait for ever
            raise DataError("is missing" if not os.path.lexists(path) else "is not a file")
        if (size := path.stat().st_size) > LARGEST:
            raise DataError(f"has {size} bytes, which is over {LARGEST}")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read ({getattr(error, 'strerror', None) or error})") from error


def read_lines(path: Path) -> list[str]:
    """Read a text file's lines without outer space; bytes that are not UTF-8 become U+FFFD.

    Raises:
        DataError: It cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); expected a text file") from error
    return [line.strip() for line in text.splitlines()]


def floats(text: bytes) -> Numbers:
    """Return the numbers that a text holds, with white space between them.

    Raises:
        DataError: Something else stands there; does not name the file.
    """
    try:
        return np.array([float(word) for word in text.split()])
    except ValueError as error:
        raise DataError(f"holds something else than numbers ({str(error)[:60]})") from error


def read_each(
    root: Path,
    names: Sequence[str],
    parse: Callable[[Path], Numbers | list[float]],
    width: int,
    memory: str = "",
) -> tuple[Numbers, dict[int, str]]:
    """Read a few numbers from each of many files.

    Reading 100,000 files takes minutes. Where there are many, what good ones held is remembered in
    the cache folder, and only those that changed in size or time are read again.

    Args:
        root: The folder that ``names`` are relative to.
        names: The files.
        parse: Returns the ``width`` numbers of a file, or raises a DataError that says what is
            wrong with it, without its name. Called from several threads.
        width: How many numbers there are.
        memory: A name for what ``parse`` makes of a file, another one when that changes; nothing
            is remembered without one.

    Returns:
        ``(N, width)`` numbers, NaN for a file that cannot be used; and what is wrong with those,
        by their place.
    """
    remember = bool(memory) and len(names) >= MANY
    decides = f"{memory}\0{width}\0{root.resolve()}".encode("utf-8", "surrogateescape")
    record = cache_folder() / "labels" / f"{hashlib.sha256(decides).hexdigest()[:24]}.npz"
    stamps = _stamps(root, names) if remember else None
    values = (
        np.full((len(names), width), np.nan) if stamps is None else (_recall(record, stamps, width))
    )
    stale = np.flatnonzero(np.isnan(values).all(axis=1))
    wrong: dict[int, str] = {}

    def one(place: int) -> None:
        try:
            values[place] = parse(root / names[place])
        except DataError as error:
            wrong[place] = str(error)

    in_threads(one, stale.tolist())
    if stamps is not None and len(stale) > len(wrong):
        with suppress(HybridFaceError):  # read-only or full: they are read again next time
            write_arrays(record, {"stamps": stamps, "values": values})
    return values, dict(sorted(wrong.items()))


def _stamps(root: Path, names: Sequence[str]) -> NDArray[np.uint64]:
    """Return ``(N,)`` digests of the names, sizes and times of files."""

    def one(name: str) -> int:
        text = f"{name}\0{stamp(root / name)}".encode("utf-8", "surrogateescape")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())

    return np.array(in_threads(one, names), dtype=np.uint64)


def _recall(record: Path, stamps: NDArray[np.uint64], width: int) -> Numbers:
    """Return what is remembered, ``(N, width)``; NaN for a file that is not."""
    values = np.full((len(stamps), width), np.nan)
    known = read_arrays(record, "stamps", "values")
    if known is None:  # everything is read again
        return values
    before, held = known["stamps"], known["values"]
    if before.dtype != np.uint64 or held.shape != (len(before), width) or not len(before):
        return values
    order = np.argsort(before)
    place = order[np.searchsorted(before, stamps, sorter=order).clip(max=len(before) - 1)]
    same = before[place] == stamps
    values[same] = held[place[same]]
    return values
