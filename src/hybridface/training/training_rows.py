"""How well a model knows the rows that it trains on: intact, and in evaluation mode."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch.nn import functional as F

from hybridface.data.batches import make_loader
from hybridface.data.orders import BatchOrder
from hybridface.data.prepare import PreparedData
from hybridface.data.source import MISSING
from hybridface.network.model import HybridModel
from hybridface.tasks.base import Task
from hybridface.training.module import HybridModule


class TrainingRows(Callback):
    """Measures the intact training rows after each look at the validation split.

    The figures are those of the first supervised task, of the same weights that validation looks
    at: accuracy and negative log-likelihood (nats) of a classification, else what
    :meth:`hybridface.tasks.base.Task.figures` says of numbers.

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
        if task.numeric:
            pl_module.training_rows = self._numbers(trainer, model, task)
            return
        right, loss, known = 0, 0.0, 0
        order = BatchOrder(len(self.data.splits["train"]), 256, seed=None)
        for rows in make_loader(self.data, "train", order):
            batch = trainer.strategy.batch_to_device(rows)
            output = model.heads[task.name](model.features(batch.images.float() / 255)).float()
            labels = batch.labels[task.label]
            output, labels = output[labels != MISSING], labels[labels != MISSING]
            right += int((output.argmax(1) == labels).sum())
            loss += float(F.cross_entropy(output, labels, reduction="sum"))
            known += len(labels)
        if known:
            pl_module.training_rows = {"accuracy": right / known, "nll": loss / known}

    def _numbers(self, trainer: pl.Trainer, model: HybridModel, task: Task) -> dict[str, float]:
        outputs, truths = [], []
        order = BatchOrder(len(self.data.splits["train"]), 256, seed=None)
        for rows in make_loader(self.data, "train", order):
            batch = trainer.strategy.batch_to_device(rows)
            features = model.features(batch.images.float() / 255)
            outputs.append(model.heads[task.name](features).float())
            truths.append(task.truth(batch))
        figures = task.figures(torch.cat(outputs), torch.cat(truths))
        return {name: float(value) for name, value in figures.items()}
