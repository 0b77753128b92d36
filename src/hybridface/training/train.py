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
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.strategies import DDPStrategy

from hybridface.config import Recipe
from hybridface.data.cache import Progress
from hybridface.data.decoding import killed_workers_named
from hybridface.data.identity import identify
from hybridface.data.prepare import PreparedData, prepare_data
from hybridface.errors import HybridFaceError, StoppedError, UsageError
from hybridface.files import DISK_FULL, cannot_write
from hybridface.tasks import build_tasks, label_columns, resolve_tasks
from hybridface.tasks.base import Task
from hybridface.training.allocator import keep_freed_memory
from hybridface.training.build import build_module, make_loaders, meet_data
from hybridface.training.callbacks import LossWatch, RunKeeper
from hybridface.training.checkpoints import CheckpointFile, check_checkpoint
from hybridface.training.finish import finish_run, write_model
from hybridface.training.loggers import OutsideLogger, end_loggers, start_loggers
from hybridface.training.module import HybridModule
from hybridface.training.pretraining import (
    finish_without_labels,
    first_stage,
    weights_file,
    with_first_stage,
)
from hybridface.training.processes import EndAtOnce, Processes, has_to_start_others, joined, on_gpu
from hybridface.training.progress import ProgressBar
from hybridface.training.refusals import refuse_early, refuse_unlearnable, refuse_unselectable
from hybridface.training.runs import RunFolder, architecture, load_model, save_weights
from hybridface.training.samples import TaskPictures, first_batch
from hybridface.training.stopping import Stopper
from hybridface.training.training_rows import TrainingRows


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
    refuse_early(recipe, tasks)
    folder = RunFolder(recipe.run)
    if has_to_start_others(recipe.training):
        folder.check(recipe, resume=resume)
        if resume and folder.result.exists():
            with folder.locked():
                return TrainedRun(folder.path, _finished(folder, recipe, progress))
        columns = label_columns(tasks)
        _prepare(recipe, columns, progress)  # what is wrong with the data is said here, once
        from hybridface.training.launch import train_in_processes

        train_in_processes(recipe, resume=resume, show_progress=show_progress)
        return TrainedRun(folder.path, folder.read_result())
    with ExitStack() as held:
        processes = held.enter_context(joined(recipe.training))

        def take_folder() -> tuple[bool, dict[str, Any] | None]:
            held.enter_context(folder.locked())
            folder.check(recipe, resume=resume)
            if resume and folder.result.exists():
                return False, _finished(folder, recipe, progress)
            return resume and folder.checkpoint.exists(), None

        go_on, result = processes.first_does(take_folder)
        if result is not None:
            return TrainedRun(folder.path, result if processes.first else {})
        return _train(
            recipe,
            tasks,
            folder,
            processes,
            go_on=go_on,
            columns=label_columns(tasks),
            progress=progress,
            show_progress=show_progress,
        )


def _finished(folder: RunFolder, recipe: Recipe, progress: Progress | None) -> dict[str, Any]:
    """Return the result of a run that has ended, cleared of what a kill may have left.

    A model that could not be exported is tried again; one that the user has put there stays.
    """
    folder.remove_unfinished()
    folder.checkpoint.unlink(missing_ok=True)
    result = folder.read_result()
    if result.pop("not_exported", None) is None:
        return result
    if not folder.model.exists():
        model, tasks = load_model(folder.path)
        result |= write_model(
            model, tasks, _prepare(recipe, label_columns(tasks), progress), folder
        )
    folder.write_json(folder.result, result)
    return result


@killed_workers_named()
def _prepare(recipe: Recipe, columns: Sequence[str], progress: Progress | None) -> PreparedData:
    processes = recipe.training.devices
    data = prepare_data(recipe.data, columns, recipe.seed, progress, processes=processes)
    step = min(recipe.training.batch_size, len(data.splits["train"]))
    if step % recipe.training.processes:
        raise UsageError(
            f"data.source: {step} training pictures are less than training.batch_size, and "
            f"{recipe.training.processes} processes cannot share them equally; take a smaller "
            "training.batch_size or fewer processes"
        )
    return data


@killed_workers_named()
def _train(
    recipe: Recipe,
    tasks: Sequence[Task],
    folder: RunFolder,
    processes: Processes,
    *,
    go_on: bool,
    columns: Sequence[str],
    progress: Progress | None,
    show_progress: bool,
) -> TrainedRun:
    """Train a run whose folder is this process's; ``columns`` are what its rows are cut by."""
    start = None if go_on or recipe.backbone.checkpoint is None else recipe.backbone.checkpoint
    if start is not None:
        start = weights_file(start)
    if recipe.training.threads is not None:
        torch.set_num_threads(recipe.training.threads)
    if processes.count > 1:  # those of a machine find the pictures decoded
        processes.first_on_each_machine_does(lambda: _prepare(recipe, columns, progress))
    data = _prepare(recipe, columns, progress)
    refuse_unlearnable(tasks, data)
    refuse_unselectable(recipe, tasks, data)
    first, before = first_stage(recipe), None
    if first is not None:
        meet_data(recipe, tasks, data)  # so that what does not fit is said before hours of training
        folder.open(recipe)  # whatever ends the first stage, this run is known by its recipe
        inner = RunFolder(first.run)
        if inner.result.exists():
            before = _finished(inner, first, progress)
        else:
            before = _train(
                first, build_tasks(first.tasks), inner, processes, go_on=inner.checkpoint.exists(),
                columns=columns, progress=progress, show_progress=show_progress,
            ).result  # fmt: skip
        start = None if go_on else inner.last
    identity = identify(data)
    checkpoint = folder.checkpoint if go_on else None
    if checkpoint is not None:
        check_checkpoint(checkpoint, identity)
    module, model = build_module(recipe, tasks, data, start)

    def open_folder() -> None:
        folder.open(recipe)
        folder.write_json(folder.data, data.report())
        folder.write_json(folder.architecture, architecture(recipe, tasks))

    processes.first_does(open_folder)
    keeper = RunKeeper(recipe, folder, identity)
    watchers = _watchers(recipe, data, processes, keeper)
    loggers = start_loggers(recipe, folder, go_on=go_on) if processes.first else []
    trainer = _trainer(
        recipe, folder, processes, watchers, loggers=loggers, show_progress=show_progress
    )
    if not on_gpu(recipe.training):
        keep_freed_memory()
    keeper.order, training, validation = make_loaders(recipe, data, trainer)
    _fit(trainer, module, (training, validation), folder, checkpoint)
    if not processes.first:
        return TrainedRun(folder.path, {})
    save_weights(module.evaluated_model(), folder.last)
    summary = with_first_stage(keeper.summary(module), before)
    finish = finish_run if any(task.supervised for task in tasks) else finish_without_labels
    result = finish(recipe, folder, model, tasks, data, summary=summary)
    end_loggers(loggers, result)
    return TrainedRun(folder.path, result)


def _watchers(
    recipe: Recipe, data: PreparedData, processes: Processes, keeper: RunKeeper
) -> list[Callback]:
    """Return what watches a training, in the order in which it looks."""
    pictures = TaskPictures(first_batch(data), recipe.seed)
    watchers: list[Callback] = [LossWatch(keeper), keeper, pictures]
    if recipe.training.measure_training_rows:
        watchers.append(TrainingRows(data))
    watchers.append(Stopper(keeper) if processes.count == 1 else EndAtOnce())
    return watchers


def _fit(
    trainer: pl.Trainer,
    module: HybridModule,
    loaders: tuple[Any, Any],
    folder: RunFolder,
    checkpoint: Path | None,
) -> None:
    """Train, from a checkpoint where there is one.

    On Ctrl-C, Lightning leaves by a wordless ``SystemExit``. Whatever ends a training, Lightning
    closes its logs, which fails once more where the disk is full.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(
                module,
                *loaders,
                ckpt_path=checkpoint,
                weights_only=None if checkpoint is None else True,
            )
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise stop.__context__ from None
        raise StoppedError(
            f"{folder.path}: training was told to stop; go on with it by --resume"
        ) from stop
    except OSError as error:
        first = error.__context__
        if isinstance(first, HybridFaceError | KeyboardInterrupt):
            raise first from None
        if error.errno in DISK_FULL:
            raise cannot_write(folder.tensorboard, error) from error
        raise


def _trainer(
    recipe: Recipe,
    folder: RunFolder,
    processes: Processes,
    keepers: Sequence[Callback],
    *,
    loggers: Sequence[OutsideLogger],
    show_progress: bool,
) -> pl.Trainer:
    training = recipe.training
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    callbacks = [*keepers, *([ProgressBar()] if show_progress else [])]
    plugins: list[Any] = [CheckpointFile()]
    several: dict[str, Any] = {}
    if processes.count > 1:
        # The step itself keeps the buffers equal; a task of the user's own may use no more than a
        # part of its head.
        strategy = DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)
        several = {"strategy": strategy}
        plugins.append(processes.environment)
    return pl.Trainer(
        accelerator={"auto": "auto", "cpu": "cpu", "cuda": "gpu"}[training.device],
        devices=training.devices,
        num_nodes=training.nodes,
        **several,
        max_epochs=training.epochs,
        precision=training.precision,
        gradient_clip_val=training.clip,
        accumulate_grad_batches=training.accumulate,
        check_val_every_n_epoch=training.validate_every,
        logger=[TensorBoardLogger(folder.path, name="", version="tensorboard"), *loggers],
        log_every_n_steps=1_000_000_000,
        callbacks=callbacks,
        plugins=plugins,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=show_progress,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        default_root_dir=folder.path,
    )
