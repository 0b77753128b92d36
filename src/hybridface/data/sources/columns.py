"""Columns of a table while it is read: of classes, and of numbers. No kind of its own."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hybridface.data.source import MISSING, Labels, NumericLabels
from hybridface.data.sources.tables import BREAK, MINUS_ONE, WHOLE_NUMBER, is_missing
from hybridface.errors import UsageError
from hybridface.rotations import ANGLES

POSE = "pose"
UNITS = {"age": "years"}
_MISSING = frozenset({"", "nan", "na", "null", "none"})
_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)  # as spreadsheets write decimals in many countries
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?", re.ASCII)


@dataclass
class LabelColumn:
    """A label column while it is read: its values are numbered as they come.

    Attributes:
        title: Its name in the table.
        place: Its place among the columns.
        most: How many different values it may have; None for any number.
        numbers: The number of each value.
        ids: The number of each row's value, missing where there is none.
        minus: Whether -1 stands in it, which is no value.
    """

    title: str
    place: int
    most: int | None
    numbers: dict[str, int] = field(default_factory=dict)
    ids: list[int] = field(default_factory=list)
    minus: bool = False

    def add(self, cell: str) -> None:
        """Take the cell of the next row."""
        if self.too_many():
            return
        self.minus |= cell in MINUS_ONE
        missing = is_missing(cell) or BREAK.search(cell) is not None
        self.ids.append(MISSING if missing else self.numbers.setdefault(cell, len(self.numbers)))

    def too_many(self) -> bool:
        """Say whether it has more different values than it may."""
        return self.most is not None and len(self.numbers) > self.most

    def alike(self) -> list[str]:
        """Return the values that are equal to others but for case."""
        lower = Counter(value.casefold() for value in self.numbers)
        return sorted(
            (value for value in self.numbers if lower[value.casefold()] > 1),
            key=lambda value: (value.casefold(), value),
        )

    def labels(self) -> Labels:
        """Order the values: as numbers where all are whole (``3.0`` is 3), else by name."""
        whole = [WHOLE_NUMBER.fullmatch(value) for value in self.numbers]
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


@dataclass
class NumberColumn:
    """A column of numbers while it is read.

    Attributes:
        title: Its name in the table.
        place: Its place among the columns.
        values: The number of each row, NaN where there is none.
    """

    title: str
    place: int
    values: list[float] = field(default_factory=list)

    def add(self, cell: str) -> str:
        """Take the cell of the next row; return what is wrong with it, or an empty text.

        ``-1`` is a number here, as an angle may be that; other than in columns of classes, only
        an empty cell, ``nan``, ``NA``, ``null`` and ``none`` hold none.
        """
        number, wrong = math.nan, ""
        if cell.casefold() not in _MISSING:
            try:
                number = float(cell)
            except ValueError:
                number = math.nan
            if not math.isfinite(number) or abs(number) > float(np.finfo(np.float32).max):
                wrong = f"no number in column '{self.title}': '{cell[:40]}'{_hint(cell)}"
                number = math.nan
        self.values.append(number)
        return wrong


def _hint(cell: str) -> str:
    """Say how a number with commas is to be written; empty for anything else."""
    decimal = _COMMA.fullmatch(cell) is not None
    # What a comma before three digits means nobody knows.
    if len(cell) <= 40 and _THOUSANDS.fullmatch(cell):
        without, point = cell.replace(",", ""), cell.replace(",", ".")
        return f" (write {without}{f', or {point} if it is a decimal comma' * decimal})"
    return " (write a point for the comma)" * decimal


def numeric_labels(columns: Sequence[NumberColumn], where: str) -> dict[str, NumericLabels]:
    """Return label columns: yaw, pitch and roll as ``pose`` in degrees, any other by itself.

    Args:
        columns: The columns of a table that hold numbers, read to the end.
        where: The data set, for errors.

    Raises:
        UsageError: Some of the three angles are there, but not all.
    """
    by_name = {column.title.casefold(): column for column in columns}
    angles = [name for name in ANGLES if name in by_name]
    if angles and len(angles) < len(ANGLES):
        missing = ", ".join(name for name in ANGLES if name not in by_name)
        raise UsageError(
            f"{where}: option 'numbers' names {', '.join(angles)} but not {missing}; expected all "
            f"of {', '.join(ANGLES)} (cells may be empty), or none"
        )
    labels = {}
    if angles:
        values = np.array([by_name[name].values for name in ANGLES], dtype=np.float32).T
        labels[POSE] = NumericLabels(ANGLES, values, "degrees")
    for column in columns:
        if (name := column.title.casefold()) not in angles:
            values = np.array(column.values, dtype=np.float32)[:, None]
            labels[column.title] = NumericLabels((name,), values, UNITS.get(name, ""))
    return labels
