"""Columns of a table that hold numbers: ages, angles. No kind of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hybridface.data.source import NumericLabels
from hybridface.errors import UsageError
from hybridface.rotations import ANGLES

POSE = "pose"
UNITS = {"age": "years"}
_MISSING = frozenset({"", "nan", "na", "null", "none"})


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
                number, wrong = math.nan, f"no number in column '{self.title}': '{cell[:40]}'"
        self.values.append(number)
        return wrong


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
