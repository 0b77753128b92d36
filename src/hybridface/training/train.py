"""Training from a recipe to a finished run folder."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from pytorch_lightning.loggers import TensorBoardLogger

from hybridface.config import Recipe
from hybridface.data.batches import make_loader
from hybridface.data.cache import Progress
from hybridface.data.decoding import killed_workers_named
from hybridface.data.identity import identify
from hybridface.data.orders import BatchOrder, MixedOrder
from hybridface.data.prepare import PreparedData, prepare_data
from hybridface.errors import HybridFaceError, StoppedError, UsageError
from hybridface.files import DISK_FULL, cannot_write
from hybridface.network.backbones import check_backbone
from hybridface.network.model import HybridModel, intact_is_supervised
from hybridface.tasks import resolve_tasks, takes_shared_view
from hybridface.tasks.base import Task
from hybridface.training.callbacks import LossWatch, RunKeeper, TaskPictures
from hybridface.training.checkpoints import CheckpointFile, check_checkpoint
from hybridface.training.finish import finish_run
from hybridface.training.module import REESTIMATION_BATCHES, HybridModule
from hybridface.training.runs import RunFolder, architecture, save_weights
from hybridface.training.samples import first_batch
from hybridface.training.stopping import Stopper


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

    Args:
        recipe: The recipe; see :func:`hybridface.config.load_recipe`.
        resume: Go on with the run in ``recipe.run`` where there is one.
        progress: Called with (done, total) while pictures are decoded.
        show_progress: Show progress bars on the terminal.

    Returns:
        The finished run; its folder holds weights, ``model.onnx`` and figures.

    Raises:
        HybridFaceError: Names what is wrong with the recipe, the data or the run folder.
    """
    recipe, tasks = resolve_tasks(recipe)
    if not any(task.supervised for task in tasks):
        raise UsageError("tasks: none of them is supervised; add one, such as expression")
    _refuse_early(recipe, tasks)
    folder = RunFolder(recipe.run)
    first = getattr(rank_zero_only, "rank", 0) == 0
    with folder.locked() if first else nullcontext():
        if first:
            folder.check(recipe, resume=resume)
        if resume and folder.result.exists():
            folder.remove_unfinished()
            folder.checkpoint.unlink(missing_ok=True)  # where a kill came before that
            return TrainedRun(folder.path, folder.read_result())
        return _train(
            recipe,
            tasks,
            folder,
            go_on=resume and folder.checkpoint.exists(),
            first=first,
            progress=progress,
            show_progress=show_progress,
        )


def _refuse_early(recipe: Recipe, tasks: Sequence[Task]) -> None:
    """Refuse what can be refused before any picture is decoded."""
    if recipe.training.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("training.device is cuda, but PyTorch sees no CUDA device")
    check_backbone(recipe.backbone)
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


@killed_workers_named()
def _train(
    recipe: Recipe,
    tasks: Sequence[Task],
    folder: RunFolder,
    *,
    go_on: bool,
    first: bool,
    progress: Progress | None,
    show_progress: bool,
) -> TrainedRun:
    if recipe.training.threads is not None:
        torch.set_num_threads(recipe.training.threads)
    columns = list(dict.fromkeys(task.label for task in tasks if task.label is not None))
    data = prepare_data(
        recipe.data, columns, recipe.seed, progress, processes=recipe.training.devices
    )
    identity = identify(data)
    checkpoint = folder.checkpoint if go_on else None
    if checkpoint is not None:
        check_checkpoint(checkpoint, identity)
    module, model = _build(recipe, tasks, data)
    if first:
        folder.open(recipe)
        folder.write_json(folder.data, data.report())
        folder.write_json(folder.architecture, architecture(recipe, tasks))
    keeper = RunKeeper(recipe, folder, identity)
    pictures = TaskPictures(first_batch(data), recipe.seed)
    trainer = _trainer(
        recipe, folder, [LossWatch(keeper), keeper, pictures, Stopper(keeper)], show_progress
    )
    loader = _training_loader(recipe, data, trainer)
    keeper.order = loader.sampler
    validation = make_loader(data, "val", BatchOrder(len(data.splits["val"]), 256, seed=None))
    _fit(trainer, module, (loader, validation), folder, checkpoint)
    if not trainer.is_global_zero:
        return TrainedRun(folder.path, {})
    save_weights(module.evaluated_model(), folder.last)
    result = finish_run(recipe, folder, model, tasks, data, summary=keeper.summary(module))
    return TrainedRun(folder.path, result)


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
    steps = recipe.training.epochs * len(_order(recipe, data, world=recipe.training.devices))

    def intact() -> Any:
        pictures = make_loader(
            data, "train", BatchOrder(len(data.splits["train"]), 64, seed=recipe.seed)
        )
        return (batch for batch, _ in zip(pictures, range(REESTIMATION_BATCHES), strict=False))

    return HybridModule(recipe, model, tasks, steps, intact), model


def _training_loader(recipe: Recipe, data: PreparedData, trainer: pl.Trainer) -> Any:
    order = _order(recipe, data, trainer.global_rank, trainer.world_size)
    pin = trainer.strategy.root_device.type == "cuda"
    if data.unlabelled is None:
        return make_loader(data, "train", order, pin=pin)
    mixed = MixedOrder(order, len(data.unlabelled), recipe.unlabelled_a_step)
    return make_loader(data, "train", mixed, pin=pin)


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
    recipe: Recipe, folder: RunFolder, keepers: Sequence[Callback], show_progress: bool
) -> pl.Trainer:
    training = recipe.training
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    callbacks = [*keepers, *([TQDMProgressBar(refresh_rate=10)] if show_progress else [])]
    return pl.Trainer(
        accelerator={"auto": "auto", "cpu": "cpu", "cuda": "gpu"}[training.device],
        devices=training.devices,
        strategy="ddp" if training.devices > 1 else "auto",
        max_epochs=training.epochs,
        precision=training.precision,
        gradient_clip_val=training.clip,
        check_val_every_n_epoch=training.validate_every,
        logger=TensorBoardLogger(folder.path, name="", version="tensorboard"),
        log_every_n_steps=1_000_000_000,
        callbacks=callbacks,
        plugins=[CheckpointFile()],
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=show_progress,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        default_root_dir=folder.path,
    )
