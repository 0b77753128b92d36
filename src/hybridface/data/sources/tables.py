"""Reading label tables: what every kind that lies in one shares, and CSV. No kind of its own."""

from __future__ import annotations

import csv
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
MINUS_ONE = frozenset({"-1", "-1.0"})
_MISSING_CELLS = MINUS_ONE | {"", "nan", "na"}
WHOLE_NUMBER = re.compile(r"([+-]?\d{1,18})(\.0*)?", re.ASCII)
BREAK = re.compile(r"[\0\r\n]")
NOT_UTF8 = "holds bytes that are not UTF-8"
_SEVERAL = "runs over several lines: a quote not closed?"


def split_name(word: str) -> str | None:
    """Return ``train``, ``val`` or ``test`` for the usual words for a split, else None."""
    return _SPLITS.get(word.strip().casefold())


def no_usable_row(
    path: Path, problems: Sequence[Problem], otherwise: str = "there is none below the first line"
) -> str:
    """Say for an error that nothing is left of a table or a folder, and why."""
    reasons = "; ".join(f"{problem.where}: {problem.what}" for problem in problems[:3])
    return f"no usable row in {path} ({reasons or otherwise})"


def whole_number(cell: str) -> int | None:
    """Return the number that a cell of one to eight digits holds, else None."""
    return int(cell) if cell.isascii() and cell.isdecimal() and len(cell) < 9 else None


def numbered(values: Sequence[str]) -> NDArray[np.int64]:
    """Return ``(N,)`` numbers in the order of the values, equal for equal ones, such as names."""
    # An array of text takes the room of the longest value for each of them.
    numbers = {value: number for number, value in enumerate(sorted(set(values)))}
    return np.array([numbers[value] for value in values], dtype=np.int64)


def is_missing(cell: str) -> bool:
    """Say whether a cell holds no value: empty, ``nan``, ``NA`` or ``-1``."""
    return cell.casefold() in _MISSING_CELLS


@dataclass
class Tally:
    """Counts rows that cannot be used for one and the same reason, so that they are one problem.

    Attributes:
        counts: For each reason where it was first met, what is said of it there, and how often.
    """

    counts: dict[str, tuple[str, str, int]] = field(default_factory=dict)

    def add(self, where: str, reason: str, said: str = "") -> None:
        """Count a row.

        Args:
            where: The row.
            reason: Why it cannot be used.
            said: What is said in place of the reason if this row is the first, as with what
                stands in it.
        """
        first, what, count = self.counts.get(reason, (where, said or reason, 0))
        self.counts[reason] = (first, what, count + 1)

    def problems(self) -> list[Problem]:
        """Return one problem for each reason."""
        return [
            Problem(first, what if count == 1 else f"{what}; {count} rows, this is the first")
            for first, what, count in self.counts.values()
        ]


@dataclass(frozen=True)
class Table(ABC):
    """A table of which only the column names have been read.

    Attributes:
        path: The file.
        columns: Column names as they stand, without surrounding space.
    """

    path: Path
    columns: tuple[str, ...]

    def find(self, names: Sequence[str]) -> int | None:
        """Return the place of the first of ``names`` that is a column; case does not count."""
        places = {column.casefold(): place for place, column in enumerate(self.columns)}
        found = (places[name.casefold()] for name in names if name.casefold() in places)
        return next(found, None)

    def need(self, names: Sequence[str], otherwise: str = "") -> list[int]:
        """Return the places of columns that must be there; case does not count.

        Args:
            names: What they are called.
            otherwise: What else can be done, for the error.

        Raises:
            DataError: One is not there.
        """
        places = [self.find((name,)) for name in names]
        found = [place for place in places if place is not None]
        if len(found) < len(names):
            raise DataError(
                f"{self.path}: has the columns {', '.join(self.columns)[:200]}; expected "
                f"{', '.join(names)} among them, named by the first line{otherwise}"
            )
        return found

    def where(self, line: int) -> str:
        """Name a line of the file, for a problem."""
        return f"{self.path.name}:{line}"

    def wrong_type(self, place: int) -> str:
        """Return the type of a column that holds neither text nor numbers; empty for others."""
        return ""

    @abstractmethod
    def rows(self, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
        """Read the rows one by one.

        Args:
            problems: Gets what is wrong with rows.

        Yields:
            The number of the row's line, and its cells without outer space.

        Raises:
            DataError: The file cannot be read to its end.
        """


@dataclass(frozen=True)
class CsvFile(Table):
    """A CSV file.

    Attributes:
        delimiter: What stands between two cells.
        named: Whether the first line names the columns, and is no row.
    """

    delimiter: str
    named: bool = True

    def rows(self, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
        """Read the rows one by one; blank ones are left out.

        Args:
            problems: Gets one problem for each row with a wrong number of cells, which is left
                out, and one for all rows with bytes that are not UTF-8, or of several lines. Rows
                of several lines are named by the first, where a quote that is not closed stands.

        Yields:
            The number of the row's last line in the file, and its cells without outer space.

        Raises:
            DataError: The file cannot be read to its end.
        """
        doubtful = Tally()
        records = _records(self.path, self.delimiter)
        end, _ = next(records, (1, [])) if self.named else (0, [])
        if end > 1:  # where no quote follows, all rows are in the names of the columns
            doubtful.add(self.where(1), _SEVERAL)
        for line, cells in records:
            start, end = end + 1, line
            if not any(cells):
                continue
            if len(cells) != len(self.columns):
                found = f"{len(cells)} cells where the first line has {len(self.columns)}"
                over = f" (over lines {start} to {line}: a quote not closed?)" * (line > start)
                problems.append(Problem(self.where(start), f"{found}{over}; row left out"))
                continue
            if line > start:
                doubtful.add(self.where(start), _SEVERAL)
            if any("\ufffd" in cell for cell in cells):
                doubtful.add(self.where(line), NOT_UTF8)
            yield line, cells
        problems.extend(doubtful.problems())


def open_table(path: Path, usual: Sequence[str] = ()) -> CsvFile:
    """Read the column names of a CSV file; comma, semicolon and tab are told apart.

    Args:
        path: The file.
        usual: The columns of a file that may lack a line of names: where the first line has as
            many cells and one of them is a number, it is a row.

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
            f"{path}: not a text file in UTF-8 (a spreadsheet, text in UTF-16, or Parquet that is "
            "not named .parquet?); expected CSV, so save it as 'CSV UTF-8'"
        )
    read = [(mark, _first_record(path, mark)) for mark in _DELIMITERS]
    for delimiter, cells in read:
        if len(cells) == len(usual) and any(map(WHOLE_NUMBER.fullmatch, cells)):
            return CsvFile(path, tuple(usual), delimiter, named=False)
    delimiter, names = max(read, key=lambda pair: len(pair[1]))
    check_columns(path, names, "the first line")
    return CsvFile(path, tuple(names), delimiter)


def check_columns(path: Path, names: Sequence[str], place: str) -> None:
    """Refuse column names that are all empty or not distinct.

    Args:
        path: The file.
        names: The names, without surrounding space.
        place: What in the file gives the names, for errors.

    Raises:
        DataError: Says which name is wrong.
    """
    if not any(names):
        raise DataError(f"{path}: {place} is empty; expected the names of the columns")
    lower = [name.casefold() for name in names]
    if twice := sorted({name for name in lower if name and lower.count(name) > 1}):
        raise DataError(
            f"{path}: {place} names column '{twice[0]}' more than once; "
            "expected column names that differ by more than case: rename one"
        )


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
