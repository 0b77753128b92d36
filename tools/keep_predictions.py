"""Keep what a model file says of the held-out rows of the recipe that it came from.

``python tools/keep_predictions.py MODEL RECIPE OUT.npz`` is for a model whose run is gone, such as
the one that ships: ``hybridface evaluate`` would take whole data sets, training rows among them.
MODEL is a file or ``default``, RECIPE a resolved recipe, as
``benchmarks/results/default/hybrid.yaml``; the data have to lie where it says. OUT.npz is for
``hybridface calibrate --on``, and for ``hybridface compare``. ``--split test`` keeps those of the
test rows. It prints a JSON line a task and data set: the answers' error, and how sure they are.
"""

import argparse
import json
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from hybridface.config import load_recipe
from hybridface.data.prepare import prepare_data
from hybridface.data.source import NumericLabels
from hybridface.evaluation.evaluate import predict_rows
from hybridface.evaluation.metrics import classification_metrics
from hybridface.evaluation.number_metrics import number_metrics
from hybridface.evaluation.numeric_predictions import NumericPredictions
from hybridface.evaluation.predictions import (
    Predictions,
    TaskPredictions,
    check_place,
    save_predictions,
)
from hybridface.inference.runtime import FaceModel
from hybridface.tasks import build_tasks, label_columns

BATCH = 256


def keep(model: FaceModel, recipe_file: Path, split: str, out: Path) -> Predictions:
    """Write the predictions for the labelled rows of a split."""
    check_place(out)
    recipe = load_recipe(recipe_file)
    tasks = [task for task in build_tasks(recipe.tasks) if task.name in model.tasks]
    data = prepare_data(recipe.data, label_columns(build_tasks(recipe.tasks)), recipe.seed)
    rows = data.splits[split]
    if not len(rows):
        raise SystemExit(f"{recipe_file}: no row is in split {split}; name another by --split")
    said = predict_rows(model, data.images, rows, BATCH, workers=data.workers)
    classes: dict[str, TaskPredictions] = {}
    numbers: dict[str, NumericPredictions] = {}
    for task in tasks:
        column = data.column(task.label or "")
        known = column.known()[rows]
        chosen = rows[known]
        keys = np.array([data.keys[row] for row in chosen])
        groups = None if data.groups is None else data.groups[chosen]
        if isinstance(column, NumericLabels):
            numbers[task.name] = NumericPredictions(
                task.label or "", model.tasks[task.name].kind, column.names, column.unit, keys,
                column.values[chosen].astype(np.float32), said[task.name][known], groups,
            )  # fmt: skip
            continue
        if column.names != model.tasks[task.name].classes:
            raise SystemExit(f"{task.name}: the recipe's classes are not those of {model.path}")
        classes[task.name] = TaskPredictions(
            task.label or "", column.names, keys, column.ids[chosen], said[task.name][known], groups
        )
    kept = Predictions(
        str(out), str(model.path), data.spec, split, data.fingerprint, classes, (), numbers,
        model.digest,
    )  # fmt: skip
    save_predictions(out, kept)
    return kept


def figures(kept: Predictions, sources: Collection[str]) -> Iterator[dict[str, object]]:
    """Give how good, and how sure, the answers of each task are, by data set and over all."""
    for name, task in (kept.tasks | kept.numbers).items():
        data = np.array([key.partition("/")[0] for key in task.keys])
        found_in = [each for each in sources if (data == each).any()]
        for each in [*found_in, "all"] if len(found_in) != 1 else found_in:
            rows = np.flatnonzero((data == each) | (each == "all"))
            groups = None if task.groups is None else task.groups[rows]
            row = {"task": name, "data": each, "split": kept.split, "pictures": len(rows)}
            if isinstance(task, NumericPredictions):
                found = number_metrics(task.kind, task.outputs[rows], task.targets[rows], groups)
            else:
                found = classification_metrics(
                    task.probabilities[rows], task.targets[rows], task.classes, groups
                )
            wanted = ("accuracy", "nll", "ece", "mae", "coverage")
            yield row | {key: found[key] for key in wanted if key in found}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model")
    parser.add_argument("recipe", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", choices=("train", "val", "test"), default="val")
    given = parser.parse_args()
    kept = keep(FaceModel.load(given.model), given.recipe, given.split, given.out)
    for row in figures(kept, load_recipe(given.recipe).data.sources):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
