"""What a row of a model's output means, as names and numbers: the one way for every output."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.errors import one_line
from hybridface.inference.metadata import ModelTask

Reading = dict[str, Any]
MOST_DECIMALS = 3


def read_row(task: ModelTask, row: NDArray[np.float32]) -> Reading:
    """Return what one face was given by a task.

    Args:
        task: The task.
        row: ``(K,)`` its output.

    Returns:
        ``label``, ``probability`` and ``probabilities`` by class for a classification; ``yaw``,
        ``pitch`` and ``roll`` in degrees for a pose; ``mean`` and ``deviation`` for a regression;
        and the ``unit`` of numbers that have one.
    """
    six_digits = [float(f"{number:.6g}") for number in row.tolist()]
    numbers = dict(zip(task.columns, six_digits, strict=True))
    if task.kind == "classification":
        label = max(numbers, key=numbers.__getitem__)
        return {"label": label, "probability": numbers[label], "probabilities": numbers}
    return numbers | {"unit": task.unit} if task.unit else numbers


def column_names(tasks: Mapping[str, ModelTask]) -> list[str]:
    """Return the columns of a table of readings, the order of :func:`column_values`."""
    names: list[str] = []
    for name, task in tasks.items():
        if task.kind == "classification":
            names += [name, f"{name}_probability"]
        names += [f"{name}.{each}" for each in task.columns]
    return names


def column_values(tasks: Mapping[str, ModelTask], readings: Mapping[str, Reading]) -> list[Any]:
    """Return a row of a table of readings: labels are text, all else numbers."""
    values: list[Any] = []
    for name, task in tasks.items():
        reading = readings[name]
        if task.kind == "classification":
            values += [reading["label"], reading["probability"]]
        numbers = reading.get("probabilities", reading)
        values += [numbers[each] for each in task.columns]
    return values


def in_words(task: ModelTask, reading: Reading) -> str:
    """Return a reading for a person, as in ``happy 93 %``, ``yaw +12 pitch -3 roll +1``.

    Numbers of a regression are as fine as its deviation: ``31 ± 6 years``, ``-0.62 ± 0.04``.
    """
    if task.kind == "classification":
        return f"{reading['label']} {reading['probability']:.0%}".replace("%", " %")
    if task.kind == "pose":
        return " ".join(f"{axis} {reading[axis]:+.0f}" for axis in task.columns)
    unit = f" {task.unit}" if task.unit else ""
    digits = _decimals(reading["deviation"])
    return f"{reading['mean']:z.{digits}f} ± {reading['deviation']:.{digits}f}{unit}"


def _decimals(deviation: float) -> int:
    """Return how many decimals give a deviation one digit; none where it is 1 or more."""
    if not deviation > 0:
        return MOST_DECIMALS
    return min(max(0, -math.floor(math.log10(deviation))), MOST_DECIMALS)


def widest_words(name: str, task: ModelTask) -> int:
    """Return how many characters :func:`in_words` takes at most, or its heading."""
    if task.kind == "classification":
        widest = max(len(one_line(each)) for each in task.classes)
        return max(len(name), widest + len(" 100 %"))
    if task.kind == "pose":
        return max(len(name), len("yaw -180 pitch -180 roll -180"))
    return max(len(name), len(f"-0.001 ± 0.001 {task.unit}".rstrip()))


def without_numbers(outputs: Mapping[str, NDArray[np.float32]]) -> Sequence[str]:
    """Return the names of the tasks whose outputs are not all finite numbers."""
    return [name for name, rows in outputs.items() if not np.isfinite(rows).all()]
