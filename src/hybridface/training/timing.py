"""How long a training takes on this machine, from a few of its batches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from hybridface.config import Recipe
from hybridface.data.batches import make_loader
from hybridface.data.prepare import PreparedData
from hybridface.network.views import part_of_steps
from hybridface.tasks.base import Task
from hybridface.training.build import build_module, training_order
from hybridface.training.processes import on_gpu

WARM_UP, TIMED = 2, 4


def seconds_a_batch(recipe: Recipe, tasks: Sequence[Task], data: PreparedData) -> float:
    """Return how long a training batch takes, with a step of the optimizer each.

    It is the least of a few. What a task costs that takes part in some of the batches only counts
    by that part. Of several processes it is the share of one, without what they wait for each
    other. The run is not touched, and nothing is kept of what is trained.

    Args:
        recipe: The recipe.
        tasks: Its tasks.
        data: Its data.
    """
    share = recipe.training.batch_size // recipe.training.processes
    alone = {"batch_size": share, "devices": 1, "nodes": 1}
    recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update=alone)})
    always = [task for task in tasks if part_of_steps(task) == 1]
    least = _timed(recipe, always, data)
    some = [task for task in tasks if task not in always]
    more = [_timed(recipe, [*always, task], data) - least for task in some]
    return least + sum(
        part_of_steps(task) * max(0.0, seconds) for task, seconds in zip(some, more, strict=True)
    )


def _timed(recipe: Recipe, tasks: Sequence[Task], data: PreparedData) -> float:
    if recipe.training.threads is not None:
        torch.set_num_threads(recipe.training.threads)
    use_cuda = on_gpu(recipe.training)
    device = torch.device("cuda" if use_cuda else "cpu")
    module, _ = build_module(recipe, tasks, data)
    module.to(device).train()
    optimizer = module.configure_optimizers()["optimizer"]
    order = training_order(recipe, data)
    batch = next(iter(make_loader(replace(data, workers=0), "train", order)))
    batch = module.transfer_batch_to_device(batch, device, 0)
    precision = torch.bfloat16 if recipe.training.precision == "bf16-mixed" else torch.float16
    seconds = []
    for _ in range(WARM_UP + TIMED):
        start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast(device.type, precision, enabled=recipe.training.precision != "32-true"):
            loss = module.training_step(batch, 0)
        module.backward(loss)
        optimizer.step()
        if module.ema is not None:
            module.ema.update(module.model)
        if use_cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[WARM_UP:])


def training_batches(recipe: Recipe, data: PreparedData) -> int:
    """Return how many batches a whole training has."""
    return recipe.training.epochs * len(training_order(recipe, data))
