"""The optimizer and its schedule: AdamW, warm-up, cosine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from timm.optim._param_groups import param_groups_weight_decay
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from hybridface.config import Recipe, TrainingConfig
from hybridface.network.model import HybridModel


def make_optimizer(recipe: Recipe, model: HybridModel, others: Sequence[nn.Parameter]) -> AdamW:
    """Return AdamW for the weights that learn; norms and biases do not decay.

    Args:
        recipe: The recipe.
        model: The model.
        others: Weights beside the model's, which do not decay.
    """
    training = recipe.training
    groups = _weights_by_treatment(recipe, model)
    if others:
        groups.append({"params": list(others), "weight_decay": 0.0})
    # Lightning cannot clip what a fused optimizer unscales by itself.
    fused = training.precision == "32-true" or training.clip is None
    return AdamW(groups, lr=training.learning_rate, fused=fused)


def _weights_by_treatment(recipe: Recipe, model: HybridModel) -> list[dict[str, Any]]:
    """Return the model's weights that learn, by weight decay and learning rate."""
    decay, factor = recipe.training.weight_decay, recipe.backbone.learning_rate_factor
    undecayed = model.backbone.without_weight_decay()
    groups: list[dict[str, Any]]
    if factor == 1:
        names = [f"backbone.{name}" for name in undecayed]
        groups = param_groups_weight_decay(model, decay, no_weight_decay_list=names)
        return groups
    rate = recipe.training.learning_rate * factor
    groups = param_groups_weight_decay(model.backbone, decay, no_weight_decay_list=list(undecayed))
    slower = [group | {"lr": rate} for group in groups]
    return [*slower, *param_groups_weight_decay(model.heads, decay)]


def make_schedule(training: TrainingConfig, optimizer: Optimizer, steps: int) -> LambdaLR:
    """Return warm-up and cosine over all ``steps``, from each group's own peak."""
    warmup = max(1, round(training.warmup * steps))
    floor = training.final_learning_rate

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = (step - warmup) / max(1, steps - warmup)
        return floor + (1 - floor) * (1 + math.cos(math.pi * min(1.0, progress))) / 2

    return LambdaLR(optimizer, factor)
