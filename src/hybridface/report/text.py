"""Numbers and names as they are written in reports."""

from __future__ import annotations

import math
from collections.abc import Mapping

from hybridface.evaluation.statistics import Interval

MISSING = "\u2013"
TITLES = {
    "accuracy": "accuracy",
    "mean_class_accuracy": "mean class accuracy",
    "macro_f1": "macro F1",
    "nll": "negative log-likelihood",
    "ece": "expected calibration error",
    "slot_accuracy": "slot accuracy",
    "hole_psnr": "PSNR inside the hole",
    "mean_fill_psnr": "PSNR inside the hole, filled with the mean colour",
    "mae": "mean absolute error",
    "mae_yaw": "mean absolute error of yaw",
    "mae_pitch": "mean absolute error of pitch",
    "mae_roll": "mean absolute error of roll",
    "geodesic": "angle between rotations",
    "coverage": "true number within 1.96 deviations",
    "deviation": "mean deviation given",
}
FRACTIONS = frozenset(
    {
        "accuracy",
        "mean_class_accuracy",
        "macro_f1",
        "ece",
        "slot_accuracy",
        "recall",
        "precision",
        "coverage",
    }
)
UNITS = {
    "nll": "nats",
    "hole_psnr": "dB",
    "mean_fill_psnr": "dB",
    "loss": "no unit",
    **dict.fromkeys(("mae_yaw", "mae_pitch", "mae_roll", "geodesic"), "degrees"),
}


def is_fraction(measure: str) -> bool:
    """Say whether a measure is a fraction of 1, to be written in percent."""
    return measure in FRACTIONS or measure.removesuffix("_last").endswith("accuracy")


def measure_name(measure: str) -> str:
    """Return the plain English name of a measure, as in ``mean class accuracy``."""
    return TITLES.get(measure, measure.replace("_", " "))


def measure_title(measure: str, units: Mapping[str, str] = UNITS) -> str:
    """Return the plain English name of a measure with its unit, as in ``Accuracy (%)``.

    Args:
        measure: Its key.
        units: The units of some measures, before those that are always the same.
    """
    name = measure_name(measure)
    unit = "%" if is_fraction(measure) else units.get(measure, UNITS.get(measure, ""))
    return f"{name[:1].upper()}{name[1:]}" + (f" ({unit})" if unit else "")


def number(value: float | None, digits: int = 2) -> str:
    """Write a number with so many decimals; a dash for None and NaN."""
    return MISSING if value is None or math.isnan(value) else f"{value:,.{digits}f}"


def percent(value: float | None, digits: int = 2) -> str:
    """Write a fraction of 1 in percent, without the sign; a dash for None and NaN."""
    return MISSING if value is None else number(100 * value, digits)


def measured(measure: str, value: float | None, digits: int = 3) -> str:
    """Write a value of a measure: a fraction in percent, anything else with so many decimals."""
    return percent(value) if is_fraction(measure) else number(value, digits)


def percent_range(interval: Interval) -> str:
    """Write the bounds of an interval of fractions in percent; a dash where there are none."""
    if math.isnan(interval.low):
        return MISSING
    return f"{percent(interval.low)} to {percent(interval.high)}"


def with_bounds(value: str, bounds: str) -> str:
    """Write bounds in brackets behind a value, where there are any."""
    return value if bounds == MISSING else f"{value} ({bounds})"


def duration(seconds: float | None) -> str:
    """Write a time in seconds as hours, minutes or seconds, whichever reads best."""
    if seconds is None or math.isnan(seconds):
        return MISSING
    if seconds < 90:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def counted(count: int, what: str) -> str:
    """Write a count with its noun, in the plural where it takes one."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, which later lines only explain."""
    return str(error).partition("\n")[0]


def joined(names: list[str]) -> str:
    """Join names in English: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
