"""Training from a recipe to a finished run folder."""

from __future__ import annotations

import json
import logging
import time
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

from hybridface.backbones import check_backbone
from hybridface.config import Recipe
from hybridface.data.batches import BatchOrder, make_loader
from hybridface.data.cache import Progress
from hybridface.data.prepare import PreparedData, prepare_data
from hybridface.errors import HybridFaceError, UsageError
from hybridface.finish import finish_run
from hybridface.model import HybridModel, passes_a_picture
from hybridface.module import REESTIMATION_BATCHES, HybridModule
from hybridface.runs import RunFolder, architecture, save_weights
from hybridface.tasks import resolve_tasks
from hybridface.tasks.base import Task


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
    data = prepare_data(recipe.data, columns, recipe.seed, progress)
    module, model = _build(recipe, tasks, data)
    if first:
        folder.open(recipe)
        folder.write_json(folder.data, data.report())
        folder.write_json(folder.architecture, architecture(recipe, tasks))
    keeper = RunKeeper(recipe, folder)
    trainer = _trainer(recipe, folder, keeper, show_progress)
    _fit(trainer, module, recipe, data, folder.checkpoint if go_on else None)
    if not trainer.is_global_zero:
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
                make_loader(data, "val", BatchOrder(len(data.splits["val"]), 256, seed=None)),
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
    order = BatchOrder(
        len(data.splits["train"]), recipe.training.batch_size, seed=recipe.seed,
        world=recipe.training.devices,
    )  # fmt: skip
    steps = recipe.training.epochs * len(order)

    def intact() -> Any:
        pictures = make_loader(
            data, "train", BatchOrder(len(data.splits["train"]), 64, seed=recipe.seed)
        )
        return (batch for batch, _ in zip(pictures, range(REESTIMATION_BATCHES), strict=False))

    return HybridModule(recipe, model, tasks, steps, intact), model


def _training_loader(recipe: Recipe, data: PreparedData, trainer: pl.Trainer) -> Any:
    order = BatchOrder(
        len(data.splits["train"]), recipe.training.batch_size, seed=recipe.seed,
        rank=trainer.global_rank, world=trainer.world_size,
    )  # fmt: skip
    return make_loader(data, "train", order)


def _trainer(
    recipe: Recipe, folder: RunFolder, keeper: Callback, show_progress: bool
) -> pl.Trainer:
    training = recipe.training
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    callbacks = [keeper, *([TQDMProgressBar(refresh_rate=10)] if show_progress else [])]
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
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=show_progress,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        default_root_dir=folder.path,
    )


class RunKeeper(Callback):
    """Writes metrics, the best weights and a resumable checkpoint as the run goes on.

    Args:
        recipe: The recipe.
        folder: The run folder.
    """

    def __init__(self, recipe: Recipe, folder: RunFolder) -> None:
        self.recipe = recipe
        self.folder = folder
        self.lines: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self.seconds_before = 0.0
        self._started = time.monotonic()
        self._saved = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know, as JSON text."""
        state = {"lines": self.lines, "best": self.best, "seconds": self._seconds()}
        return {"state": json.dumps(state)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where the checkpoint was written; later lines of the metrics are dropped."""
        state = json.loads(state_dict["state"])
        self.lines, self.best = state["lines"], state["best"]
        self.seconds_before = state["seconds"]

    def summary(self, module: HybridModule) -> dict[str, Any]:
        """Return what the finished run's result says of its training."""
        return {
            "best_epoch": None if self.best is None else self.best["epoch"],
            "epochs": self.recipe.training.epochs,
            "steps": module.total_steps,
            "seconds": round(self._seconds(), 1),
            "pictures": module.total_steps * self.recipe.training.batch_size
            * self.recipe.training.devices * self.recipe.augment.views
            * passes_a_picture(module.tasks),
        }  # fmt: skip

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._started = self._saved = time.monotonic()
        if trainer.is_global_zero:
            self._write_lines()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Choose the epoch's order."""
        loader = trainer.train_dataloader
        if loader is not None:
            loader.sampler.set_epoch(trainer.current_epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write down the epoch, keep the best weights, save a checkpoint where it is time."""
        assert isinstance(pl_module, HybridModule)
        if pl_module.validation and trainer.is_global_zero:
            self._note(trainer, pl_module)
        self._log(trainer, pl_module)
        due = time.monotonic() - self._saved >= 60 * self.recipe.training.checkpoint_minutes
        due = trainer.strategy.broadcast(due)  # every process has to take part in saving
        if due and trainer.current_epoch + 1 < self.recipe.training.epochs:
            self._save(trainer)

    def _note(self, trainer: pl.Trainer, module: HybridModule) -> None:
        line = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "seconds": round(self._seconds(), 2),
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "train": module.training_averages(),
            "val": module.validation,
        }
        self.lines.append(line)
        self._write_lines()
        select = self.recipe.training.select
        value = module.validation[select]
        better = (
            self.best is None
            or (value < self.best["value"] if select == "nll" else value > self.best["value"])
        )  # fmt: skip
        if better:
            self.best = {"epoch": line["epoch"], "value": value}
            save_weights(module.evaluated_model(), self.folder.best)

    def _log(self, trainer: pl.Trainer, module: HybridModule) -> None:
        figures = {f"train/{name}": value for name, value in module.training_averages().items()}
        figures |= {f"val/{name}": value for name, value in module.validation.items()}
        for logger in trainer.loggers:
            logger.log_metrics(figures, step=trainer.global_step)

    def _write_lines(self) -> None:
        text = "".join(json.dumps(line) + "\n" for line in self.lines)
        self.folder.metrics.write_text(text)

    def _save(self, trainer: pl.Trainer) -> None:
        temporary = self.folder.checkpoint.with_name(f".{self.folder.checkpoint.name}.tmp")
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            temporary.replace(self.folder.checkpoint)
        self._saved = time.monotonic()

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self._started
