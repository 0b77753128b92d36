"""Rows of a study's cells, kept where they can be committed, so that no cell is lost or rerun."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

from hybridface.data.sources import kinds_of
from hybridface.errors import DataError
from hybridface.evaluation.predictions import array_of, load_arrays
from hybridface.evaluation.run_predictions import RUN_FILE
from hybridface.files import write_atomically
from hybridface.study.config import Cell, StudyConfig

Content = dict[str, Any]


class ResultStore:
    """The rows and details of finished cells, by the cell's key.

    ``NAME.json`` holds the rows of the arms, as a list; ``NAME.details.json`` beside it the
    curves, per-picture outcomes and tuning trials, so that the page can be made again from what
    is committed, and a finished cell is known on another machine too.

    Args:
        results: Where the rows go.

    Raises:
        DataError: A results file is damaged.
    """

    def __init__(self, results: Path) -> None:
        self.results = results
        self.details_file = results.with_suffix(".details.json")
        self.rows: dict[str, Content] = {}
        self.details: dict[str, Content] = {}
        for row in _load(results, []):
            self.rows[row["cell"]] = row
        extra = _load(self.details_file, {})
        self.details = extra.get("details", {})
        self.rows |= {row["cell"]: row for row in extra.get("trials", [])}
        self.stored = set(self.rows)

    def holds_only(self, cells: Set[str]) -> bool:
        """Say whether writing just these cells loses none that the files held at the start."""
        return self.stored <= cells

    def take(self, cell: Cell, run: Path) -> None:
        """Take over a finished run."""
        result = json.loads((run / "result.json").read_text())
        self.rows[cell.key] = _row(cell, run, result)
        self.details[cell.key] = _detail(run, result) | {
            "recipe": cell.recipe.model_dump(mode="json", exclude={"run": True})
        }

    def write(self, study: StudyConfig, rows: Sequence[Content], tuning: Sequence[Content]) -> None:
        """Write rows, details and, where there are rows, the page."""
        trials = [self.rows[row["cell"]] for row in tuning]
        cells = [row["cell"] for row in (*rows, *tuning)]
        details = {cell: self.details[cell] for cell in cells if cell in self.details}
        extra = {"tuning": list(tuning), "trials": trials, "details": details}
        write_atomically(self.results, _json_lines(rows))
        write_atomically(self.details_file, json.dumps(extra, indent=None) + "\n")
        if rows:
            from hybridface.report.study import StudyResult, write_study_page

            page = StudyResult(
                name=study.name,
                title=study.title,
                description=study.description,
                rows=rows,
                details=details,
                tuning=tuning,
                baseline=study.row_name(next(iter(study.arms))),
                same_test_pictures=study.recipe.get("data", {}).get("folds") is None,
                command=f"hybridface study configs/studies/{study.name}.yaml",
            )
            write_study_page(
                page, self.results.with_suffix(".md"), self.results.with_suffix(".html")
            )


def _load(path: Path, empty: Any) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return empty
    except ValueError as error:
        raise DataError(f"{path}: damaged results ({error}); restore or remove the file") from error


def _json_lines(rows: Sequence[Content]) -> str:
    """Return a JSON list with a row a line, so that a diff shows what came."""
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"


def _value(figures: Mapping[str, Any] | None, name: str) -> float | None:
    return figures[name]["value"] if figures else None


def _row(cell: Cell, run: Path, result: Mapping[str, Any]) -> Content:
    """Return the row of a finished cell; metrics are fractions of 1."""
    from hybridface.tasks import build_tasks

    recipe = cell.recipe
    others = [task.config for task in build_tasks(recipe.tasks) if not task.supervised]
    first = others[0] if others else None
    environment = json.loads((run / "environment.json").read_text())
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
        "val_accuracy": _value(result["val"], "accuracy"),
        "test_accuracy": _value(result["test"], "accuracy"),
        "test_accuracy_last": _value(result["test_last"], "accuracy"),
        "mean_class_accuracy": _value(result["test"], "mean_class_accuracy"),
        "best_epoch": result["best_epoch"],
        "revision": environment["revision"],
        "machine": environment["machine"],
        "cell": cell.key,
    }


def _detail(run: Path, result: Mapping[str, Any]) -> Content:
    """Return curve, per-picture outcomes and further figures of a finished run."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    curve = [
        [line["epoch"], round(line["train"]["loss"], 4), round(line["val"]["accuracy"], 5)]
        for line in lines
    ]
    last: Content = {}
    for line in lines:  # a task that was left out in the end has its last figures
        last |= line["train"]
    label = result["label"]
    detail: Content = {
        "curve": curve,
        "classes": result["classes"],
        "ssl": {k: round(v, 4) for k, v in last.items() if "/" in k and not k.startswith(label)},
        "val_loss": [round(line["val"]["nll"], 4) for line in lines],
    }
    if any("training_rows" in line for line in lines):
        known = [line.get("training_rows", {}) for line in lines]
        detail["training_rows"] = [[each.get("accuracy"), each.get("nll")] for each in known]
    test = result["test"]
    if test is None:
        return detail
    arrays = load_arrays(run / RUN_FILE)
    labels = array_of(arrays, "test_labels", run / RUN_FILE)
    for suffix in ("", "_last"):
        probabilities = array_of(arrays, f"test_probabilities{suffix}", run / RUN_FILE)
        correct = probabilities.argmax(1) == labels
        detail[f"test_correct{suffix}"] = np.packbits(correct).tobytes().hex()
    if "test_groups" in arrays:
        persons = array_of(arrays, "test_groups", run / RUN_FILE)
        detail["test_groups"] = np.unique(persons, return_inverse=True)[1].tolist()
    return detail | {
        "test_count": len(labels),
        "confusion": test["confusion"]["counts"],
        "ece": test["ece"]["value"],
        "nll": test["nll"]["value"],
    }
