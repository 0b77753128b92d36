"""Reading label tables: what every kind that lies in a CSV file shares. No kind of its own."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hybridface.data.source import Problem
from hybridface.errors import DataError

SPLIT_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "publictest"),
    "test": ("test", "testing", "privatetest"),
}
_SPLITS = {word: split for split, words in SPLIT_WORDS.items() for word in words}
_DELIMITERS = (",", ";", "\t")
_LONGEST_CELL = 1 << 24


def split_name(word: str) -> str | None:
    """Return ``train``, ``val`` or ``test`` for the usual words for a split, else None."""
    return _SPLITS.get(word.strip().casefold())


def no_usable_row(path: Path, problems: Sequence[Problem]) -> str:
    """Say for an error that nothing is left of a table, and why."""
    reasons = "; ".join(f"{problem.where}: {problem.what}" for problem in problems[:3])
    return f"no usable row in {path} ({reasons or 'there is none below the first line'})"


@dataclass
class Tally:
    """Counts rows that cannot be used for one and the same reason, so that they are one problem.

    Attributes:
        counts: For each reason where it was first met, and how often.
    """

    counts: dict[str, tuple[str, int]] = field(default_factory=dict)

    def add(self, where: str, reason: str) -> None:
        """Count a row."""
        first, count = self.counts.get(reason, (where, 0))
        self.counts[reason] = (first, count + 1)

    def problems(self) -> list[Problem]:
        """Return one problem for each reason."""
        return [
            Problem(first, reason if count == 1 else f"{reason}; {count} rows, this is the first")
            for reason, (first, count) in self.counts.items()
        ]


@dataclass(frozen=True)
class Table:
    """A CSV file of which only the column names have been read.

    Attributes:
        path: The file.
        columns: Column names as they stand, without surrounding space.
        delimiter: What stands between two cells.
    """

    path: Path
    columns: tuple[str, ...]
    delimiter: str

    def find(self, names: Sequence[str]) -> int | None:
        """Return the place of the first of ``names`` that is a column; case does not count."""
        places = {column.casefold(): place for place, column in enumerate(self.columns)}
        found = (places[name.casefold()] for name in names if name.casefold() in places)
        return next(found, None)

    def where(self, line: int) -> str:
        """Name a line of the file, for a problem."""
        return f"{self.path.name}:{line}"

    def rows(self, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
        """Read the rows below the column names one by one; blank ones are left out.

        Args:
            problems: Gets one problem for each row with a wrong number of cells, which is left
                out, and one for all rows with bytes that are not UTF-8, or of several lines.

        Yields:
            The number of the row's last line in the file, and its cells without outer space.

        Raises:
            DataError: The file cannot be read to its end.
        """
        doubtful = Tally()
        records = _records(self.path, self.delimiter)
        end, _ = next(records, (1, []))
        for line, cells in records:
            start, end = end + 1, line
            if not any(cells):
                continue
            if len(cells) != len(self.columns):
                found = f"{len(cells)} cells where the first line has {len(self.columns)}"
                over = f" (over lines {start} to {line}: a quote not closed?)" * (line > start)
                problems.append(Problem(self.where(line), f"{found}{over}; row left out"))
                continue
            if line > start:
                doubtful.add(self.where(line), "runs over several lines: a quote not closed?")
            if any("\ufffd" in cell for cell in cells):
                doubtful.add(self.where(line), "holds bytes that are not UTF-8")
            yield line, cells
        problems.extend(doubtful.problems())


def open_table(path: Path) -> Table:
    """Read the column names of a CSV file; comma, semicolon and tab are told apart.

    Raises:
        DataError: The file cannot be read, is no text, or has no or ambiguous column names.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); expected a CSV file") from error
    if b"\0" in start:
        raise DataError(
            f"{path}: not a text file in UTF-8 (a spreadsheet, or text in UTF-16?); "
            "expected CSV, so save it as 'CSV UTF-8'"
        )
    read = [(mark, _first_record(path, mark)) for mark in _DELIMITERS]
    delimiter, names = max(read, key=lambda pair: len(pair[1]))
    if not any(names):
        raise DataError(f"{path}: the first line is empty; expected the names of the columns")
    lower = [name.casefold() for name in names]
    if twice := sorted({name for name in lower if name and lower.count(name) > 1}):
        raise DataError(
            f"{path}: the first line names column '{twice[0]}' more than once; "
            "expected column names that differ by more than case: rename one"
        )
    return Table(path, tuple(names), delimiter)


def _first_record(path: Path, delimiter: str) -> list[str]:
    _, cells = next(_records(path, delimiter), (1, []))
    return cells


def _records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    line = 1
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            for cells in reader:
                line = reader.line_num
                yield line, [cell.strip() for cell in cells]
    except (OSError, csv.Error) as error:
        raise DataError(
            f"{path}: cannot be read past line {line} ({error}); "
            "expected CSV: is there a quote that is not closed?"
        ) from error
