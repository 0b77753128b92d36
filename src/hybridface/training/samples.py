"""Pictures of what the self-supervised tasks were dealt and answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger

from hybridface.data.batches import Batch, PictureBatches
from hybridface.data.orders import BatchOrder
from hybridface.data.prepare import PreparedData
from hybridface.network.model import HybridModel
from hybridface.network.views import shrink
from hybridface.tasks.base import Task, View
from hybridface.training.module import HybridModule

SHOWN = 6
SHOWN_A_RUN = 10


def first_batch(data: PreparedData) -> Batch:
    """Return the first few validation pictures, those that are shown."""
    order = BatchOrder(len(data.splits["val"]), SHOWN, seed=None)
    return PictureBatches(data, data.splits["val"])[next(iter(order))]


@torch.no_grad()
def picture_tasks(
    model: HybridModel, tasks: Sequence[Task], batch: Batch, seed: int
) -> dict[str, NDArray[np.uint8]]:
    """Let every self-supervised task deal and answer some pictures, and draw it.

    Args:
        model: The model; it is in evaluation mode meanwhile.
        tasks: Its tasks.
        batch: Pictures on the model's device.
        seed: Decides what is dealt.

    Returns:
        ``(B, H, W, 3)`` uint8 by ``task/caption``; empty where no task has anything to show.
    """
    was_training = model.training
    model.eval()
    intact = batch.images.float() / 255
    generator = torch.Generator(intact.device).manual_seed(seed)
    samples: dict[str, NDArray[np.uint8]] = {}
    for task in tasks:
        if task.supervised:
            continue
        images = shrink(intact, task)
        view = task.make_view(images, batch, generator)
        seen = images if view.images is None else view.images
        output = task.answer(model.heads[task.name], model.features(seen), view.target)
        shown: dict[str, Any] = task.picture(images, View(seen, view.target), output)
        for caption, images in shown.items():
            pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8)
            pixels = pixels.permute(0, 2, 3, 1).contiguous()
            samples[f"{task.name}/{caption}"] = pixels.cpu().numpy()
    model.train(was_training)
    return samples


class TaskPictures(Callback):
    """Shows in TensorBoard, a few times a run, what the self-supervised tasks deal and answer.

    Args:
        batch: The validation pictures shown, always the same.
        seed: Decides what is dealt, always the same.
    """

    def __init__(self, batch: Batch, seed: int) -> None:
        self.batch, self.seed = batch, seed

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw them after the validations that begin another tenth of the run, and the last."""
        assert isinstance(pl_module, HybridModule)
        epochs = trainer.max_epochs or 1
        every = trainer.check_val_every_n_epoch or 1
        done = trainer.current_epoch + 1
        begins = done * SHOWN_A_RUN // epochs > (done - every) * SHOWN_A_RUN // epochs
        if not trainer.is_global_zero or not (begins or done == epochs):
            return
        batch = trainer.strategy.batch_to_device(self.batch)
        pictures = picture_tasks(pl_module.evaluated_model(), pl_module.tasks, batch, self.seed)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                for name, shown in pictures.items():
                    logger.experiment.add_images(
                        name, shown, global_step=trainer.global_step, dataformats="NHWC"
                    )
