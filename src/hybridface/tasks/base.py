"""What a task is: what it needs of a batch, its target, head, loss and metrics.

Supervised and self-supervised tasks are the same kind of thing. A task is one file in this
folder; nothing else has to be edited to add one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Generator, Tensor, nn

from hybridface.augment import Geometry
from hybridface.config import Section
from hybridface.data.batches import Batch
from hybridface.data.source import MISSING, Labels, NumericLabels
from hybridface.errors import UsageError
from hybridface.tasks.features import Features, FeatureShape
from hybridface.tasks.figures import classification_figures
from hybridface.tasks.means import Mean, masked_mean, sum_of_means

__all__ = [
    "FeatureShape",
    "Features",
    "Mean",
    "SelfSupervisedConfig",
    "Supervise",
    "Task",
    "TaskConfig",
    "View",
    "ViewName",
    "masked_mean",
    "sum_of_means",
]

ViewName = Literal["shared", "own"]
Supervise = Literal["intact", "corrupted", "both"]


class TaskConfig(Section):
    """Options that every task has.

    Attributes:
        type: Which kind of task, or ``pkg.module:Class`` for a class of the user's own; its name
            in the recipe where null.
        weight: Factor of its loss.
        final_weight: Factor of its loss at the last step, reached in a straight line; null for a
            weight that stays.
    """

    type: str | None = None
    weight: float = Field(1.0, ge=0)
    final_weight: float | None = Field(None, ge=0)


class SelfSupervisedConfig(TaskConfig):
    """Options of tasks that corrupt the picture.

    Attributes:
        view: ``shared``: the corrupted picture is the only one and all heads see it, at no extra
            cost. ``own``: the corrupted picture is a view of its own beside the intact one.
        supervise: Which views the supervised heads learn from; ``intact`` where null and the view
            is ``own``. A ``shared`` view leaves them only the ``corrupted`` picture.
        part: Part of a batch's pictures that a view of its own is made of, spread evenly over
            the batch; at least two pictures.
        every: One batch in so many has the view, from the first of the run on: 4 for every fourth.
            Its loss then counts so many times, so that the gradient stays the same in the mean.
        view_size: Side in pixels of the pictures of the view, which are shrunk; ``data.size``
            where null.
        until: Part of all steps in which the view is made; after that it costs nothing. A
            ``final_weight`` is reached there.
    """

    view: ViewName = "own"
    supervise: Supervise | None = None
    part: float = Field(1.0, gt=0, le=1)
    every: int = Field(1, ge=1)
    view_size: int | None = Field(None, ge=16, le=1024)
    until: float = Field(1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _supervise_what_is_there(self) -> Self:
        if self.view == "shared" and self.supervise in ("intact", "both"):
            raise ValueError(
                f"view: shared leaves no intact picture, so supervise: {self.supervise} cannot be; "
                "leave it out, or take view: own"
            )
        if self.supervise is None:
            chosen = "corrupted" if self.view == "shared" else "intact"
            object.__setattr__(self, "supervise", chosen)
        return self

    @model_validator(mode="after")
    def _only_own_views_are_cheaper(self) -> Self:
        whole: dict[str, Any] = {"part": 1, "every": 1, "view_size": None, "until": 1}
        cheaper = [name for name, value in whole.items() if getattr(self, name) != value]
        if cheaper and (self.view, self.supervise) != ("own", "intact"):
            raise ValueError(
                f"{cheaper[0]} is for a view that the task alone sees; take view: own and "
                "supervise: intact, or leave it out"
            )
        return self


@dataclass(frozen=True)
class View:
    """A task's view of a batch.

    Attributes:
        images: ``(B, 3, H, W)`` in [0, 1] that the backbone should see, or None for the picture
            that all supervised heads see.
        target: What the task's loss compares its output with.
    """

    images: Tensor | None
    target: Any


class Task(ABC):
    """A task of hybrid learning.

    Attributes:
        type_name: What a recipe calls this kind of task; one that is named as
            ``pkg.module:Class`` need not say it.
        summary: One line for ``hybridface tasks``.
        supervised: Whether it learns from labels.
        kept_at_inference: Whether its head survives export.
        reads_maps: Whether its head reads intermediate feature maps.
        numeric: Whether its labels are numbers; else they are classes.
        below_zero: Whether its loss may be below 0, as that of a density whose width is learned.
        selects: Figures of :meth:`figures` by which a run may choose its best weights, the
            default first, and whether the higher one is better.
        fights: Supervised tasks that cannot learn from this one's picture, by their type, and why:
            for one that destroys in the picture what the label of another says. A recipe with
            both is refused, unless the picture is a view that this task alone sees.
    """

    type_name: ClassVar[str]
    summary: ClassVar[str]
    supervised: ClassVar[bool] = False
    kept_at_inference: ClassVar[bool] = False
    reads_maps: ClassVar[bool] = False
    numeric: ClassVar[bool] = False
    below_zero: ClassVar[bool] = False
    selects: ClassVar[Mapping[str, bool]] = {
        "accuracy": True,
        "mean_class_accuracy": True,
        "nll": False,
    }
    fights: ClassVar[Mapping[str, str]] = {}
    Config: ClassVar[type[TaskConfig]] = TaskConfig

    def __init__(self, name: str, config: Any) -> None:
        self.name = name
        self.config = config

    @property
    def label(self) -> str | None:
        """Return the label column that the task learns from, if any; here its option ``label``."""
        column: str | None = getattr(self.config, "label", None) if self.supervised else None
        return column

    def view_side(self, size: int) -> int:
        """Return the side of the pictures that the task sees, where the data's is ``size``."""
        config = self.config
        smaller = config.view_size if isinstance(config, SelfSupervisedConfig) else None
        return size if smaller is None else smaller

    def adopt(self, labels: Labels | None, train_ids: Tensor | None, size: int) -> None:
        """Meet the data before the head is built; refuse what does not fit.

        Args:
            labels: The task's label column, for its class names.
            train_ids: ``(N,)`` class ids of the training rows, for class weights.
            size: Side of the pictures in pixels.

        Raises:
            UsageError: The task cannot work on such data.
        """
        if self.numeric and labels is not None:
            raise UsageError(
                f"task {self.name}: label column '{self.label}' holds the classes "
                f"{', '.join(labels.names)}, no numbers; take a task of type expression for it"
            )

    def adopt_numbers(self, labels: NumericLabels, numbers: Tensor, size: int) -> None:
        """Meet data whose label column holds numbers, in place of :meth:`adopt`.

        Args:
            labels: The task's label column.
            numbers: ``(N, K)`` float32 those of the training rows, NaN where missing.
            size: Side of the pictures in pixels.

        Raises:
            UsageError: The task cannot work on such data.
        """
        raise UsageError(
            f"task {self.name}: label column '{self.label}' holds numbers "
            f"({', '.join(labels.names)}), no classes; take a task of type pose or age for it"
        )

    def restore(self, said: Mapping[str, Any], size: int) -> None:
        """Be again the task of a model that is built without its data, in place of :meth:`adopt`.

        Args:
            said: What :meth:`describe` said.
            size: Side of the pictures in pixels.
        """
        names = said.get("classes")
        labels = None if names is None else Labels(tuple(names), np.zeros(0, dtype=np.int64))
        self.adopt(labels, None, size)

    def follow(self, labels: Tensor, geometry: Geometry) -> Tensor:
        """Return what the task's numeric labels are after augmentation; here they are the same.

        Args:
            labels: ``(B, K)`` numbers, NaN where missing.
            geometry: What was done to the pictures.
        """
        return labels

    def truth(self, batch: Batch) -> Tensor:
        """Return the labels of a batch: ``(B,)`` class ids, -1 where missing, or numbers."""
        column = self.label or ""
        return batch.numeric[column] if self.numeric else batch.labels[column]

    def known(self, truth: Tensor) -> Tensor:
        """Return which pictures have a label, ``(B,)`` bool, by what :meth:`truth` returns."""
        return truth.isfinite().any(1) if self.numeric else truth != MISSING

    @abstractmethod
    def build_head(self, shape: FeatureShape) -> nn.Module:
        """Return the head: a module from :class:`Features` to this task's output."""

    @abstractmethod
    def make_view(self, images: Tensor, batch: Batch, generator: Generator) -> View:
        """Make what the task sees and what it must answer.

        Args:
            images: ``(B, 3, H, W)`` augmented pictures in [0, 1].
            batch: Where they came from, with labels.
            generator: Source of every random number; drawn from by :mod:`hybridface.draws`, the
                numbers are the same whether one process trains or several.
        """

    def answer(self, head: nn.Module, features: Features, target: Any) -> Any:
        """Return the head's output for a view in training.

        A task whose question is no part of the picture hands it to its head here; the head must
        take features alone as well.
        """
        return head(features)

    @abstractmethod
    def loss(self, output: Any, target: Any) -> Tensor:
        """Return the mean loss over the pictures that count, a scalar; zero where none does."""

    def means(self, output: Any, target: Any, batch: Batch) -> list[Mean]:
        """Return the loss as the means that it is the sum of, for training in several processes.

        Here it is one mean, over the pictures that have the task's label where it has one, over
        all of them otherwise. A task whose pictures weigh otherwise says so by its own.

        Args:
            output: What :meth:`answer` returned.
            target: What it is compared with.
            batch: The pictures that the target was made from.
        """
        if self.label is None:
            count = batch.images.new_full((), len(batch.images), dtype=torch.int64)
        else:
            count = self.known(self.truth(batch)).sum()
        return [Mean(self.loss(output, target), count)]

    @torch.no_grad()
    def measure(self, output: Any, target: Any) -> dict[str, Tensor]:
        """Return figures of how well the task is solved, each a scalar tensor."""
        return {}

    @torch.no_grad()
    def figures(self, output: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Return the validation figures of a supervised task, here those of a classification.

        Args:
            output: What the head says of a whole split, in which some pictures have a label.
            truth: What :meth:`truth` returns for it.
        """
        return classification_figures(output, truth)

    def decode(self, output: Tensor) -> Tensor:
        """Turn the head's output into what a user of the model gets, in the exported graph."""
        return output

    def describe(self) -> dict[str, Any]:
        """Return what a user must know to read :meth:`decode`, for the model's metadata."""
        return {}

    def comparable(self, decoded: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        """Return decoded outputs as numbers of about 1 without jumps, to check an export by."""
        return decoded

    def picture(self, images: Tensor, view: View, output: Any) -> dict[str, Tensor]:
        """Return pictures of what the task was dealt and answered, by caption.

        Returns:
            ``(B, 3, H, W)`` in [0, 1] for each caption; empty for tasks with nothing to show.
        """
        return {}
