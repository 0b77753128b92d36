"""Heads on the pooled features of the backbone: a linear layer, or one more before it."""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from hybridface.tasks.base import TaskConfig
from hybridface.tasks.features import Features, FeatureShape


class PooledHeadConfig(TaskConfig):
    """Options of tasks whose head reads the pooled features.

    Attributes:
        dropout: Before each linear layer.
        hidden: Width of a layer with ReLU before the last one; none where null. On a
            ``backbone.frozen`` this is what is called non-linear evaluation.
    """

    dropout: float = Field(0.0, ge=0, lt=1)
    hidden: int | None = Field(None, ge=1, le=2**16)


class PooledHead(nn.Module):
    """Dropout and a linear layer on the pooled features, after a hidden one where wanted.

    Args:
        shape: The features.
        outputs: How many numbers it gives a picture, K.
        dropout: Before each linear layer.
        hidden: Width of the layer with ReLU before the last; None for none.
    """

    def __init__(
        self, shape: FeatureShape, outputs: int, dropout: float = 0.0, hidden: int | None = None
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.hidden = None if hidden is None else nn.Linear(shape.pooled, hidden)
        self.linear = nn.Linear(hidden or shape.pooled, outputs)

    def forward(self, features: Features) -> Tensor:
        """Return ``(B, K)`` numbers, of a classification its logits."""
        seen = features.pooled
        if self.hidden is not None:
            seen = F.relu(self.hidden(self.dropout(seen)))
        outputs: Tensor = self.linear(self.dropout(seen))
        return outputs
