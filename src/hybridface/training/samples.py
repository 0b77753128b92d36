"""Pictures of what the self-supervised tasks were dealt and answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hybridface.data.batches import Batch, PictureBatches
from hybridface.data.orders import BatchOrder
from hybridface.data.prepare import PreparedData
from hybridface.network.model import HybridModel, make_views
from hybridface.tasks.base import Task

SHOWN = 6


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
        seen, views = make_views([task], intact, batch, generator)
        view = views[task.name]
        features = model.features(seen if view.images is None else view.images)
        shared = view if view.images is not None else type(view)(seen, view.target)
        output = task.answer(model.heads[task.name], features, view.target)
        shown: dict[str, Any] = task.picture(intact, shared, output)
        for caption, images in shown.items():
            pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8)
            pixels = pixels.permute(0, 2, 3, 1).contiguous()
            samples[f"{task.name}/{caption}"] = pixels.cpu().numpy()
    model.train(was_training)
    return samples
