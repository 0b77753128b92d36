"""The Lightning module: a thin shell around :class:`hybridface.network.model.HybridStep`."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from timm.utils.model_ema import ModelEmaV3
from torch import Generator, Tensor
from torch import distributed as dist
from torch.utils.data import DataLoader

from hybridface.augment import Geometry, augment_and_tell
from hybridface.config import Recipe
from hybridface.data.batches import Batch
from hybridface.draws import SharedGenerator
from hybridface.network.model import HybridModel, HybridStep, reestimate_batch_norm
from hybridface.tasks.base import Task
from hybridface.training.aggregation import JoinedGradients, find_aggregator
from hybridface.training.optimizer import make_optimizer, make_schedule

REESTIMATION_BATCHES = 32


def step_seed(seed: int, rank: int, step: int) -> int:
    """Return the 63-bit seed of one step of one process, so that a resumed run is the same run."""
    state = np.random.SeedSequence([seed, rank, step]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


class HybridModule(pl.LightningModule):
    """Trains a hybrid model; validates the moving average where there is one.

    Args:
        recipe: The recipe.
        model: The model.
        tasks: Its tasks.
        batches: Batches of an epoch.
        intact: Returns a loader of training pictures, to re-estimate batch norm on.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: HybridModel,
        tasks: Sequence[Task],
        batches: int,
        intact: Callable[[], DataLoader[Batch]],
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.tasks = list(tasks)
        self.step = HybridStep(
            model,
            tasks,
            recipe.training.batch_norm,
            copies=recipe.augment.views,
            loss_balance=recipe.training.loss_balance,
            mixup=recipe.augment.mixup,
            processes=recipe.training.processes,
        )
        decay = recipe.training.ema
        self.ema = None if decay is None else ModelEmaV3(model, decay=decay, use_warmup=True)
        if self.ema is not None:
            self.ema.requires_grad_(False)
        if recipe.training.compile:
            model.backbone.compile()
        self.joined_gradients: JoinedGradients | None = None
        if recipe.training.aggregator is not None:
            aggregator = find_aggregator(recipe.training.aggregator)
            self.joined_gradients = JoinedGradients(model, aggregator)
            self.step.weighted = {}
        self.batches = batches
        training = recipe.training
        self.total_steps = training.epochs * math.ceil(batches / training.accumulate)
        self.intact = intact
        self.supervised = [task for task in tasks if task.supervised]
        self.train_figures: dict[str, Tensor] = {}
        self.last_figures: dict[str, Tensor] = {}
        self.train_counts: dict[str, Tensor] = {}  # of how many batches each figure is the sum
        self.train_batches = 0
        self.validation: dict[str, float] = {}
        self.training_rows: dict[str, float] = {}
        self._averaged = 0  # the step that the average has seen last
        self._outputs: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self._evaluated: HybridModel | None = None
        self._reestimated: tuple[int, HybridModel] | None = None  # of which step; no submodule

    @property
    def model(self) -> HybridModel:
        """Return the model that is trained."""
        return self.step.model

    def evaluated_model(self) -> HybridModel:
        """Return the model that is evaluated and kept, in the mode that it is in.

        It is the moving average where there is one; with ``batch_norm: reestimated`` a copy whose
        running statistics come from intact training pictures.
        """
        model: HybridModel = self.model if self.ema is None else self.ema.module
        if self.recipe.training.batch_norm != "reestimated":
            return model
        if self._reestimated is None or self._reestimated[0] != self.global_step:
            model = copy.deepcopy(model)
            pictures = (batch.images.to(self.device).float() / 255 for batch in self.intact())
            reestimate_batch_norm(model, pictures)
            self._reestimated = (self.global_step, model)
        return self._reestimated[1]

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Return the loss of one step; see :class:`hybridface.network.model.HybridStep`."""
        accumulate = self.recipe.training.accumulate
        draw = self.global_step * accumulate + batch_index % accumulate
        torch.manual_seed(step_seed(self.recipe.seed, self.global_rank, draw))  # dropout and such
        generator = self._generator(batch, draw)
        batch = batch.repeat(self.recipe.augment.views)
        with torch.autocast(self.device.type, enabled=False):
            level = self.recipe.augment.level
            images, geometry = augment_and_tell(batch.images, level, generator)
            batch = follow(batch, self.tasks, geometry)
        loss: Tensor
        progress = self.global_step / max(1, self.total_steps - 1)
        number = self.current_epoch * self.batches + batch_index
        loss, figures = self.step(images, batch, generator, progress, number)
        self.last_figures = figures
        self._add_up(figures, batch)
        return loss

    def _add_up(self, figures: Mapping[str, Tensor], batch: Batch) -> None:
        """Add the figures of a batch; a task's, where some picture there has its label."""
        there = {task.name: task.known(task.truth(batch)).any() for task in self.supervised}
        always = torch.ones((), dtype=torch.bool, device=self.device)  # made there, not sent
        for name, value in figures.items():
            counted = there.get(name.partition("/")[0], always)
            added = torch.where(counted, value, 0)
            self.train_figures[name] = self.train_figures.get(name, 0) + added
            self.train_counts[name] = self.train_counts.get(name, 0) + counted
        self.train_batches += 1

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Take the gradients of the joint loss or, with an aggregator, of each task's."""
        if self.joined_gradients is None:
            super().backward(loss, *args, **kwargs)
            return
        losses = self.step.weighted or {}
        self.joined_gradients.backward(losses, 1 / self.recipe.training.accumulate)
        self.step.weighted = {}

    def _generator(self, batch: Batch, draw: int) -> Generator:
        """Return the source of what is drawn for a batch, the same however many processes."""
        processes = self.recipe.training.processes
        seed = step_seed(self.recipe.seed, self.global_rank, draw)
        if processes == 1:
            return Generator(self.device).manual_seed(seed ^ 1)
        labelled = batch.labelled_count
        others = len(batch.images) - labelled
        return SharedGenerator(
            self.device,
            [labelled] * self.recipe.augment.views + [others] * (others > 0),
            rank=self.global_rank,
            processes=processes,
            own_seed=seed ^ 2,
            seed=step_seed(self.recipe.seed, 0, draw) ^ 1,
        )

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Move the average, where the weights have moved."""
        if self.ema is not None and self.global_step != self._averaged:
            self.ema.update(self.model, step=self.global_step)
        self._averaged = self.global_step

    def on_train_start(self) -> None:
        """Begin where the checkpoint was written."""
        self._averaged = self.global_step

    def on_train_epoch_start(self) -> None:
        """Validate after the last epoch, whatever ``validate_every``; start new averages."""
        self.train_figures, self.train_batches, self.validation = {}, 0, {}
        self.train_counts, self.training_rows = {}, {}
        if self.current_epoch == self.recipe.training.epochs - 1:
            self.trainer.check_val_every_n_epoch = 1

    def training_averages(self) -> dict[str, float]:
        """Return every training figure averaged over the epoch so far, and over the processes."""
        if not self.train_figures:
            return {}
        sums, counts = (
            torch.stack([each.float() for each in part.values()])
            for part in (self.train_figures, self.train_counts)
        )
        both = torch.stack([sums, counts])
        if self.recipe.training.processes > 1:
            dist.all_reduce(both)
        averages = zip(self.train_figures, *both.tolist(), strict=True)
        return {name: value / count for name, value, count in averages if count}

    def on_validation_epoch_start(self) -> None:
        """Choose the model to look at."""
        self._evaluated = self.evaluated_model().eval()
        self._outputs = {task.name: [] for task in self.supervised}

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Keep the outputs and labels of the supervised tasks."""
        if self._evaluated is None or not self.supervised or not len(batch.images):
            return
        features = self._evaluated.features(batch.images.float() / 255)
        for task in self.supervised:
            output = self._evaluated.heads[task.name](features)
            self._outputs[task.name].append((output, task.truth(batch)))

    def on_validation_epoch_end(self) -> None:
        """Compute the validation figures; those of the first task go without its name."""
        figures: dict[str, Tensor] = {}
        for number, task in enumerate(self.supervised):
            outputs = self._of_all(self._outputs[task.name])
            said = torch.cat([output for output, _ in outputs])
            labels = torch.cat([label for _, label in outputs])
            if not task.known(labels).any():
                continue  # never of the first task, see refuse_unselectable
            prefix = "" if number == 0 else f"{task.name}/"
            for name, value in task.figures(said, labels).items():
                figures[prefix + name] = value
        self._outputs, self._evaluated = {}, None
        if not self.trainer.sanity_checking:
            self.validation = {name: float(value) for name, value in figures.items()}
            self.log_dict(
                {f"val_{name.replace('/', '_')}": value for name, value in self.validation.items()},
                prog_bar=True,
                logger=False,
            )

    def _of_all(self, outputs: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
        """Return the outputs for each batch, of all processes, in the order of the pictures."""
        processes = self.recipe.training.processes
        if processes == 1:
            return outputs
        every: list[Any] = [None] * processes
        dist.all_gather_object(every, [(output.cpu(), label.cpu()) for output, label in outputs])
        batches = itertools.zip_longest(*every)  # of the last batch some may have had no part
        return [part for batch in batches for part in batch if part is not None]

    def configure_optimizers(self) -> Any:
        """Return AdamW with warm-up and cosine over the whole run, a step at a time."""
        optimizer = make_optimizer(self.recipe, self.model, list(self.step.balance.parameters()))
        schedule = make_schedule(self.recipe.training, optimizer, self.total_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def follow(batch: Batch, tasks: Sequence[Task], geometry: Geometry) -> Batch:
    """Return a batch whose numeric labels have followed its pictures through augmentation.

    Args:
        batch: The batch.
        tasks: They know what their labels mean.
        geometry: What augmentation did to each picture.
    """
    columns = {task.label: task for task in tasks if task.numeric}
    if not columns:
        return batch
    followed = {
        name: columns[name].follow(values, geometry) if name in columns else values
        for name, values in batch.numeric.items()
    }
    return replace(batch, numeric=followed)
