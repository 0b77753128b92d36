"""Training from a recipe to a finished run folder."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.strategies import DDPStrategy

from hybridface.config import Recipe
from hybridface.data.batches import make_loader
from hybridface.data.cache import Progress
from hybridface.data.orders import BatchOrder, MixedOrder
from hybridface.data.prepare import PreparedData, prepare_data
from hybridface.errors import HybridFaceError, UsageError
from hybridface.network.backbones import check_backbone
from hybridface.network.model import HybridModel, intact_is_supervised
from hybridface.network.shared_batch_norm import check_batch_norm
from hybridface.tasks import resolve_tasks, takes_shared_view
from hybridface.tasks.base import Task
from hybridface.training.callbacks import LossWatch, RunKeeper, TaskPictures
from hybridface.training.finish import finish_run
from hybridface.training.launch import train_in_processes
from hybridface.training.module import REESTIMATION_BATCHES, HybridModule
from hybridface.training.processes import (
    EndAtOnce,
    Processes,
    has_to_start_others,
    joined,
    refuse_unequal_shares,
)
from hybridface.training.runs import RunFolder, architecture, save_weights
from hybridface.training.samples import first_batch


@dataclass(frozen=True)
class TrainedRun:
    """A finished run.

    Attributes:
        folder: Where it lies.
        result: What ``result.json`` holds.
    """

    folder: Path
    result: dict[str, Any]


def train(
    recipe: Recipe,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    show_progress: bool = False,
) -> TrainedRun:
    """Train a model as a recipe says.

    With ``training.devices`` above 1 it starts as many processes and waits for them, unless
    torchrun or SLURM has started this one as one of them.

    Args:
        recipe: The recipe; see :func:`hybridface.config.load_recipe`.
        resume: Go on with the run in ``recipe.run`` where there is one.
        progress: Called with (done, total) while pictures are decoded.
        show_progress: Show progress bars on the terminal.

    Returns:
        The finished run; its folder holds weights, ``model.onnx`` and figures. In all but the
        first of several processes the result is empty.

    Raises:
        HybridFaceError: Names what is wrong with the recipe, the data or the run folder.
    """
    recipe, tasks = resolve_tasks(recipe)
    if not any(task.supervised for task in tasks):
        raise UsageError("tasks: none of them is supervised; add one, such as expression")
    _refuse_early(recipe, tasks)
    folder = RunFolder(recipe.run)
    if has_to_start_others(recipe.training):
        folder.check(recipe, resume=resume)
        if resume and folder.result.exists():
            return TrainedRun(folder.path, folder.read_result())
        _prepare(recipe, tasks, progress)  # what is wrong with the data is said here, once
        train_in_processes(recipe, resume=resume, show_progress=show_progress)
        return TrainedRun(folder.path, folder.read_result())
    with ExitStack() as held:
        processes = held.enter_context(joined(recipe.training))

        def take_folder() -> tuple[bool, dict[str, Any] | None]:
            held.enter_context(folder.locked())
            folder.check(recipe, resume=resume)
            finished = resume and folder.result.exists()
            go_on = resume and folder.checkpoint.exists()
            return go_on, folder.read_result() if finished else None

        go_on, result = processes.first_does(take_folder)
        if result is not None:
            return TrainedRun(folder.path, result)
        return _train(
            recipe,
            tasks,
            folder,
            processes,
            go_on=go_on,
            progress=progress,
            show_progress=show_progress,
        )


def _refuse_early(recipe: Recipe, tasks: Sequence[Task]) -> None:
    """Refuse what can be refused before any picture is decoded."""
    if recipe.training.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("training.device is cuda, but PyTorch sees no CUDA device")
    check_backbone(recipe.backbone)
    refuse_unequal_shares(recipe)
    for task in tasks:
        if not task.supervised:
            task.adopt(None, None, recipe.data.size)
    if recipe.data.unlabelled and all(task.supervised for task in tasks):
        raise UsageError(
            "data.unlabelled: no task can learn from pictures without labels; add one, such as "
            "puzzle or inpaint"
        )
    if recipe.data.unlabelled and recipe.augment.views > 1:
        raise UsageError(
            "augment.views: several views of a picture cannot go with data.unlabelled; take 1"
        )
    shared = [task.name for task in tasks if takes_shared_view(task)]
    if recipe.augment.mixup and (shared or not intact_is_supervised(tasks)):
        raise UsageError(
            "augment.mixup: it mixes intact pictures, which the supervised heads do not see here "
            f"({', '.join(shared) or 'supervise: corrupted'}); take view: own and supervise: intact"
        )


def _prepare(recipe: Recipe, tasks: Sequence[Task], progress: Progress | None) -> PreparedData:
    columns = list(dict.fromkeys(task.label for task in tasks if task.label is not None))
    data = prepare_data(recipe.data, columns, recipe.seed, progress)
    step = min(recipe.training.batch_size, len(data.splits["train"]))
    if step % recipe.training.processes:
        raise UsageError(
            f"data.source: {step} training pictures are less than training.batch_size, and "
            f"{recipe.training.processes} processes cannot share them equally; take a smaller "
            "training.batch_size or fewer processes"
        )
    return data


def _train(
    recipe: Recipe,
    tasks: Sequence[Task],
    folder: RunFolder,
    processes: Processes,
    *,
    go_on: bool,
    progress: Progress | None,
    show_progress: bool,
) -> TrainedRun:
    if recipe.training.threads is not None:
        torch.set_num_threads(recipe.training.threads)
    if processes.count > 1:  # those of a machine find the pictures decoded
        processes.first_on_each_machine_does(lambda: _prepare(recipe, tasks, progress))
    data = _prepare(recipe, tasks, progress)
    module, model = _build(recipe, tasks, data)

    def open_folder() -> None:
        folder.open(recipe)
        folder.write_json(folder.data, data.report())
        folder.write_json(folder.architecture, architecture(recipe, tasks))

    processes.first_does(open_folder)
    keeper = RunKeeper(recipe, folder)
    watchers = [LossWatch(keeper), keeper, TaskPictures(first_batch(data), recipe.seed)]
    trainer = _trainer(recipe, folder, processes, watchers, show_progress)
    _fit(trainer, module, recipe, data, folder.checkpoint if go_on else None)
    if not processes.first:
        return TrainedRun(folder.path, {})
    save_weights(module.evaluated_model(), folder.last)
    result = finish_run(recipe, folder, model, tasks, data, summary=keeper.summary(module))
    return TrainedRun(folder.path, result)


def _fit(
    trainer: pl.Trainer,
    module: HybridModule,
    recipe: Recipe,
    data: PreparedData,
    checkpoint: Path | None,
) -> None:
    """Train, from a checkpoint where there is one.

    When stopped, Lightning leaves by a wordless ``SystemExit``, after SIGTERM even with code 0.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(
                module,
                _training_loader(recipe, data, trainer),
                make_loader(data, "val", _validation_order(data, trainer)),
                ckpt_path=checkpoint,
                weights_only=None if checkpoint is None else True,
            )
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise stop.__context__ from None
        raise HybridFaceError(
            f"{recipe.run}: training was told to stop; go on with it by --resume"
        ) from stop


def _build(
    recipe: Recipe, tasks: Sequence[Task], data: PreparedData
) -> tuple[HybridModule, HybridModel]:
    for task in tasks:
        labels = None if task.label is None else data.labels[task.label]
        ids = None if labels is None else torch.from_numpy(labels.ids[data.splits["train"]])
        task.adopt(labels, ids, recipe.data.size)
    torch.manual_seed(recipe.seed)
    model = HybridModel(recipe.backbone, tasks, recipe.data.size)
    model = model.to(memory_format=torch.channels_last)
    if recipe.training.processes > 1:
        check_batch_norm(model)
    steps = recipe.training.epochs * len(_order(recipe, data))

    def intact() -> Any:
        pictures = make_loader(
            data, "train", BatchOrder(len(data.splits["train"]), 64, seed=recipe.seed)
        )
        return (batch for batch, _ in zip(pictures, range(REESTIMATION_BATCHES), strict=False))

    return HybridModule(recipe, model, tasks, steps, intact), model


def _training_loader(recipe: Recipe, data: PreparedData, trainer: pl.Trainer) -> Any:
    order = _order(recipe, data, trainer.global_rank, trainer.world_size)
    if data.unlabelled is None:
        return make_loader(data, "train", order)
    mixed = MixedOrder(order, len(data.unlabelled), recipe.unlabelled_a_step)
    return make_loader(data, "train", mixed)


def _validation_order(data: PreparedData, trainer: pl.Trainer) -> BatchOrder:
    rank, world = trainer.global_rank, trainer.world_size
    return BatchOrder(len(data.splits["val"]), 256, seed=None, rank=rank, world=world)


def _order(recipe: Recipe, data: PreparedData, rank: int = 0, world: int = 1) -> BatchOrder:
    """Return the order of the labelled training rows for one process."""
    rows = data.splits["train"]
    classes = None
    if recipe.training.sampling == "balanced":
        classes = next(iter(data.labels.values())).ids[rows]
    return BatchOrder(
        len(rows), recipe.training.batch_size, seed=recipe.seed, rank=rank, world=world,
        classes=classes,
    )  # fmt: skip


def _trainer(
    recipe: Recipe,
    folder: RunFolder,
    processes: Processes,
    keepers: Sequence[Callback],
    show_progress: bool,
) -> pl.Trainer:
    training = recipe.training
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    callbacks = [*keepers, *([TQDMProgressBar(refresh_rate=10)] if show_progress else [])]
    several: dict[str, Any] = {}
    if processes.count > 1:
        # The step itself keeps the buffers equal; a task of the user's own may use no more than a
        # part of its head.
        strategy = DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)
        several = {"strategy": strategy, "plugins": [processes.environment]}
        callbacks.append(EndAtOnce())
    return pl.Trainer(
        accelerator={"auto": "auto", "cpu": "cpu", "cuda": "gpu"}[training.device],
        devices=training.devices,
        num_nodes=training.nodes,
        **several,
        max_epochs=training.epochs,
        precision=training.precision,
        gradient_clip_val=training.clip,
        check_val_every_n_epoch=training.validate_every,
        logger=TensorBoardLogger(folder.path, name="", version="tensorboard"),
        log_every_n_steps=1_000_000_000,
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=show_progress,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        default_root_dir=folder.path,
    )
