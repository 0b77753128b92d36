"""Compare batch norm's running statistics with re-estimated ones, on the validation split.

Re-estimation changes only how a finished model is evaluated, so one run answers for both:
``python benchmarks/batch_norm.py RUN [RUN ...]`` prints one JSON line a run. The last weights are
looked at (the moving average, where the run kept one), on the rows that the run validated on.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import torch

from hybridface.config import build_recipe
from hybridface.config.content import read_yaml
from hybridface.data.batches import make_loader
from hybridface.data.orders import BatchOrder
from hybridface.data.prepare import PreparedData, prepare_data
from hybridface.network.model import HybridModel, reestimate_batch_norm
from hybridface.tasks.base import Task
from hybridface.training.runs import load_model


@torch.no_grad()
def validate(model: HybridModel, task: Task, data: PreparedData) -> dict[str, float]:
    logits, labels = [], []
    order = BatchOrder(len(data.splits["val"]), 256, seed=None)
    for batch in make_loader(data, "val", order):
        logits.append(model.heads[task.name](model.features(batch.images.float() / 255)))
        labels.append(batch.labels[task.label or ""])
    figures = task.figures(torch.cat(logits), torch.cat(labels))
    return {name: round(float(value), 4) for name, value in figures.items()}


def main() -> None:
    for name in sys.argv[1:]:
        recipe = build_recipe(read_yaml(Path(name) / "config.yaml"), name)
        model, tasks = load_model(Path(name), "last")
        task = next(task for task in tasks if task.supervised)
        data = prepare_data(recipe.data, [task.label or ""], recipe.seed)
        again = copy.deepcopy(model)
        order = BatchOrder(len(data.splits["train"]), 64, seed=recipe.seed)
        pictures = (batch.images.float() / 255 for batch in make_loader(data, "train", order))
        reestimate_batch_norm(again, pictures)
        print(
            json.dumps(
                {
                    "run": Path(name).name,
                    "tasks": sorted(recipe.tasks),
                    "batch_norm": recipe.training.batch_norm,
                    "running": validate(model.eval(), task, data),
                    "reestimated": validate(again, task, data),
                }
            )
        )


if __name__ == "__main__":
    main()
