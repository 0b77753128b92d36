"""What a data set looks like to the rest of the package: rows of pictures with labels."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from hybridface import images
from hybridface.data.fingerprint import digest_files
from hybridface.errors import DataError
from hybridface.files import at_home

MISSING = -1
SPLITS = ("train", "val", "test")
MOST_THREADS = 16
Given = TypeVar("Given")
Made = TypeVar("Made")
Pixels = NDArray[np.uint8]


class Pictures(Protocol):
    """Pictures of one size that are read by row, wherever they come from."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return ``(N, size, size, 3)``."""

    def __getitem__(self, index: NDArray[np.int64], /) -> Pixels:
        """Return some of them, ``(B, size, size, 3)`` RGB uint8."""


def as_text(name: str) -> str:
    """Return a file's name as UTF-8 can hold it: names need not be UTF-8, reports are."""
    return name.encode("utf-8", "replace").decode()


@dataclass(frozen=True)
class Problem:
    """Something in a data set that cannot be used.

    Attributes:
        where: The file, row or key, relative to the data set.
        what: What is wrong with it.
    """

    where: str
    what: str

    def __post_init__(self) -> None:
        for name in ("where", "what"):
            object.__setattr__(self, name, as_text(getattr(self, name)))


@dataclass(frozen=True)
class Labels:
    """One column of class labels.

    Attributes:
        names: Class names in the order of the ids.
        ids: ``(N,)`` int64 class ids; :data:`MISSING` where a row has no such label.
        soft: ``(N, K)`` float32 class probabilities where the data set has votes, or None.
    """

    names: tuple[str, ...]
    ids: NDArray[np.int64]
    soft: NDArray[np.float32] | None = None

    def known(self) -> NDArray[np.bool_]:
        """Mark the rows that have a class or, where the data has votes, a share of some class."""
        known: NDArray[np.bool_] = self.ids != MISSING
        return known if self.soft is None else known | (self.soft.sum(1) > 0)


@dataclass(frozen=True)
class NumericLabels:
    """One column of labels that are numbers, such as an age or the angles of a head.

    A column ``pose`` has the parts ``yaw``, ``pitch`` and ``roll``, in degrees, with the signs and
    the order of :mod:`hybridface.rotations`: positive yaw turns the nose to the right of the
    picture, positive pitch turns it up, positive roll tilts the top of the head to the right. Each
    source brings its own angles to these.

    Attributes:
        names: What the parts are called, K names.
        values: ``(N, K)`` float32; NaN where a row has no such number.
        unit: What they are counted in, such as ``degrees`` or ``years``.
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]
    unit: str = ""

    def known(self) -> NDArray[np.bool_]:
        """Mark the rows that have at least one of the numbers."""
        known: NDArray[np.bool_] = np.any(np.isfinite(self.values), axis=1)
        return known


@dataclass(frozen=True)
class Rows:
    """The rows of a data set, before any picture is decoded.

    Attributes:
        keys: Name of each picture: its path relative to the root, or a row of a table.
        split: ``(N,)`` str, each of ``train``, ``val``, ``test`` or ``""`` (the layout says none).
        labels: Columns of class labels by name, as in ``expression``.
        numeric: Columns of numbers by name, as in ``pose``; no name stands in both.
        boxes: ``(N, 4)`` float32, the left, top, right and bottom of the face in pixels of the
            upright picture, which is cut to it; parts that lie outside the picture are filled
            with its nearest pixels. NaN for a row, or None for all, that is a face crop already.
        group: ``(N,)`` int64 id of the person (or clip) where the data set knows it, else None. A
            row that is given :data:`MISSING` counts as a person of its own.
        grouped_by: What the pictures of a group share: their ``person`` or, where no person is
            known, what may show one, such as ``block of numbers``.
        folds: ``(N,)`` int64 number of the fold from 0 that the data set's own protocol puts a row
            in, :data:`MISSING` for a row in none; None where it has no such protocol. Recipes take
            them by ``data.folds.official``.
        problems: What was found and could not be used. One about a row that is kept, such as an
            unknown label, is named by the row's key.
        notes: What a reader of the run's report should know, such as which labels were taken.
    """

    keys: Sequence[str]
    split: NDArray[np.str_]
    labels: dict[str, Labels]
    group: NDArray[np.int64] | None = None
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    numeric: dict[str, NumericLabels] = field(default_factory=dict)
    boxes: NDArray[np.float32] | None = None
    folds: NDArray[np.int64] | None = None
    grouped_by: str = "person"

    def __post_init__(self) -> None:
        """Give each row whose person is missing an id of its own."""
        if self.group is not None and (alone := self.group == MISSING).any():
            group = self.group.copy()
            group[alone] = group.max() + 1 + np.arange(alone.sum())
            object.__setattr__(self, "group", group)

    def __len__(self) -> int:
        return len(self.keys)


class SourceOptions(BaseModel):
    """Options of a kind, given behind the path as ``KIND:PATH?key=value&key=value``."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(ABC):
    """Reads one data set's own layout. A kind is one subclass in ``data/sources``.

    Attributes:
        kind: The name in ``KIND:PATH``. A class that is named as ``pkg.module:Class`` need not
            say one; :func:`hybridface.data.sources.open_source` calls it by that name.
        layout: What must lie on disk, for ``hybridface data list`` and for errors.
    """

    kind: str
    layout: ClassVar[str]
    Options: ClassVar[type[SourceOptions]] = SourceOptions

    def __init__(self, path: str, options: SourceOptions) -> None:
        self.path = path
        self.root = at_home(path)
        self.options = options

    @abstractmethod
    def read(self) -> Rows:
        """Read the layout into rows; pictures stay undecoded.

        Raises:
            DataError: The layout is not there; says what was expected and what was found.
        """

    def fingerprint(self, rows: Rows, memory: Path) -> str:
        """Return a digest of the content of every picture, in order.

        Args:
            rows: What :meth:`read` gave.
            memory: A folder in which digests of unchanged files may be remembered.
        """
        content = digest_files(self.root, rows.keys, memory)
        if rows.boxes is None:
            return content
        return hashlib.sha256(content.encode() + rows.boxes.tobytes()).hexdigest()

    def decode(self, rows: Rows, index: Sequence[int]) -> list[Pixels | Problem]:
        """Decode some pictures, all held at full size; :meth:`decode_each` is for many.

        Args:
            rows: What :meth:`read` gave.
            index: Which rows.

        Returns:
            For each of ``index`` its ``(H, W, 3)`` RGB pixels, cut to its box where the rows have
            boxes, or what is wrong with it.
        """
        return self.decode_each(rows, index, lambda pixels: pixels)

    def decode_each(
        self, rows: Rows, index: Sequence[int], finish: Callable[[Pixels], Made]
    ) -> list[Made | Problem]:
        """Decode some pictures and keep only what ``finish`` makes of each.

        No more pictures are held at full size than there are threads. A kind whose pictures are
        no files of their own overrides this.

        Args:
            rows: What :meth:`read` gave.
            index: Which rows.
            finish: Called with the ``(H, W, 3)`` RGB pixels of each picture as soon as it is
                decoded, in any order and from several threads.

        Returns:
            For each of ``index`` what ``finish`` gave, or what is wrong with the picture.
        """

        def one(row: int) -> Made | Problem:
            try:
                pixels = images.read(self.root / rows.keys[row])
                if rows.boxes is not None and not np.isnan(rows.boxes[row]).any():
                    pixels = images.crop(pixels, rows.boxes[row])
            except DataError as error:
                what = str(error).removeprefix(f"{self.root / rows.keys[row]}: ")
                return Problem(rows.keys[row], what)
            return finish(pixels)

        return in_threads(one, index)

    def refuse(self, found: str) -> DataError:
        """Build the error for a layout that is not there."""
        return DataError(
            f"{self.kind}:{self.path}: this is not a data set of kind '{self.kind}'.\n"
            f"  expected: {self.layout}\n  found: {found}"
        )


def in_threads(work: Callable[[Given], Made], given: Iterable[Given]) -> list[Made]:
    """Return what ``work`` makes of each of ``given``, in order, from as many threads as cores.

    A process that another one started beside others, as workers are, uses one thread.
    """
    if multiprocessing.parent_process() is not None:
        return [work(each) for each in given]
    with ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS)) as pool:
        return list(pool.map(work, given))


def is_file(path: Path) -> bool:
    """Say whether there is a file, also for names that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long a name, a folder that may not be entered
        return False


def is_folder(path: Path) -> bool:
    """Say whether there is a folder that can be listed, also for names that none can have."""
    try:
        return path.is_dir() and os.access(path, os.R_OK | os.X_OK)
    except (OSError, ValueError):
        return False


def describe_folder(path: Path, most: int = 8) -> str:
    """Say in a few words what lies in a folder, for an error."""
    try:
        if not path.exists():
            return f"nothing: {path} does not exist"
        if not path.is_dir():
            return f"a file of {path.stat().st_size} bytes"
        names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in path.iterdir())
    except (OSError, ValueError) as error:
        return f"{path}, which cannot be read ({error})"
    if not names:
        return "an empty folder"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def pixel_digest(pixels: Pixels) -> bytes:
    """Return 16 bytes that are equal for equal pictures of equal size."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(np.asarray(pixels.shape, dtype=np.int64).tobytes())
    digest.update(np.ascontiguousarray(pixels).tobytes())
    return digest.digest()
