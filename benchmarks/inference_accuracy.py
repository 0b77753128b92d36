"""The crops that ``inference.py`` shows to each engine, and how right each is on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from held_out import read_keys
from hybridface.data.source import Problem
from hybridface.data.sources import open_source, split_spec
from hybridface.evaluation.bootstrap import paired_bootstrap
from hybridface.evaluation.metrics import interval_in_json
from hybridface.evaluation.statistics import mcnemar_exact, t_interval, wilson_interval
from hybridface.labels import canonical_name

CLASSES = ("expression", "gender")
NUMBERS = ("age",)
Row = dict[str, Any]


@dataclass(frozen=True)
class Crops:
    """Face crops at their own size, in a file, and what is true of each.

    Attributes:
        file: Written by :func:`write_crops`.
        data: The kind of the data set.
        names: For each task of classes ``(N,)`` true names, empty where there is none.
        numbers: For each task of numbers ``(N,)``, NaN where there is none.
    """

    file: Path
    data: str
    names: dict[str, NDArray[np.str_]]
    numbers: dict[str, NDArray[np.float64]]


def write_crops(file: Path, crops: Sequence[NDArray[np.uint8]]) -> Path:
    """Keep uint8 RGB pictures of any sizes end to end in one file."""
    shapes = np.array([crop.shape[:2] for crop in crops])
    np.savez(file, pixels=np.concatenate([crop.reshape(-1) for crop in crops]), shapes=shapes)
    return file


def read_crops(spec: str, keys: Path | None, file: Path) -> Crops:
    """Decode a data set's rows, or those of them that a file names.

    Args:
        spec: ``KIND:PATH``.
        keys: See :func:`held_out.read_keys`; None for every row.
        file: Where the crops are kept.
    """
    source = open_source(spec)
    rows = source.read()
    wanted = None if keys is None else read_keys(keys)
    index = [row for row in range(len(rows)) if wanted is None or rows.keys[row] in wanted]
    if not index:
        raise SystemExit(f"{spec}: none of its rows is named in {keys}")
    decoded = source.decode(rows, index)
    kept = [n for n, each in enumerate(decoded) if not isinstance(each, Problem)]
    write_crops(file, [decoded[n] for n in kept])
    chosen = np.array(index)[kept]
    names = {}
    for task in CLASSES:
        if (column := rows.labels.get(task)) is not None:
            known = np.array([*map(canonical_name, column.names), ""])
            names[task] = known[column.ids[chosen]]  # -1, which is missing, is the last
    numbers = {
        task: rows.numeric[task].values[chosen, 0].astype(np.float64)
        for task in NUMBERS
        if task in rows.numeric
    }
    return Crops(file, split_spec(spec).kind, names, numbers)


def accuracy_rows(crops: Crops, said: dict[str, dict[str, list[Any]]]) -> Iterator[Row]:
    """Yield how right each engine is in each task, and the difference from the first to each.

    Args:
        crops: The crops.
        said: What each engine said of them, by task; ours comes first.
    """
    for task, names in crops.names.items():
        known = names != ""
        right = {}
        for engine, answers in said.items():
            if task in answers:
                answered = np.array([canonical_name(name) for name in answers[task]])
                right[engine] = (answered == names)[known]
        about = {"what": "accuracy", "data": crops.data, "task": task, "count": int(known.sum())}
        yield from _class_rows(about, right, names[known])
    for task, numbers in crops.numbers.items():
        known = np.isfinite(numbers)
        errors = {
            engine: np.abs(np.array(answers[task]) - numbers)[known]
            for engine, answers in said.items()
            if task in answers
        }
        about = {"what": "accuracy", "data": crops.data, "task": task, "count": int(known.sum())}
        yield from _number_rows(about, errors)


def _class_rows(
    about: Row, right: dict[str, NDArray[np.bool_]], names: NDArray[np.str_]
) -> Iterator[Row]:
    first = next(iter(right), None)
    for engine, found in right.items():
        count = len(found)
        by_class = [float(found[names == name].mean()) for name in np.unique(names)]
        row = {
            "accuracy": interval_in_json(wilson_interval(int(found.sum()), count), count),
            "mean_class_accuracy": float(np.mean(by_class)),
        }
        if engine != first:
            ours = right[first]
            gain = paired_bootstrap([ours], [found])
            counts = (int((ours & ~found).sum()), int((found & ~ours).sum()))
            row["ours_minus_this"] = interval_in_json(gain, count)
            row["mcnemar_p"] = mcnemar_exact(*counts)
        yield about | {"engine": engine} | _rounded(row)


def _number_rows(about: Row, errors: dict[str, NDArray[np.float64]]) -> Iterator[Row]:
    first = next(iter(errors), None)
    for engine, found in errors.items():
        row = {"mae": interval_in_json(t_interval(found), len(found))}
        if engine != first:
            row["ours_minus_this"] = interval_in_json(t_interval(errors[first] - found), len(found))
        yield about | {"engine": engine} | _rounded(row)


def _rounded(row: Any) -> Any:
    """Return the same with four digits, but small p values as they are."""
    if isinstance(row, dict):
        return {
            name: value if name == "mcnemar_p" else _rounded(value) for name, value in row.items()
        }
    if isinstance(row, list):
        return [_rounded(each) for each in row]
    return round(row, 4) if isinstance(row, float) else row
