"""What watches a training and writes its run folder."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

import hybridface
from hybridface.config import Recipe
from hybridface.data.identity import Identity
from hybridface.data.orders import BatchOrder, MixedOrder
from hybridface.errors import HybridFaceError, UsageError
from hybridface.files import write_atomically
from hybridface.network.views import passes_a_picture
from hybridface.training.checkpoints import FORMAT, STATE
from hybridface.training.module import HybridModule
from hybridface.training.runs import RunFolder, save_weights

WATCH_EVERY = 50


class RunKeeper(Callback):
    """Writes metrics, the best weights and a resumable checkpoint as the run goes on.

    Args:
        recipe: The recipe.
        folder: The run folder.
        identity: The data that is trained on, for who goes on with the run.

    Attributes:
        order: The order of the training batches; a resumed run sets it to where it goes on.
    """

    def __init__(self, recipe: Recipe, folder: RunFolder, identity: Identity) -> None:
        self.recipe = recipe
        self.folder = folder
        self.identity = identity
        self.order: BatchOrder | MixedOrder | None = None
        self.lines: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self.saved_step: int | None = None
        self.seconds_before = 0.0
        self._started = time.monotonic()
        self._saved = time.monotonic()
        self._place = (0, 0)  # epoch and batch that a run goes on with
        self._epoch: dict[str, Any] | None = None  # state of an epoch that goes on

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know, as JSON text."""
        state = {"lines": self.lines, "best": self.best, "seconds": self._seconds()}
        return {"state": json.dumps(state)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where the checkpoint was written; later lines of the metrics are dropped."""
        state = json.loads(state_dict["state"])
        self.lines, self.best = state["lines"], state["best"]
        self.seconds_before = state["seconds"]

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what Lightning does not know: format, data, place and figures of the epoch so far."""
        assert isinstance(pl_module, HybridModule)
        checkpoint[STATE] = {
            "format": FORMAT,
            "version": hybridface.__version__,
            "data": self.identity,
            "place": self._place,
            "figures": pl_module.train_figures,
            "batches": pl_module.train_batches,
            "counts": {name: int(count) for name, count in pl_module.train_counts.items()},
        }

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Set the order to the batch that comes next, before the loader asks for it."""
        state = checkpoint.get(STATE) or {"place": (checkpoint["epoch"] + 1, 0)}
        epoch, batch = state["place"]
        if self.order is not None:
            self.order.resume_at(epoch, batch)
        if batch:
            self._epoch = state

    def summary(self, module: HybridModule) -> dict[str, Any]:
        """Return what the finished run's result says of its training."""
        rows = 0 if self.order is None else self.order.rows_a_batch
        labelled = rows * self.recipe.augment.views
        size = self.recipe.data.size
        shown = labelled * passes_a_picture(module.tasks, size)
        if self.recipe.data.unlabelled:
            others = self.recipe.unlabelled_a_step
            shown += others * passes_a_picture(module.tasks, size, labelled=False)
        return {
            "best_epoch": None if self.best is None else self.best["epoch"],
            "epochs": self.recipe.training.epochs,
            "steps": module.total_steps,
            "seconds": round(self._seconds(), 1),
            "pictures": round(self.recipe.training.epochs * len(self.order or ()) * shown),
        }

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock; go on in mid-epoch where the checkpoint is of there."""
        assert isinstance(pl_module, HybridModule)
        self.saved_step = trainer.global_step or None  # where a resumed run goes on
        self._started = self._saved = time.monotonic()
        if self._epoch is not None:  # Lightning does not start such an epoch a second time
            pl_module.on_train_epoch_start()
            figures, pl_module.train_batches = self._epoch["figures"], self._epoch["batches"]
            before = dict.fromkeys(figures, pl_module.train_batches)  # as checkpoints once did
            counts = self._epoch.get("counts", before)
            device = pl_module.device
            pl_module.train_figures = {n: v.to(device) for n, v in figures.items()}
            pl_module.train_counts = {n: torch.tensor(c, device=device) for n, c in counts.items()}
            self._epoch = None
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
        averages = pl_module.training_averages()
        if (pl_module.validation or not pl_module.supervised) and trainer.is_global_zero:
            self._note(trainer, pl_module, averages)
        self._log(trainer, pl_module, averages)
        due = time.monotonic() - self._saved >= 60 * self.recipe.training.checkpoint_minutes
        due = trainer.strategy.broadcast(due)  # every process has to take part in saving
        if due and trainer.current_epoch + 1 < self.recipe.training.epochs:
            self.save(trainer, trainer.current_epoch + 1, 0)

    def save(self, trainer: pl.Trainer, epoch: int, batch: int) -> None:
        """Write the checkpoint; every process has to call it.

        Args:
            trainer: The trainer, between two steps.
            epoch: The epoch that a resumed run goes on with, from 0.
            batch: The batch of that epoch, from 0.

        Raises:
            HybridFaceError: It cannot be written; the one before is kept.
        """
        self._place = (epoch, batch)
        trainer.save_checkpoint(self.folder.checkpoint)
        self.saved_step = trainer.global_step
        self._saved = time.monotonic()

    def _note(
        self, trainer: pl.Trainer, module: HybridModule, averages: Mapping[str, float]
    ) -> None:
        line = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "seconds": round(self._seconds(), 2),
            "lr": trainer.optimizers[0].param_groups[-1]["lr"],  # that of the heads
            "train": dict(averages),
            "val": module.validation,
            **({"training_rows": module.training_rows} if module.training_rows else {}),
        }
        self.lines.append(line)
        self._write_lines()
        if module.validation:
            self._keep_best(module, line["epoch"])

    def _keep_best(self, module: HybridModule, epoch: int) -> None:
        select, task = self.recipe.training.select, module.supervised[0]
        if select not in module.validation:
            own = [name for name in module.validation if "/" not in name]
            raise UsageError(
                f"training.select: task '{task.name}' says by selects that it has {select}, but "
                f"its figures are {', '.join(own) or 'none'}; mend figures or selects in its class"
            )
        value, higher = module.validation[select], task.selects[select]
        best = math.nan if self.best is None else self.best["value"]
        if math.isnan(best) or (value > best if higher else value < best):
            self.best = {"epoch": epoch, "value": value}
            save_weights(module.evaluated_model(), self.folder.best)

    def _log(
        self, trainer: pl.Trainer, module: HybridModule, averages: Mapping[str, float]
    ) -> None:
        figures = {f"train/{name}": value for name, value in averages.items()}
        figures |= {f"val/{name}": value for name, value in module.validation.items()}
        for logger in trainer.loggers:
            logger.log_metrics(figures, step=trainer.global_step)

    def _write_lines(self) -> None:
        text = "".join(json.dumps(line) + "\n" for line in self.lines)
        write_atomically(self.folder.metrics, text)

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self._started


class LossWatch(Callback):
    """Stops a run whose loss is no number any more, before anything is kept of it.

    The losses are looked at on the device and read every 50 steps, so that no step waits.

    Args:
        keeper: Knows the last checkpoint.
    """

    def __init__(self, keeper: RunKeeper) -> None:
        self.keeper = keeper
        self._first: dict[str, Tensor] = {}

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Note the first step at which each loss is no number."""
        assert isinstance(pl_module, HybridModule)
        for name, value in pl_module.last_figures.items():
            if not name.endswith("loss"):
                continue
            now = torch.where(torch.isfinite(value), math.inf, float(trainer.global_step))
            self._first[name] = torch.minimum(self._first.get(name, now), now)
        if (batch_idx + 1) % WATCH_EVERY == 0:
            self._stop_if_broken(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Look before a checkpoint in mid-epoch takes the place of a good one."""
        self._stop_if_broken(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look once more before the epoch is kept, at the validation figures too."""
        self._stop_if_broken(trainer)
        assert isinstance(pl_module, HybridModule)
        figures = pl_module.validation
        name, what = ("nll", "loss") if "nll" in figures else ("mae", "error")
        if not math.isfinite(value := figures.get(name, 0.0)):
            raise self._error(
                f"the validation {what} is {value} after epoch {trainer.current_epoch + 1}"
            )

    def _stop_if_broken(self, trainer: pl.Trainer) -> None:
        if not self._first:
            return
        steps = dict(
            zip(self._first, torch.stack(list(self._first.values())).tolist(), strict=True)
        )
        broken = min(steps, key=lambda name: (steps[name], name == "loss"))
        if math.isfinite(steps[broken]):
            task = broken.removesuffix("/loss")
            whose = "the joint loss" if broken == "loss" else f"the loss of task '{task}'"
            raise self._error(
                f"{whose} is no finite number at step {int(steps[broken])}, in epoch "
                f"{trainer.current_epoch + 1}"
            )

    def _error(self, what: str) -> HybridFaceError:
        keeper = self.keeper
        if keeper.saved_step is None:
            kept = "no checkpoint was written before"
        else:
            checkpoint = keeper.folder.checkpoint
            kept = f"the last good checkpoint is {checkpoint}, of step {keeper.saved_step}"
        return HybridFaceError(
            f"{keeper.recipe.run}: {what}; {kept}. Try a lower training.learning_rate, a smaller "
            "task weight, or precision 32-true"
        )
