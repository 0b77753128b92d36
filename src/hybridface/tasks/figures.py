"""Figures of a whole split, as training validates by them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional import classification

from hybridface.data.source import MISSING


def classification_figures(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return accuracy, mean class accuracy and negative log-likelihood of labelled pictures.

    Args:
        logits: ``(N, K)``.
        labels: ``(N,)`` class ids, -1 where missing.
    """
    known = labels != MISSING
    logits, labels = logits[known].float(), labels[known]
    options: Any = {"num_classes": logits.shape[1]}
    recalls = classification.multiclass_recall(logits, labels, average="none", **options)
    present = torch.bincount(labels, minlength=logits.shape[1]) > 0
    return {
        "accuracy": classification.multiclass_accuracy(logits, labels, average="micro", **options),
        "mean_class_accuracy": recalls[present].mean(),
        "nll": F.cross_entropy(logits, labels),
    }
