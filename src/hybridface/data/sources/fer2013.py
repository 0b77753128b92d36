"""FER2013 (Goodfellow et al. 2013) as the challenge gave it: one CSV file, pixels and all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np

from hybridface.data.fingerprint import digest_files
from hybridface.data.kept import keep, recall
from hybridface.data.source import (
    MISSING,
    Labels,
    Made,
    Pixels,
    Problem,
    Rows,
    Source,
    describe_folder,
    is_file,
)
from hybridface.data.sources.tables import (
    Tally,
    no_usable_row,
    open_table,
    split_name,
    whole_number,
)
from hybridface.errors import HybridFaceError
from hybridface.files import cache_folder, read_arrays

FORMAT = 1
NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SIDE = 48
_GREYS = {str(value): value for value in range(256)}


class Fer2013(Source):
    """The challenge's own file, pictures and all: 48x48 grey numbers in a CSV cell.

    ``Training`` is train, ``PublicTest`` val and ``PrivateTest`` test, as in the challenge. A file
    without a column Usage (the challenge's ``train.csv``) has no splits.

    Parsing the whole challenge takes half a minute, so that what was parsed is kept in the cache
    folder by the file's name and content, and later starts read it from there.
    """

    kind = "fer2013"
    layout = (
        "PATH is the challenge's CSV file, or a folder with fer2013.csv, icml_face_data.csv or "
        "train.csv: columns emotion (0 angry, 1 disgust, 2 fear, 3 happy, 4 sad, 5 surprise, "
        "6 neutral), pixels (2304 numbers from 0 to 255) and Usage (Training, PublicTest, "
        "PrivateTest); its pictures as files, one folder a class, are read by folder:PATH"
    )

    def read(self) -> Rows:
        """Read the file; see :meth:`hybridface.data.source.Source.read`."""
        return self._rows

    def fingerprint(self, rows: Rows, memory: Path) -> str:
        """Return a digest of the CSV file."""
        return digest_files(self._file.parent, [self._file.name], memory)

    def decode_each(
        self, rows: Rows, index: Sequence[int], finish: Callable[[Pixels], Made]
    ) -> list[Made | Problem]:
        """Make the asked pictures grey RGB; every row of :meth:`read` has one."""
        grey = self._pixels
        return [finish(np.repeat(grey[row].reshape(SIDE, SIDE, 1), 3, axis=2)) for row in index]

    @cached_property
    def _file(self) -> Path:
        names = ("", "fer2013.csv", "icml_face_data.csv", "fer2013/fer2013.csv", "train.csv")
        for path in (self.root / name for name in names):
            if is_file(path):
                return path
        raise self.refuse(describe_folder(self.root))

    @cached_property
    def _store(self) -> Path:
        """Return the file in which the parsed rows are kept."""
        digest = digest_files(self._file.parent, [self._file.name], cache_folder() / "digests")
        return cache_folder() / "tables" / f"{self.kind}-{FORMAT}-{digest[:24]}.npz"

    @cached_property
    def _rows(self) -> Rows:
        kept = recall(self._store, FORMAT, "split", "ids")
        if kept is not None:
            return Rows(
                kept.said["keys"],
                kept.arrays["split"],
                {"expression": Labels(NAMES, kept.arrays["ids"])},
                problems=kept.problems,
                notes=kept.said["notes"],
            )
        rows, pixels = self._parse()
        arrays = {"split": rows.split, "ids": rows.labels["expression"].ids, "pixels": pixels}
        with suppress(HybridFaceError):  # read-only or full: it is parsed again next time
            keep(self._store, FORMAT, arrays, rows.problems, keys=rows.keys, notes=rows.notes)
        return rows

    @cached_property
    def _pixels(self) -> Pixels:
        """Return ``(N, 2304)`` grey values; read only where pictures are to be decoded."""
        found = read_arrays(self._store, "pixels")  # removed since the rows were read?
        return self._parse()[1] if found is None else found["pixels"]

    def _parse(self) -> tuple[Rows, Pixels]:
        table = open_table(self._file)
        emotion, pixels = table.need(("emotion", "pixels"))
        usage = table.find(("usage",))
        keys: list[str] = []
        splits: list[str] = []
        ids: list[int] = []
        problems: list[Problem] = []
        tally = Tally()
        content = bytearray()
        for line, cells in table.rows(problems):
            split = "" if usage is None else split_name(cells[usage])
            if split is None:
                said = f"unknown Usage '{cells[usage or 0][:40]}'; row left out"
                tally.add(table.where(line), "unknown Usage", said)
                continue
            try:
                content += _greys(cells[pixels])
            except ValueError as error:
                problems.append(Problem(table.where(line), f"{error}; row left out"))
                continue
            keys.append(table.where(line))
            splits.append(split)
            ids.append(number := class_number(cells[emotion]))
            if number == MISSING:
                what = f"unknown label '{cells[emotion][:20]}', expected 0 to {len(NAMES) - 1}"
                problems.append(Problem(table.where(line), what))
        problems += tally.problems()
        if not keys:
            raise self.refuse(no_usable_row(table.path, problems))
        labels = {"expression": Labels(NAMES, np.array(ids, dtype=np.int64))}
        notes = [] if usage is not None else [f"{table.path.name} has no column Usage: no splits"]
        grey = np.frombuffer(content, dtype=np.uint8).reshape(-1, SIDE * SIDE)
        return Rows(keys, np.array(splits), labels, problems=problems, notes=notes), grey


def _greys(cell: str) -> bytes:
    words = cell.split()
    if len(words) != SIDE * SIDE:
        raise ValueError(f"{len(words)} pixels, expected {SIDE * SIDE}")
    try:
        return bytes(map(_GREYS.__getitem__, words))
    except KeyError as error:
        wrong = str(error.args[0])[:20]
        raise ValueError(f"pixel '{wrong}', expected whole numbers from 0 to 255") from error


def class_number(cell: str) -> int:
    """Return the class that a cell of FER2013's column emotion says, missing where none."""
    number = whole_number(cell)
    return MISSING if number is None or number >= len(NAMES) else number
