"""What Ctrl-C and SIGTERM do to a training: it saves the step it is at, and ends."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from hybridface.errors import StoppedError
from hybridface.training.callbacks import RunKeeper


class Stopper(Callback):
    """Ends a training after the step at which a signal came, with a checkpoint of that step.

    A second Ctrl-C ends it where it is, without one. A signal that comes while the validation
    split is looked at waits for the end of that.

    Args:
        keeper: Saves; comes before this one among the callbacks.
    """

    def __init__(self, keeper: RunKeeper) -> None:
        self.keeper = keeper
        self.asked: int | None = None
        self.interrupts = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the place of Lightning's handlers; Lightning sets back what was before its own."""
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(ValueError):  # only the main thread can be told of signals
                signal.signal(number, self._notice)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Stop between two steps; between two epochs, :meth:`on_train_epoch_end` does."""
        if batch_idx and batch_idx % trainer.accumulate_grad_batches == 0:
            self._stop_if_asked(trainer, trainer.current_epoch, batch_idx)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop between two epochs, when the validation figures are written."""
        self._stop_if_asked(trainer, trainer.current_epoch + 1, 0)

    def _notice(self, number: int, frame: object) -> None:
        self.interrupts += number == signal.SIGINT
        if self.interrupts > 1:
            raise KeyboardInterrupt("stopped without saving; go on with --resume")
        self.asked = self.asked or number

    def _stop_if_asked(self, trainer: pl.Trainer, epoch: int, batch: int) -> None:
        if self.asked is None:
            return
        self.keeper.save(trainer, epoch, batch)
        by = "Ctrl-C" if self.asked == signal.SIGINT else "SIGTERM"
        said = (
            f"{self.keeper.folder.path}: stopped by {by} after step {trainer.global_step}, in "
            f"epoch {trainer.current_epoch + 1}, and saved; go on with the same command and "
            "--resume"
        )
        raise KeyboardInterrupt(said) if self.asked == signal.SIGINT else StoppedError(said)
