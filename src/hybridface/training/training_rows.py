"""How well a model knows the rows that it trains on: intact, and in evaluation mode."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from hybridface.data.batches import make_loader
from hybridface.data.orders import BatchOrder
from hybridface.data.prepare import PreparedData
from hybridface.training.module import HybridModule


class TrainingRows(Callback):
    """Measures the intact training rows after each look at the validation split.

    The figures are those of the first supervised task, of the same weights that validation looks
    at, as :meth:`hybridface.tasks.base.Task.figures` gives them.

    Args:
        data: The data.
    """

    def __init__(self, data: PreparedData) -> None:
        self.data = data

    @torch.no_grad()
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure, in the first process."""
        assert isinstance(pl_module, HybridModule)
        task = next(iter(pl_module.supervised), None)
        if task is None or not trainer.is_global_zero:
            return
        model = pl_module.evaluated_model().eval()
        outputs, truths = [], []
        order = BatchOrder(len(self.data.splits["train"]), 256, seed=None)
        for rows in make_loader(self.data, "train", order):
            batch = trainer.strategy.batch_to_device(rows)
            features = model.features(batch.images.float() / 255)
            outputs.append(model.heads[task.name](features).float())
            truths.append(task.truth(batch))
        truth = torch.cat(truths)
        if task.known(truth).any():
            figures = task.figures(torch.cat(outputs), truth)
            pl_module.training_rows = {name: float(value) for name, value in figures.items()}
