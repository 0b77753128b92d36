"""The row and the details of a finished cell, from its run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.data.sources import kinds_of
from hybridface.evaluation.number_metrics import countable, parts_of_mae
from hybridface.evaluation.predictions import Arrays, array_of, load_arrays, read_about
from hybridface.evaluation.run_predictions import RUN_FILE, RunAbout
from hybridface.files import read_json_lines, read_json_object
from hybridface.study.config import Cell, Content
from hybridface.tasks import build_tasks

# Of a task of numbers, beside its mean absolute error.
FURTHER = ("mae_yaw", "mae_pitch", "mae_roll", "geodesic", "bias", "coverage", "deviation")


def row_of(cell: Cell, run: Path, result: Mapping[str, Any]) -> Content:
    """Return the row of a finished cell.

    Accuracies are fractions of 1; where the first task learns numbers, mean absolute errors in
    their unit stand in the place of accuracies.

    Args:
        cell: The cell.
        run: Its run folder.
        result: What the run's ``result.json`` holds.
    """
    recipe = cell.recipe
    others = [task.config for task in build_tasks(recipe.tasks) if not task.supervised]
    first = others[0] if others else None
    environment = read_json_object(run / "environment.json")
    return {
        "data": kinds_of(recipe.data.specs.values()),
        "fraction": recipe.data.fraction,
        "labels": result["train_rows"],
        "method": cell.method,
        "arm": cell.arm,
        "view": getattr(first, "view", None),
        "grid": next((options.grid for options in others if hasattr(options, "grid")), None),
        "ssl_weight": None if first is None else first.weight,
        "init": recipe.backbone.init,
        "augment": recipe.augment.level,
        "backbone": recipe.backbone.name,
        "size": recipe.data.size,
        "batch": recipe.training.batch_size,
        "epochs": result["epochs"],
        "steps": result["steps"],
        "seed": cell.seed,
        "pictures": result["pictures"],
        "seconds": result["seconds"],
        **(_errors(cell, run, result) if cell.numeric else _accuracies(result)),
        **_own_figure(cell, run, result),
        "best_epoch": result["best_epoch"],
        "revision": environment["revision"],
        "machine": environment["machine"],
        "cell": cell.key,
    }


def _value(figures: Mapping[str, Any] | None, name: str) -> float | None:
    return figures[name]["value"] if figures else None


def _accuracies(result: Mapping[str, Any]) -> Content:
    return {
        "val_accuracy": _value(result["val"], "accuracy"),
        "test_accuracy": _value(result["test"], "accuracy"),
        "test_accuracy_last": _value(result["test_last"], "accuracy"),
        "mean_class_accuracy": _value(result["test"], "mean_class_accuracy"),
    }


def _errors(cell: Cell, run: Path, result: Mapping[str, Any]) -> Content:
    arrays = load_arrays(run / RUN_FILE)
    about = read_about(RunAbout, arrays, run / RUN_FILE)
    errors = {
        "val_mae": _value(result["val"], "mae"),
        "test_mae": _value(result["test"], "mae"),
        "test_mae_last": _value(result["test_last"], "mae"),
    }
    if about.kind == "pose":
        errors["val_geodesic"] = _value(result["val"], "geodesic")
        errors["test_geodesic"] = _value(result["test"], "geodesic")
    return errors | {"unit": about.unit, "select": cell.recipe.training.select}


def _own_figure(cell: Cell, run: Path, result: Mapping[str, Any]) -> Content:
    """Return the figure of the best epoch, where a task of the user's own brings what selects."""
    if cell.own_select is None:
        return {}
    (best,) = (line for line in _lines(run) if line["epoch"] == result["best_epoch"])
    return {"select": cell.own_select, cell.chosen_by: best["val"][cell.own_select]}


def _lines(run: Path) -> list[Content]:
    """Return what a run has written each time it looked at its validation pictures."""
    return read_json_lines(run / "metrics.jsonl")


def detail_of(cell: Cell, run: Path, result: Mapping[str, Any]) -> Content:
    """Return curve, per-picture outcomes and further figures of a finished run.

    Args:
        cell: The cell.
        run: Its run folder.
        result: What the run's ``result.json`` holds.
    """
    lines = _lines(run)
    figure = "mae" if cell.numeric else "accuracy"
    curve = [
        [line["epoch"], round(line["train"]["loss"], 4), _rounded(line["val"].get(figure))]
        for line in lines
    ]
    last: Content = {}
    for line in lines:  # a task that was left out in the end has its last figures
        last |= line["train"]
    own = {task.name for task in build_tasks(cell.recipe.tasks) if not task.supervised}
    detail: Content = {
        "curve": curve,
        "classes": result["classes"] or [],
        "ssl": {k: round(v, 4) for k, v in last.items() if "/" in k and k.split("/")[0] in own},
        "val_loss": [round(line["val"]["nll"], 4) for line in lines if "nll" in line["val"]],
    }
    if any("training_rows" in line for line in lines):
        known = [line.get("training_rows", {}) for line in lines]
        detail["training_rows"] = [[each.get(figure), each.get("nll")] for each in known]
    test = result["test"]
    if test is None:
        return detail
    arrays = load_arrays(run / RUN_FILE)
    if cell.numeric:
        return detail | _number_details(arrays, run / RUN_FILE, test)
    return detail | _class_details(arrays, run / RUN_FILE, test)


def _rounded(value: float | None) -> float | None:
    """Return a figure with six digits; none where a task of the user's own does not give it."""
    return None if value is None else float(f"{value:.6g}")


def _class_details(arrays: Arrays, path: Path, test: Mapping[str, Any]) -> Content:
    labels = array_of(arrays, "test_labels", path)
    known = labels >= 0  # a picture of another task has no label of the first
    detail: Content = {}
    for suffix in ("", "_last"):
        probabilities = array_of(arrays, f"test_probabilities{suffix}", path)
        detail[f"test_correct{suffix}"] = packed(probabilities[known].argmax(1) == labels[known])
    if "test_groups" in arrays:
        detail["test_groups"] = numbered(array_of(arrays, "test_groups", path)[known])
    return detail | {
        "test_count": int(known.sum()),
        "confusion": test["confusion"]["counts"],
        "ece": test["ece"]["value"],
        "nll": test["nll"]["value"],
    }


def _number_details(arrays: Arrays, path: Path, test: Mapping[str, Any]) -> Content:
    about = read_about(RunAbout, arrays, path)
    targets = array_of(arrays, "test_labels", path)
    counted = countable(about.kind, targets)
    detail: Content = {}
    for suffix in ("", "_last"):
        outputs = array_of(arrays, f"test_outputs{suffix}", path)
        parts = parts_of_mae(about.kind, outputs[counted], targets[counted])
        detail[f"test_errors{suffix}"] = [float(f"{value:.4g}") for value in parts.tolist()]
    if "test_groups" in arrays:
        detail["test_groups"] = numbered(array_of(arrays, "test_groups", path)[counted])
    figures = {name: _value(test, name) for name in FURTHER if name in test}
    return detail | {"test_count": int(counted.sum()), "figures": figures}


def packed(correct: NDArray[np.bool_]) -> str:
    """Return which pictures were right, as a study keeps it."""
    return np.packbits(correct).tobytes().hex()


def numbered(persons: NDArray[np.int64]) -> list[int]:
    """Return the number of each picture's person, from 0."""
    numbers: list[int] = np.unique(persons, return_inverse=True)[1].tolist()
    return numbers
