"""Any data set that is described by one CSV or Parquet file with a row a picture."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator

from hybridface.data.fingerprint import digest_files
from hybridface.data.source import (
    Labels,
    Made,
    Pixels,
    Problem,
    Rows,
    Source,
    SourceOptions,
    describe_folder,
    is_file,
)
from hybridface.data.sources.columns import LabelColumn, NumberColumn, numeric_labels
from hybridface.data.sources.parquet import SUFFIXES as PARQUET
from hybridface.data.sources.parquet import EmbeddedPictures, ParquetTable, open_parquet
from hybridface.data.sources.tables import (
    BREAK,
    SPLIT_WORDS,
    Table,
    Tally,
    is_missing,
    no_usable_row,
    numbered,
    open_table,
    split_name,
)
from hybridface.errors import DataError, UsageError, unknown
from hybridface.files import at_home

IMAGE_COLUMNS = ("image", "path", "file", "filename", "image name", "img", "image_path")
SPLIT_COLUMNS = ("split", "usage", "set", "subset", "partition")
GROUP_COLUMNS = ("group", "person", "subject", "identity")
EXPRESSION_COLUMNS = ("expression", "emotion", "label", "class")
MOST_CLASSES = 200


def _listed(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class CsvOptions(SourceOptions):
    """Which columns mean what; an empty value, as in ``split=``, means that there is none.

    Attributes:
        image: Column of the picture files; by default the first of the usual names that is there.
        split: Column of the split; by default the first of the usual names that is there.
        group: Column of the person; by default the first of the usual names that is there.
        labels: Columns of labels, with commas; by default all others with at most 200 values.
        names: What to call the label columns, in the order of ``labels``.
        numbers: Columns of numbers, with commas: ``yaw``, ``pitch`` and ``roll`` become the column
            ``pose``, in degrees with the signs of :mod:`hybridface.rotations`; ``age`` and any
            other stay what they are.
        root: Folder of the pictures; by default the one of the table.
    """

    image: str | None = None
    split: str | None = None
    group: str | None = None
    labels: Names | None = None
    names: Names = ()
    numbers: Names = ()
    root: str | None = None


@dataclass(frozen=True)
class _Layout:
    image: int
    split: int | None
    group: int | None
    labels: list[LabelColumn]
    numbers: list[NumberColumn]

    def rejects(self, cells: list[str], where: str, tally: Tally) -> bool:
        """Say whether a row cannot be used, and count it by the reason."""
        picture = cells[self.image]
        if not picture:
            tally.add(where, "no picture named; row left out")
            return True
        if BREAK.search(picture):
            tally.add(where, "a line break or NUL in the name of the picture; row left out")
            return True
        if self.split is None or split_name(split := cells[self.split]):
            return False
        words = ", ".join(word for words in SPLIT_WORDS.values() for word in words)
        said = f"expected one of {words} (or say ?split= for none); row left out"
        reason = "unknown split" if split else "no split"
        tally.add(
            where, reason, f"{reason} '{split[:40]}', {said}" if split else f"{reason}, {said}"
        )
        return True


class CsvTable(Source):
    """Rows of a CSV or Parquet file, each with a picture and any number of class labels.

    Cells that are empty, ``nan``, ``NA`` or ``-1`` hold no class; a row with such a person counts
    as a person of its own. Comma, semicolon and tab are
    told apart by the first line. A picture that is missing stays a row and becomes a problem
    when it is decoded. A Parquet file may hold the pictures themselves instead of their paths:
    encoded, as bytes or as ``{"bytes", "path"}`` of Hugging Face.
    """

    kind = "csv"
    layout = (
        "PATH is a CSV file in UTF-8 whose first line names the columns: one of pictures "
        f"({', '.join(IMAGE_COLUMNS)}; or ?image=COLUMN) with paths relative to the file's folder "
        f"(or ?root=FOLDER), where known a split ({', '.join(SPLIT_COLUMNS)}; or ?split=COLUMN) "
        f"and the person ({', '.join(GROUP_COLUMNS)}; or ?group=COLUMN), columns of numbers such "
        "as age or yaw, pitch and roll (?numbers=COLUMN,COLUMN), and columns of labels (all "
        "others, or ?labels=COLUMN,COLUMN); or a Parquet file PATH.parquet with such columns, "
        "which may hold the pictures as bytes instead of their paths"
    )
    Options = CsvOptions
    options: CsvOptions

    def __init__(self, path: str, options: CsvOptions) -> None:
        super().__init__(path, options)
        self.table = self.root
        self.root = at_home(options.root) if options.root else self.table.parent
        self._pictures: EmbeddedPictures | None = None

    def read(self) -> Rows:
        """Read the table; see :meth:`hybridface.data.source.Source.read`."""
        if not is_file(self.table):
            raise self.refuse(describe_folder(self.table))
        is_parquet = self.table.suffix.lower() in PARQUET
        table = open_parquet(self.table) if is_parquet else open_table(self.table)
        notes: list[str] = []
        layout = self._layout(table, notes)
        keys: list[str] = []
        splits: list[str] = []
        persons: list[str] = []
        problems: list[Problem] = []
        tally = Tally()
        for line, cells in table.rows(problems):
            if layout.rejects(cells, table.where(line), tally):
                continue
            keys.append(cells[layout.image])
            splits.append("" if layout.split is None else split_name(cells[layout.split]) or "")
            if layout.group is not None:
                person = cells[layout.group]
                persons.append(f"\0{line}" if is_missing(person) else person)
            for column in layout.labels:
                column.add(cells[column.place])
            for number in layout.numbers:
                if wrong := number.add(cells[number.place]):
                    problems.append(Problem(keys[-1], f"{wrong}, in {table.where(line)}"))
        problems += tally.problems()
        self._check(table, keys, problems)
        numeric = numeric_labels(layout.numbers, f"{self.kind}:{self.path}")
        labels = self._labels(layout.labels, notes, others=bool(numeric))
        if twice := sorted(set(labels) & set(numeric)):
            raise UsageError(
                f"{self.kind}:{self.path}: '{twice[0]}' would be a column of classes and one of "
                "numbers; name columns of classes by options 'labels' and 'names'"
            )
        group = None if layout.group is None else numbered(persons)
        return Rows(keys, np.array(splits), labels, group, problems, notes, numeric)

    def fingerprint(self, rows: Rows, memory: Path) -> str:
        """Return a digest of the pictures, or of the rows and the table that holds them."""
        if self._pictures is None:
            return super().fingerprint(rows, memory)
        whole = digest_files(self.table.parent, [self.table.name], memory)
        decides = "\0".join([self._pictures.column, whole, *rows.keys])
        return hashlib.sha256(decides.encode("utf-8", "surrogateescape")).hexdigest()

    def decode_each(
        self, rows: Rows, index: Sequence[int], finish: Callable[[Pixels], Made]
    ) -> list[Made | Problem]:
        """Decode some pictures; see :meth:`hybridface.data.source.Source.decode_each`."""
        if self._pictures is None:
            return super().decode_each(rows, index, finish)
        return self._pictures.decode_each([rows.keys[row] for row in index], finish)

    def _layout(self, table: Table, notes: list[str]) -> _Layout:
        wanted = self.options
        image = _column(table, wanted.image, IMAGE_COLUMNS)
        if image is None:
            raise self.refuse(
                f"columns {', '.join(table.columns)} in {table.path}, none of which is known to "
                "hold pictures: say ?image=COLUMN (the first line must name the columns)"
            )
        split = _column(table, wanted.split, SPLIT_COLUMNS)
        group = _column(table, wanted.group, GROUP_COLUMNS)
        numbers = [_named_column(table, name) for name in wanted.numbers]
        if wanted.labels is None:
            taken = (image, split, group, *numbers)
            places = [place for place in range(len(table.columns)) if place not in taken]
            places = [place for place in places if _is_titled(table.columns[place])]
            for place in [place for place in places if table.wrong_type(place)]:
                places.remove(place)
                notes.append(
                    f"column '{table.columns[place]}' holds {table.wrong_type(place)}: not taken "
                    "for labels"
                )
        else:
            places = [_named_column(table, name) for name in wanted.labels]
        self._pictures = table.pictures(image) if isinstance(table, ParquetTable) else None
        read = [split, group, *places, *numbers, *([image] if self._pictures is None else [])]
        _check_types(table, read)
        most = MOST_CLASSES if wanted.labels is None else None
        labels = [LabelColumn(table.columns[place], place, most) for place in places]
        read_as_numbers = [NumberColumn(table.columns[place], place) for place in numbers]
        return _Layout(image, split, group, labels, read_as_numbers)

    def _check(self, table: Table, keys: list[str], problems: list[Problem]) -> None:
        if not keys:
            raise self.refuse(no_usable_row(table.path, problems))
        if self._pictures is None and not any(is_file(self.root / key) for key in keys):
            turned = self.root / keys[0].replace("\\", "/")
            advice = (
                f"There is {turned}: write / in the table, in place of \\"
                if "\\" in keys[0] and is_file(turned)
                else f"Paths are relative to {self.root}: say ?root=FOLDER if they lie elsewhere, "
                "or ?image=COLUMN for another column"
            )
            raise DataError(
                f"{self.kind}:{self.path}: none of the {len(keys)} pictures exists; the first is "
                f"expected at {self.root / keys[0]}. {advice}"
            )

    def _labels(
        self, columns: list[LabelColumn], notes: list[str], *, others: bool
    ) -> dict[str, Labels]:
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
        if not usable and not others:
            notes.append("no column of labels")
        labels: dict[str, Labels] = {}
        for column, name in zip(usable, self._names(usable), strict=True):
            labels[name] = column.labels()
            if alike := column.alike():
                notes.append(
                    f"label column '{column.title}' has classes that differ by case alone: "
                    f"{', '.join(alike[:8])}{', …' * (len(alike) > 8)}"
                )
            if len(column.numbers) == 1:
                beside = " beside -1, which is read as no label" * column.minus
                notes.append(f"label column '{column.title}' has one value only{beside}")
        return labels

    def _names(self, columns: list[LabelColumn]) -> list[str]:
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


def _is_titled(title: str) -> bool:
    return bool(title) and not title.casefold().startswith("unnamed:")  # an index, by pandas


def _column(table: Table, name: str | None, usual: Iterable[str]) -> int | None:
    if name == "":
        return None
    return table.find(tuple(usual)) if name is None else _named_column(table, name)


def _check_types(table: Table, places: Iterable[int | None]) -> None:
    for place in places:
        if place is not None and (kind := table.wrong_type(place)):
            raise DataError(
                f"{table.path}: column '{table.columns[place]}' holds {kind}; expected text or "
                "numbers, or for pictures also bytes or a struct with a field 'bytes'"
            )


def _named_column(table: Table, name: str) -> int:
    place = table.find((name,))
    if place is None:
        raise unknown(f"column of {table.path}", name, filter(None, table.columns))
    return place
