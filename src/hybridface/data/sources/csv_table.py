"""Any data set that is described by one CSV file with a row a picture."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator

from hybridface.data.source import (
    MISSING,
    Labels,
    Problem,
    Rows,
    Source,
    SourceOptions,
    describe_folder,
    is_file,
)
from hybridface.data.sources.tables import (
    SPLIT_WORDS,
    Table,
    no_usable_row,
    open_table,
    split_name,
)
from hybridface.errors import DataError, UsageError, unknown

IMAGE_COLUMNS = ("image", "path", "file", "filename", "image name", "img", "image_path")
SPLIT_COLUMNS = ("split", "usage", "set", "subset", "partition")
GROUP_COLUMNS = ("group", "person", "subject", "identity")
EXPRESSION_COLUMNS = ("expression", "emotion", "label", "class")
MOST_CLASSES = 200
_MISSING_CELLS = frozenset({"", "nan", "na", "-1", "-1.0"})
_BREAK = re.compile(r"[\0\r\n]")
_WHOLE_NUMBER = re.compile(r"([+-]?\d{1,18})(\.0*)?", re.ASCII)


def _listed(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class CsvOptions(SourceOptions):
    """Which columns mean what; an empty value, as in ``split=``, means that there is none.

    Attributes:
        image: Column of the picture files; by default the first of :data:`IMAGE_COLUMNS` there.
        split: Column of the split; by default the first of :data:`SPLIT_COLUMNS` that is there.
        group: Column of the person; by default the first of :data:`GROUP_COLUMNS` that is there.
        labels: Columns of labels, with commas; by default all others with at most 200 values.
        names: What to call the label columns, in the order of ``labels``.
        root: Folder of the pictures; by default the one of the CSV file.
    """

    image: str | None = None
    split: str | None = None
    group: str | None = None
    labels: Names | None = None
    names: Names = ()
    root: str | None = None


@dataclass
class _Column:
    """A label column while it is read: its values are numbered as they come."""

    title: str
    place: int
    most: int | None
    numbers: dict[str, int] = field(default_factory=dict)
    ids: list[int] = field(default_factory=list)

    def add(self, cell: str) -> None:
        if self.too_many():
            return
        missing = _is_missing(cell) or _BREAK.search(cell) is not None
        self.ids.append(MISSING if missing else self.numbers.setdefault(cell, len(self.numbers)))

    def too_many(self) -> bool:
        return self.most is not None and len(self.numbers) > self.most

    def labels(self) -> Labels:
        """Order the values: as numbers where all are whole (``3.0`` is 3), else by name."""
        whole = [_WHOLE_NUMBER.fullmatch(value) for value in self.numbers]
        if all(whole):
            values = [int(match[1]) for match in whole if match]
            order: list[int] | list[str] = sorted(set(values))
            numbered = np.searchsorted(order, values)
        else:
            order = sorted(self.numbers, key=lambda value: (value.casefold(), value))
            rank = {value: place for place, value in enumerate(order)}
            numbered = np.array([rank[value] for value in self.numbers])
        new_ids = np.append(numbered, MISSING).astype(np.int64)  # the last is where MISSING points
        ids = new_ids[np.array(self.ids, dtype=np.int64)]
        return Labels(tuple(str(value) for value in order), ids)


@dataclass(frozen=True)
class _Layout:
    image: int
    split: int | None
    group: int | None
    labels: list[_Column]

    def reject(self, cells: list[str]) -> str:
        """Say why a row cannot be used; empty where it can."""
        picture = cells[self.image]
        if not picture:
            return "no picture named"
        if _BREAK.search(picture):
            return "a line break or NUL in the name of the picture"
        if self.split is None or split_name(cells[self.split]):
            return ""
        words = ", ".join(word for words in SPLIT_WORDS.values() for word in words)
        return f"unknown split '{cells[self.split][:40]}', expected one of {words}"


class CsvTable(Source):
    """Rows of a CSV file, each with the path of a picture and any number of class labels.

    Cells that are empty, ``nan``, ``NA`` or ``-1`` hold no label; a row with such a person counts
    as a person of its own. Comma, semicolon and tab are
    told apart by the first line. A picture that is missing stays a row and becomes a problem
    when it is decoded.
    """

    kind = "csv"
    layout = (
        "PATH is a CSV file in UTF-8 whose first line names the columns: one of pictures "
        f"({', '.join(IMAGE_COLUMNS)}; or ?image=COLUMN) with paths relative to the file's folder "
        "(or ?root=FOLDER), columns of labels (?labels=COLUMN,COLUMN), and where known a split "
        "(?split=COLUMN) and the person (?group=COLUMN)"
    )
    Options = CsvOptions
    options: CsvOptions

    def __init__(self, path: str, options: CsvOptions) -> None:
        super().__init__(path, options)
        self.table = self.root
        self.root = Path(options.root).expanduser() if options.root else self.table.parent

    def read(self) -> Rows:
        """Read the table; see :meth:`hybridface.data.source.Source.read`."""
        if not is_file(self.table):
            raise self.refuse(describe_folder(self.table))
        table = open_table(self.table)
        layout = self._layout(table)
        keys: list[str] = []
        splits: list[str] = []
        persons: list[str] = []
        problems: list[Problem] = []
        for line, cells in table.rows(problems):
            if reason := layout.reject(cells):
                problems.append(Problem(table.where(line), f"{reason}; row left out"))
                continue
            keys.append(cells[layout.image])
            splits.append("" if layout.split is None else split_name(cells[layout.split]) or "")
            if layout.group is not None:
                person = cells[layout.group]
                persons.append(f"\0{line}" if _is_missing(person) else person)
            for column in layout.labels:
                column.add(cells[column.place])
        self._check(table, keys, problems)
        notes: list[str] = []
        labels = self._labels(layout.labels, notes)
        group = None if layout.group is None else _numbered(persons)
        return Rows(keys, np.array(splits), labels, group, problems, notes)

    def _layout(self, table: Table) -> _Layout:
        wanted = self.options
        image = _column(table, wanted.image, IMAGE_COLUMNS)
        if image is None:
            raise self.refuse(
                f"columns {', '.join(table.columns)} in {table.path}, none of which is known to "
                "hold pictures: say ?image=COLUMN (the first line must name the columns)"
            )
        split = _column(table, wanted.split, SPLIT_COLUMNS)
        group = _column(table, wanted.group, GROUP_COLUMNS)
        if wanted.labels is None:
            taken = (image, split, group)
            places = [place for place in range(len(table.columns)) if place not in taken]
            places = [place for place in places if _is_titled(table.columns[place])]
        else:
            places = [_named_column(table, name) for name in wanted.labels]
        most = MOST_CLASSES if wanted.labels is None else None
        labels = [_Column(table.columns[place], place, most) for place in places]
        return _Layout(image, split, group, labels)

    def _check(self, table: Table, keys: list[str], problems: list[Problem]) -> None:
        if not keys:
            raise self.refuse(no_usable_row(table.path, problems))
        if not any(is_file(self.root / key) for key in keys):
            raise DataError(
                f"{self.kind}:{self.path}: none of the {len(keys)} pictures exists; the first is "
                f"expected at {self.root / keys[0]}. Paths are relative to {self.root}: "
                "say ?root=FOLDER if they lie elsewhere, or ?image=COLUMN for another column"
            )

    def _labels(self, columns: list[_Column], notes: list[str]) -> dict[str, Labels]:
        usable = []
        for column in columns:
            if column.too_many():
                notes.append(
                    f"column '{column.title}' has over {MOST_CLASSES} different values: not taken "
                    f"for labels (?labels={column.title} would)"
                )
            elif column.numbers:
                usable.append(column)
            elif column.most is None:
                raise DataError(f"{self.table}: label column '{column.title}' has no value at all")
            else:
                notes.append(f"column '{column.title}' has no values: not taken for labels")
        if not usable:
            notes.append("no column of labels")
        labels: dict[str, Labels] = {}
        for column, name in zip(usable, self._names(usable), strict=True):
            labels[name] = column.labels()
            if len(column.numbers) == 1:
                notes.append(f"label column '{column.title}' has one value only")
        return labels

    def _names(self, columns: list[_Column]) -> list[str]:
        """Name the label columns: as asked for, else ``expression`` for the first that is one."""
        given = self.options.names
        if len(given) > len(columns):
            raise UsageError(
                f"{self.kind}:{self.path}: option 'names' has {len(given)} names for "
                f"{len(columns)} label columns ({', '.join(column.title for column in columns)})"
            )
        names = [*given, *(column.title for column in columns[len(given) :])]
        lower = [name.casefold() for name in names]
        first = next((word for word in EXPRESSION_COLUMNS if word in lower[len(given) :]), None)
        if first is not None and "expression" not in names:
            names[lower.index(first, len(given))] = "expression"
        if twice := {name for name in names if names.count(name) > 1}:
            raise UsageError(
                f"{self.kind}:{self.path}: two label columns are called '{min(twice)}'; "
                "expected different ones: see options 'labels' and 'names'"
            )
        return names


def _is_missing(cell: str) -> bool:
    return cell.casefold() in _MISSING_CELLS


def _is_titled(title: str) -> bool:
    return bool(title) and not title.casefold().startswith("unnamed:")  # an index, by pandas


def _column(table: Table, name: str | None, usual: Iterable[str]) -> int | None:
    if name == "":
        return None
    return table.find(tuple(usual)) if name is None else _named_column(table, name)


def _named_column(table: Table, name: str) -> int:
    place = table.find((name,))
    if place is None:
        raise unknown(f"column of {table.path}", name, filter(None, table.columns))
    return place


def _numbered(values: list[str]) -> NDArray[np.int64]:
    return np.unique(np.array(values), return_inverse=True)[1].astype(np.int64)
