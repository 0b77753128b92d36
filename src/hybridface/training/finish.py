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
from hybridface.data.sources import kinds_of
from hybridface.data.splits import Index
from hybridface.evaluation.metrics import classification_metrics
from hybridface.evaluation.number_metrics import countable, number_metrics
from hybridface.evaluation.run_predictions import MODEL_DIGEST, RunAbout
from hybridface.export.network import ExportError, export_onnx
from hybridface.files import digest_of, write_arrays
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
        What ``result.json`` holds; ``not_exported`` says why where there is no ``model.onnx``.
    """
    if not folder.best.exists():  # a run of zero validations
        load_weights(model, folder.last)
        save_weights(model, folder.best)
    supervised = [task for task in tasks if task.supervised]
    model = model.cpu()
    measured, predictions = _measure_weights(recipe, folder, model, supervised, data)
    write_arrays(folder.predictions, predictions)
    samples = picture_tasks(model, tasks, first_batch(data), recipe.seed)
    if samples:
        write_arrays(folder.samples, samples)
    first = supervised[0]
    splits = {part: _plain(figures) for part, figures in measured[first.name].items()}
    result: dict[str, Any] = {
        "test": None,
        "test_last": None,
        **splits,
        "name": folder.path.name,
        "label": first.label,
        "classes": first.describe().get("classes"),
        "train_rows": len(data.splits["train"]),
        "parameters": _kept_parameters(model, tasks),
        **summary,
        "tasks": measured,
    }
    result |= write_model(model, tasks, data, folder)
    folder.write_json(folder.result, result)
    folder.checkpoint.unlink(missing_ok=True)
    return result


def write_model(
    model: HybridModel, tasks: Sequence[Task], data: PreparedData, folder: RunFolder
) -> dict[str, Any]:
    """Export a run's model to its ``model.onnx``, compared with torch on validation pictures.

    Args:
        model: The model with its best weights.
        tasks: Its tasks.
        data: The run's data.
        folder: The run folder.

    Returns:
        What the result says of it: the largest difference to torch, and the file's digest, which
        ties the run's predictions to it; None, and why, where the model cannot be exported, so that
        what was trained and measured stays.
    """
    pictures, trained_on = _first_pictures(data), kinds_of(data.sources.values())
    try:
        difference = export_onnx(model, tasks, pictures, folder.model, trained_on=trained_on)
    except ExportError as error:
        return {"onnx_difference": None, "not_exported": str(error)}
    return {"onnx_difference": difference, MODEL_DIGEST: digest_of(folder.model)}


def _measure_weights(
    recipe: Recipe,
    folder: RunFolder,
    model: HybridModel,
    supervised: Sequence[Task],
    data: PreparedData,
) -> tuple[dict[str, dict[str, Any]], dict[str, NDArray[Any]]]:
    """Measure the last and the best weights, which the model has afterwards.

    Returns:
        The figures of each task by split, ``_last`` after it for the last weights; and what is
        kept of the predictions, those of the first task without its name.
    """
    place = {task.name: "" if task is supervised[0] else f"{task.name}/" for task in supervised}
    measured: dict[str, dict[str, Any]] = {task.name: {} for task in supervised}
    predictions: dict[str, NDArray[Any]] = {
        f"{place[task.name]}about": np.array(_about(task, data)) for task in supervised
    }
    for suffix, path in (("_last", folder.last), ("", folder.best)):
        load_weights(model, path)
        for split in ("val", "test") if recipe.training.test else ("val",):
            said = _predict(model, supervised, data, split) if len(data.splits[split]) else {}
            for task in supervised:
                figures = _figures(*said[task.name], task, data, split) if said else None
                measured[task.name][split + suffix] = figures
                kept = _kept(said[task.name], task, split, suffix) if said else {}
                predictions |= {f"{place[task.name]}{part}": each for part, each in kept.items()}
            if said:
                predictions |= _rows_kept(data, split)
    return measured, predictions


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


def _kept(
    said: tuple[NDArray[np.float32], NDArray[Any]], task: Task, split: str, suffix: str
) -> dict[str, NDArray[Any]]:
    """Return what a task said of a split, and what is true, as they are kept."""
    outputs, labels = said
    what = "outputs" if task.numeric else "probabilities"
    return {f"{split}_{what}{suffix}": outputs, f"{split}_labels": labels}


def _rows_kept(data: PreparedData, split: str) -> dict[str, NDArray[Any]]:
    """Return which pictures a split holds, and whose they are, as it is kept."""
    rows = data.splits[split]
    kept = {f"{split}_rows": rows, f"{split}_keys": np.array([data.keys[row] for row in rows])}
    return kept | ({} if data.groups is None else {f"{split}_groups": data.groups[rows]})


def _figures(
    outputs: NDArray[np.float32], labels: NDArray[Any], task: Task, data: PreparedData, split: str
) -> dict[str, Any] | None:
    """Measure a task on a split, and where the run has several data sets on each ``by_source``."""
    rows = data.splits[split]
    figures = _measured(outputs, labels, task, None if data.groups is None else data.groups[rows])
    if figures is None or data.origin is None:
        return figures
    by_source = {}
    for number, name in enumerate(data.sources):
        here = data.origin[rows] == number
        group = None if data.groups is None else data.groups[rows[here]]
        found = _measured(outputs[here], labels[here], task, group) if here.any() else None
        if found is not None:
            by_source[name] = found
    return {**figures, "by_source": by_source}


def _plain(figures: dict[str, Any] | None) -> dict[str, Any] | None:
    return figures and {name: value for name, value in figures.items() if name != "by_source"}


def _measured(
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
    persons = None if group is None else group[known]
    return classification_metrics(outputs[known], labels[known], said["classes"], persons)


def _kept_parameters(model: HybridModel, tasks: Sequence[Task]) -> int:
    kept = [model.backbone, *(model.heads[t.name] for t in tasks if t.kept_at_inference)]
    return sum(value.numel() for module in kept for value in module.parameters())


@torch.no_grad()
def _predict(
    model: HybridModel, tasks: Sequence[Task], data: PreparedData, split: str
) -> dict[str, tuple[NDArray[np.float32], NDArray[Any]]]:
    """Return of each task the decoded outputs ``(N, K)``, and labels ``(N,)`` or numbers."""
    model.eval()
    outputs: dict[str, list[NDArray[np.float32]]] = {task.name: [] for task in tasks}
    labels: dict[str, list[NDArray[Any]]] = {task.name: [] for task in tasks}
    for batch in make_loader(data, split, BatchOrder(len(data.splits[split]), 256, seed=None)):
        features = model.features(batch.images.float() / 255)
        for task in tasks:
            output = model.heads[task.name](features)
            outputs[task.name].append(task.decode(output).numpy())
            labels[task.name].append(task.truth(batch).numpy())
    return {
        task.name: (np.concatenate(outputs[task.name]), np.concatenate(labels[task.name]))
        for task in tasks
    }


def _first_pictures(data: PreparedData) -> torch.Tensor:
    return first_batch(data).images.float() / 255
