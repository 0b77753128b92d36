"""What the arms of a study are compared by, and how its figures are written."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hybridface.evaluation.statistics import Interval
from hybridface.report.text import MISSING, number

VERDICTS = ("higher", "lower", "not told apart")
SMALL_CHANGE = 0.01  # of an error, within which its curve is flat


@dataclass(frozen=True)
class Measure:
    """An accuracy, of which more is better, or a mean absolute error, of which less is.

    Attributes:
        name: What a page calls it, as in ``test accuracy``.
        unit: What it is written in, as in ``%``.
        differences: What differences of it are written in, as in ``percentage points``.
        short: The same in short, as in ``points``.
        scale: Factor from rows to what is written.
        higher_is_better: Whether more is better.
        chosen_by: The validation figure that the headline arm is chosen by, as ``name``.
        further: What else the table of the arms shows of the test pictures; empty for nothing.
        decimals: How many it is written with.
    """

    name: str
    unit: str
    differences: str
    short: str
    scale: float
    higher_is_better: bool
    chosen_by: str
    further: str = ""
    decimals: int = 2

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return 1 if self.higher_is_better else -1

    @property
    def direction(self) -> str:
        """Which way is better, for captions."""
        return "higher is better" if self.higher_is_better else "lower is better"

    @property
    def gain(self) -> str:
        """What a difference of test figures is called, as in ``gain in test accuracy``."""
        return f"{'gain in' if self.higher_is_better else 'difference of'} test {self.name}"

    @property
    def on(self) -> str:
        """The word between :attr:`gain` and what is compared with."""
        return "on" if self.higher_is_better else "to"

    def head(self, what: str) -> str:
        """Return a column head with the unit, as in ``Validation (%)``."""
        return f"{what} ({self.unit})"

    def over(self, other: str) -> str:
        """Name the axis of differences to another arm, as in ``Points above NAME``."""
        if self.higher_is_better:
            return f"{self.short.capitalize()} above {other}"
        return self.head(f"Difference to {other}")  # a unit keeps its capitals

    def value(self, value: float | None) -> str:
        """Write a value without its unit; a dash for None and NaN."""
        return MISSING if value is None else number(self.scale * value, self.decimals)

    def shown(self, value: float) -> str:
        """Write a value with its unit."""
        return f"{self.value(value)}{'' if self.unit == '%' else ' '}{self.unit}"

    def spread(self, mean: float, deviation: float) -> str:
        """Write a mean and a standard deviation; the mean alone for one value."""
        if math.isnan(deviation):
            return self.value(mean)
        return f"{self.value(mean)} ± {self.value(deviation)}"

    def bounds(self, interval: Interval) -> str:
        """Write the bounds of an interval of values; a dash where there are none."""
        if math.isnan(interval.low):
            return MISSING
        return f"{self.value(interval.low)} to {self.value(interval.high)}"

    def change(self, value: float) -> str:
        """Write a difference, signed; a dash for NaN."""
        if math.isnan(value):
            return MISSING
        rounded = round(self.scale * value, self.decimals) + 0.0  # which makes no minus of -0.0
        return f"{rounded:+.{self.decimals}f}"

    def changes(self, low: float, high: float) -> str:
        """Write the bounds of a difference; a dash where there are none."""
        return MISSING if math.isnan(low) else f"{self.change(low)} to {self.change(high)}"

    def verdict(self, decided: str) -> str:
        """Put ``higher`` or ``lower`` so that it cannot be taken for praise of an error."""
        if self.higher_is_better or decided == VERDICTS[2]:
            return decided
        return f"{decided} {self.name}"

    def is_flat(self, change: float, mean: float) -> bool:
        """Say whether a curve of this mean moved too little to speak of."""
        return abs(change) < (0.005 if self.higher_is_better else SMALL_CHANGE * mean)


ACCURACY = Measure(
    "accuracy", "%", "percentage points", "points", 100, True, "accuracy", "Mean class accuracy (%)"
)


def error_measure(
    unit: str, chosen_by: str = "error", further: str = "", decimals: int = 2
) -> Measure:
    """Return the mean absolute error of numbers that are counted in a unit."""
    unit = unit or "no unit"
    return Measure("error", unit, unit, unit, 1, False, chosen_by, further, decimals)
