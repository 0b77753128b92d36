"""The end of a run: figures on validation and test, predictions, samples, the exported model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hybridface.config import Recipe
from hybridface.data.batches import make_loader
from hybridface.data.orders import BatchOrder
from hybridface.data.prepare import PreparedData
from hybridface.data.sources import split_spec
from hybridface.data.splits import Index
from hybridface.evaluation.metrics import classification_metrics
from hybridface.evaluation.number_metrics import countable, number_metrics
from hybridface.evaluation.run_predictions import RunAbout
from hybridface.export import export_onnx
from hybridface.files import write_arrays
from hybridface.network.model import HybridModel
from hybridface.tasks.base import Task
from hybridface.training.runs import RunFolder, load_weights, save_weights
from hybridface.training.samples import first_batch, picture_tasks


def finish_run(
    recipe: Recipe,
    folder: RunFolder,
    model: HybridModel,
    tasks: Sequence[Task],
    data: PreparedData,
    *,
    summary: dict[str, Any],
) -> dict[str, Any]:
    """Evaluate the best and last weights, once, and write what the run leaves.

    Args:
        recipe: The recipe.
        folder: The run folder, with best and last weights in it.
        model: A model of the right architecture; its weights are overwritten.
        tasks: Its tasks.
        data: The data; its test split is read here and nowhere before.
        summary: What training says of itself.

    Returns:
        What ``result.json`` holds.
    """
    if not folder.best.exists():  # a run of zero validations
        load_weights(model, folder.last)
        save_weights(model, folder.best)
    first = next(task for task in tasks if task.supervised)
    result: dict[str, Any] = {
        "test": None,
        "test_last": None,
        "name": folder.path.name,
        "label": first.label,
        "classes": first.describe().get("classes"),
        "train_rows": len(data.splits["train"]),
        "parameters": _kept_parameters(model, tasks),
        **summary,
    }
    predictions: dict[str, NDArray[Any]] = {"about": np.array(_about(first, data))}
    model = model.cpu()
    for which, path in (("last", folder.last), ("best", folder.best)):
        load_weights(model, path)
        for split in ("val", "test") if recipe.training.test else ("val",):
            rows = data.splits[split]
            suffix = "_last" if which == "last" else ""
            figures = None
            if len(rows):
                outputs, labels = _predict(model, first, data, split)
                what = "outputs" if first.numeric else "probabilities"
                predictions |= {f"{split}_{what}{suffix}": outputs}
                predictions |= {f"{split}_rows": rows, f"{split}_labels": labels}
                predictions[f"{split}_keys"] = np.array([data.keys[row] for row in rows])
                group = None if data.groups is None else data.groups[rows]
                if group is not None:
                    predictions[f"{split}_groups"] = group
                figures = _figures(outputs, labels, first, group)
            result[split + suffix] = figures
    write_arrays(folder.predictions, predictions)
    samples = picture_tasks(model, tasks, first_batch(data), recipe.seed)
    if samples:
        write_arrays(folder.samples, samples)
    result["onnx_difference"] = export_onnx(
        model, tasks, _first_pictures(data), folder.model, trained_on=split_spec(data.spec).kind
    )
    folder.write_json(folder.result, result)
    folder.checkpoint.unlink(missing_ok=True)
    return result


def _about(task: Task, data: PreparedData) -> str:
    said = task.describe()
    names = data.numeric[task.label or ""].names if task.numeric else ()
    return RunAbout(
        task=task.name,
        label=task.label or "",
        classes=tuple(said.get("classes", ())),
        data=data.spec,
        fingerprint=data.fingerprint,
        kind=said["kind"],
        names=names,
        unit=said.get("unit", ""),
    ).model_dump_json()


def _figures(
    outputs: NDArray[np.float32], labels: NDArray[Any], task: Task, group: Index | None
) -> dict[str, Any] | None:
    said = task.describe()
    if task.numeric:
        if not countable(said["kind"], labels).any():
            return None
        return number_metrics(said["kind"], outputs, labels, group)
    known = labels >= 0
    if not known.any():
        return None
    return classification_metrics(outputs[known], labels[known], said["classes"])


def _kept_parameters(model: HybridModel, tasks: Sequence[Task]) -> int:
    kept = [model.backbone, *(model.heads[t.name] for t in tasks if t.kept_at_inference)]
    return sum(value.numel() for module in kept for value in module.parameters())


@torch.no_grad()
def _predict(
    model: HybridModel, task: Task, data: PreparedData, split: str
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Return the decoded outputs ``(N, K)`` and labels ``(N,)``, or numbers, of a split."""
    model.eval()
    outputs, labels = [], []
    for batch in make_loader(data, split, BatchOrder(len(data.splits[split]), 256, seed=None)):
        output = model.heads[task.name](model.features(batch.images.float() / 255))
        outputs.append(task.decode(output).numpy())
        labels.append(task.truth(batch).numpy())
    return np.concatenate(outputs), np.concatenate(labels)


def _first_pictures(data: PreparedData) -> torch.Tensor:
    return first_batch(data).images.float() / 255
