"""Backbones that learn before the labels come: a first stage, or the weights of another run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hybridface.config import Recipe
from hybridface.data.prepare import PreparedData
from hybridface.errors import DataError, UsageError
from hybridface.files import at_home, write_arrays
from hybridface.inference.shipped import DEFAULT, MODEL_SUFFIX, find_model, is_shipped
from hybridface.network.backbones import Backbone
from hybridface.network.model import HybridModel
from hybridface.tasks.base import Task
from hybridface.training.exported_backbone import load_exported_backbone
from hybridface.training.runs import RunFolder, load_weights, save_weights
from hybridface.training.samples import first_batch, picture_tasks

FOLDER = "pretrain"
PREFIX = "backbone."
ADDED = ("epochs", "steps", "seconds", "pictures")


def first_stage(recipe: Recipe) -> Recipe | None:
    """Return the recipe of a recipe's first stage, in a folder of its run; None without one.

    Seed and data are those of the recipe. The rows have to be cut by the label columns of the
    recipe's own tasks, so that the first stage sees the training split of the second.

    Args:
        recipe: A recipe whose tasks are resolved; see :func:`hybridface.tasks.resolve_tasks`.
    """
    pretrain = recipe.pretrain
    if pretrain is None:
        return None
    rate = pretrain.learning_rate or recipe.training.learning_rate
    training = {"epochs": pretrain.epochs, "learning_rate": rate, "sampling": "natural"}
    return recipe.model_copy(
        update={
            "run": recipe.run / FOLDER,
            "tasks": pretrain.tasks,
            "augment": recipe.augment.model_copy(update={"mixup": 0.0}),
            "training": recipe.training.model_copy(update={**training, "test": False}),
            "backbone": recipe.backbone.model_copy(
                update={"frozen": False, "learning_rate_factor": 1.0}
            ),
            "pretrain": None,
        }
    )


def with_first_stage(summary: dict[str, Any], first: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a run says of its training, with what its first stage took added.

    Args:
        summary: What the second stage says of itself.
        first: The result of the first stage, if there was one.
    """
    if first is None:
        return summary
    took = {name: first[name] for name in ADDED}
    return {**summary, **{name: summary[name] + took[name] for name in ADDED}, FOLDER: took}


def finish_without_labels(
    recipe: Recipe,
    folder: RunFolder,
    model: HybridModel,
    tasks: Sequence[Task],
    data: PreparedData,
    *,
    summary: dict[str, Any],
) -> dict[str, Any]:
    """End a run that has no supervised task: its last weights are its best, and no model is made.

    Args:
        recipe: The recipe.
        folder: The run folder, with the last weights in it.
        model: A model of the right architecture; its weights are overwritten.
        tasks: Its tasks.
        data: The data; no test split is read.
        summary: What training says of itself.

    Returns:
        What ``result.json`` holds.
    """
    model = model.cpu()
    load_weights(model, folder.last)
    save_weights(model, folder.best)
    result: dict[str, Any] = {
        "val": None,
        "test": None,
        "test_last": None,
        "name": folder.path.name,
        "label": None,
        "classes": None,
        "train_rows": len(data.splits["train"]),
        "parameters": sum(value.numel() for value in model.backbone.parameters()),
        **summary,
    }
    samples = picture_tasks(model, tasks, first_batch(data), recipe.seed)
    if samples:
        write_arrays(folder.samples, samples)
    folder.write_json(folder.result, result)
    folder.checkpoint.unlink(missing_ok=True)
    return result


def weights_file(path: Path) -> Path:
    """Return the file of weights that ``backbone.checkpoint`` names.

    Raises:
        UsageError: There is none.
    """
    path = at_home(path)
    if is_shipped(path) and not path.exists():
        return find_model(path)
    file = RunFolder(path).best if path.is_dir() else path
    if not file.is_file():
        what = "a run without best.safetensors" if path.is_dir() else "there is no such file"
        raise UsageError(
            f"backbone.checkpoint: {path}: {what}; name a run folder that has trained, one of its "
            f".safetensors files, an exported model, or '{DEFAULT}' for the model that ships"
        )
    return file


def load_backbone(backbone: Backbone, path: Path, pictures: Iterable[Tensor]) -> None:
    """Read the backbone of a run's weights into another backbone of the same kind.

    Args:
        backbone: Its weights and buffers are overwritten; it stays in its mode.
        path: A safetensors file of a run or of timm's own weights, whose classifier is left out,
            or an exported model; anything else is refused, pickles above all.
        pictures: Batches ``(B, 3, H, W)`` of normalised pictures to be trained on; an exported
            model's batch norms start with their statistics.

    Raises:
        HybridFaceError: The file is damaged or something else, or holds another network.
    """
    if path.suffix == MODEL_SUFFIX:
        load_exported_backbone(backbone, path, pictures)
        return
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"backbone.checkpoint: {path}: not a whole safetensors file ({error}); checkpoints to "
            "resume from (.ckpt) and other pickles are not read"
        ) from error
    ours = backbone.state_dict()
    theirs = {name.removeprefix(PREFIX): v for name, v in state.items() if name.startswith(PREFIX)}
    if not theirs:
        theirs = _of_timm(backbone, state)
    if not theirs.keys() & ours.keys():
        raise UsageError(
            f"backbone.checkpoint: {path}: holds no backbone of hybridface, nor {backbone.name} as "
            f"timm has it: none of its {len(state)} tensors is called {PREFIX}... or as one of that"
        )
    wrong = [
        name
        for name in [*ours, *(name for name in theirs if name not in ours)]
        if name not in theirs or name not in ours or theirs[name].shape != ours[name].shape
    ]
    if wrong:
        raise UsageError(
            f"backbone.checkpoint: {path}: holds another network than backbone.name "
            f"{backbone.name}: {len(wrong)} of its tensors do not fit, the first is {wrong[0]}; "
            "its run's config.yaml says which it is; backbone.options must be the same too and, of "
            "a network that is made for one size, as a vision transformer, data.size"
        )
    backbone.load_state_dict(theirs)


def _of_timm(backbone: Backbone, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights that are named as in timm as ours are named, without those of a classifier."""
    said = backbone.network.pretrained_cfg.get("classifier") or ()
    classifiers = (said,) if isinstance(said, str) else said
    left_out = tuple(f"{name}." for name in classifiers)
    return {f"network.{name}": v for name, v in state.items() if not name.startswith(left_out)}
