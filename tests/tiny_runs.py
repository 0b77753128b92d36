"""A recipe that trains in seconds: drawn faces, a tiny network with all that a large one has."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from conftest import picture_pixels
from hybridface import Recipe, build_recipe
from hybridface.config import BackboneConfig
from hybridface.config.content import drop_tasks, merge
from hybridface.data.batches import Batch
from hybridface.data.source import Labels, NumericLabels
from hybridface.errors import UsageError
from hybridface.network.model import HybridModel
from hybridface.rotations import ANGLES
from hybridface.tasks import build_tasks
from hybridface.tasks.base import Task
from hybridface.training.module import HybridModule

SIZE = 32
CLASSES = ("happy", "neutral", "sad")
BACKBONE = "test_efficientnet"  # timm's own for tests: batch norm, drop path, maps of five sizes
CONTENT: dict[str, Any] = {
    "data": {"source": "drawn:120?pixels=32", "size": SIZE},
    "backbone": {"name": BACKBONE, "drop_path": 0.2},
    "tasks": {"expression": {}, "puzzle": {"grid": 2}, "inpaint": {"decoder_channels": 8}},
    "training": {
        "epochs": 4,
        "batch_size": 16,
        "checkpoint_minutes": 0,
        "threads": 1,
        "device": "cpu",
    },
}


def tiny_recipe(run: Path, **changes: Any) -> Recipe:
    """Return the recipe for a run folder, with some of its sections changed."""
    return build_recipe(drop_tasks(merge(merge(CONTENT, {"run": str(run)}), changes)))


def write_recipe(path: Path, **changes: Any) -> Path:
    """Write the recipe with its run folder beside it, for the command line."""
    path.write_text(tiny_recipe(path.with_suffix(""), **changes).to_yaml(), encoding="utf-8")
    return path


def copy_run(run: Path, place: Path) -> Recipe:
    """Copy a run folder, and return its recipe for the copy."""
    shutil.copytree(run, place)
    content = yaml.safe_load((run / "config.yaml").read_text())
    return build_recipe(content | {"run": str(place)})


def content_of(folder: Path) -> dict[str, bytes]:
    """Return the content of every file of a folder but locks, by its path."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def same_weights(one: Path | HybridModel, other: Path | HybridModel) -> bool:
    """Say whether two models, or files of weights, are equal bit for bit."""
    first, second = (_state(each) for each in (one, other))
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


def _state(weights: Path | HybridModel) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(weights) if isinstance(weights, Path) else weights.state_dict()


def metrics_of(run: Path) -> list[dict[str, Any]]:
    """Return the lines of the metrics but for the seconds."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        assert line.pop("seconds") > 0
    return lines


def assert_same_run(one: Path, other: Path) -> None:
    """Ask that two runs have equal weights, metrics, predictions and figures."""
    assert same_weights(one / "last.safetensors", other / "last.safetensors")
    assert same_weights(one / "best.safetensors", other / "best.safetensors")
    assert metrics_of(one) == metrics_of(other)
    with np.load(one / "predictions.npz") as ours, np.load(other / "predictions.npz") as theirs:
        assert set(ours) == set(theirs)
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name])
    results = [json.loads((run / "result.json").read_text()) for run in (one, other)]
    for result in results:
        del result["seconds"], result["name"], result["onnx_difference"], result["model_digest"]
    assert results[0] == results[1]


class BrokenOffError(Exception):
    """Stands for whatever ends a process."""


def break_at_step(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Break a training off before a step, counted from 0 over the whole run."""
    go = HybridModule.training_step

    def training_step(self: HybridModule, *arguments: Any) -> Any:
        if self.global_step == step:
            raise BrokenOffError
        return go(self, *arguments)

    monkeypatch.setattr(HybridModule, "training_step", training_step)


def labelled_batch(
    count: int = 6, size: int = SIZE, column: str | None = "expression", seed: int = 0
) -> Batch:
    """Return smooth random pictures, labelled by turns with one of three classes."""
    pixels = [picture_pixels(1000 * seed + number, size) for number in range(count)]
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
    labels = {} if column is None else {column: torch.arange(count) % len(CLASSES)}
    return Batch(images, labels, {})


def numbers_of(task: Task, count: int = 7) -> NumericLabels:
    """Return made-up numbers of the parts that a task of numbers takes."""
    values = 30 * np.random.default_rng(0).standard_normal((count, 3)).astype(np.float32)
    for names in (ANGLES, ("number",)):
        labels = NumericLabels(names, values[:, : len(names)], "of the labels")
        try:
            task.adopt_numbers(labels, torch.from_numpy(labels.values), SIZE)
        except UsageError:
            continue
        return labels
    raise AssertionError(f"{task.name} takes neither poses nor single numbers")


def batch_for(task: Task, count: int = 6, size: int = SIZE) -> Batch:
    """Return smooth random pictures with labels of the kind that a task takes."""
    if not task.numeric:
        return labelled_batch(count, size, task.label)
    values = torch.from_numpy(numbers_of(task, count).values)
    batch = labelled_batch(count, size, None)
    return replace(batch, numeric={task.label or "": values})


def tiny_model(
    options: dict[str, dict[str, Any]],
    size: int = SIZE,
    *,
    drop_path: float = 0.0,
    classes: Mapping[str, tuple[str, ...]] = {},
) -> tuple[HybridModel, list[Task]]:
    """Return a model with random weights, the same each time, and its tasks."""
    tasks = build_tasks(options)
    for task in tasks:
        if task.numeric:
            numbers_of(task)
            continue
        named = classes.get(task.name, CLASSES)
        ids = torch.arange(7) % len(named)
        labels = None if task.label is None else Labels(named, ids.numpy())
        task.adopt(labels, None if labels is None else ids, size)
    torch.manual_seed(0)
    return HybridModel(BackboneConfig(name=BACKBONE, drop_path=drop_path), tasks, size), tasks
