"""Classification of a picture: expression, or any other class label."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from hybridface.data.batches import Batch
from hybridface.data.source import MISSING, Labels
from hybridface.errors import UsageError
from hybridface.tasks.base import FeatureShape, Mean, Task, View, masked_mean
from hybridface.tasks.heads import PooledHead, PooledHeadConfig
from hybridface.tasks.means import widened


class ExpressionConfig(PooledHeadConfig):
    """Options of ``expression``.

    Attributes:
        label: The label column.
        class_weights: ``balanced`` weighs each class by the inverse of its frequency in the
            training rows, ``root`` by the square root of that, ``none`` all the same.
        label_smoothing: Part of the target that is spread over all classes.
        dropout: Before each linear layer.
    """

    label: str = "expression"
    class_weights: Literal["none", "root", "balanced"] = "none"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    dropout: float = Field(0.3, ge=0, lt=1)


class Expression(Task):
    """One softmax over the classes of a label column, by cross-entropy.

    Pictures without the label do not count. Where the data has votes, their shares are the
    target (soft cross-entropy), and a picture weighs what its shares of the classes weigh.
    """

    type_name = "expression"
    summary = "classification of any label column: expression, gender, ..."
    supervised = True
    kept_at_inference = True
    Config = ExpressionConfig

    def __init__(self, name: str, config: Any) -> None:
        super().__init__(name, config)
        self.classes: tuple[str, ...] = ()
        self.class_weights = torch.ones(0)

    def adopt(self, labels: Labels | None, train_ids: Tensor | None, size: int) -> None:
        """Take over the class names and weigh the classes; see :meth:`Task.adopt`."""
        if labels is None or len(labels.names) < 2:
            raise UsageError(
                f"task {self.name}: label column '{self.label}' has fewer than 2 classes"
            )
        self.classes = labels.names
        self.class_weights = torch.ones(len(self.classes))
        known = None if train_ids is None else train_ids[train_ids != MISSING]
        if known is not None and len(known) and self.config.class_weights != "none":
            counts = torch.bincount(known, minlength=len(self.classes)).clamp(min=1).float()
            power = {"root": 0.5, "balanced": 1.0}[self.config.class_weights]
            weights = (len(known) / (len(self.classes) * counts)) ** power
            self.class_weights = weights * len(known) / (weights * counts).sum()

    def build_head(self, shape: FeatureShape) -> nn.Module:
        """Return the classifier."""
        return PooledHead(shape, len(self.classes), self.config.dropout, self.config.hidden)

    def make_view(self, images: Tensor, batch: Batch, generator: Generator) -> View:
        """Return the labels as the target; the picture is the one all supervised heads see."""
        return View(None, (self.truth(batch), batch.soft.get(self.label or "")))

    def loss(self, output: Tensor, target: tuple[Tensor, Tensor | None]) -> Tensor:
        """Return the weighted cross-entropy, averaged over the labelled pictures."""
        return masked_mean(*self._values(output, target))

    def means(
        self, output: Tensor, target: tuple[Tensor, Tensor | None], batch: Batch
    ) -> list[Mean]:
        """Return the same as a mean that says what its pictures weigh."""
        values, weights = self._values(output, target)
        return [Mean(masked_mean(values, weights), weights.sum())]

    def _values(
        self, output: Tensor, target: tuple[Tensor, Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy of each picture, ``(B,)``, and what it weighs."""
        ids, soft = target
        output = widened(output)
        self.class_weights = self.class_weights.to(output.device)  # sent once, not at every step
        weights = self.class_weights.to(output.dtype)
        safe = ids.clamp(min=0)
        smoothing = self.config.label_smoothing
        if soft is None:
            values = F.cross_entropy(output, safe, reduction="none", label_smoothing=smoothing)
            return values, (ids != MISSING) * weights[safe]
        shares = _shares(ids, soft)
        voted = shares.sum(1, keepdim=True)
        smooth = (1 - smoothing) * shares + smoothing * voted / shares.shape[1]
        return -(smooth * F.log_softmax(output, 1)).sum(1), (shares * weights).sum(1)

    @torch.no_grad()
    def measure(self, output: Tensor, target: tuple[Tensor, Tensor | None]) -> dict[str, Tensor]:
        """Return the accuracy over the labelled pictures."""
        ids, _ = target
        return {"accuracy": masked_mean((output.argmax(1) == ids).float(), ids != MISSING)}

    def decode(self, output: Tensor) -> Tensor:
        """Return ``(B, K)`` probabilities."""
        return output.softmax(1)

    def describe(self) -> dict[str, Any]:
        """Return the class names in the order of the probabilities."""
        return {"kind": "classification", "classes": list(self.classes)}


def _shares(ids: Tensor, soft: Tensor) -> Tensor:
    """Return ``(N, K)`` shares of the classes: the votes, else all for the label, else none."""
    hard = F.one_hot(ids.clamp(min=0), soft.shape[1]).to(soft.dtype) * (ids != MISSING).unsqueeze(1)
    return torch.where(soft.sum(1, keepdim=True) > 0, soft, hard)
