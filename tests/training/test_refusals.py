"""Recipes that could be trained, but not as they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hybridface.errors import UsageError
from hybridface.tasks import build_tasks
from hybridface.training.refusals import refuse_early
from tiny_runs import tiny_recipe

FROZEN = {"frozen": True, "checkpoint": "default", "drop_path": 0}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "Lightning would take bf16-mixed": (
        {"training": {"precision": "16-mixed"}},
        r"training\.precision: 16-mixed needs a CUDA device",
    ),
    "no mean where a factor is below zero": (
        {"tasks": {"age": {}}, "training": {"loss_balance": "geometric"}},
        r"loss_balance: geometric .* that of age may be below",
    ),
    "a frozen backbone of random weights": (
        {"backbone": {"frozen": True}},
        r"backbone\.frozen: its weights are random",
    ),
    "a backbone that would be what it began with": (
        {"backbone": FROZEN, "tasks": {"expression": None}},
        r"backbone\.frozen: without a task that learns from labels .* expression, or leave",
    ),
    "a rate for what has none": (
        {"backbone": {**FROZEN, "learning_rate_factor": 0.5}},
        r"backbone\.learning_rate_factor: what is frozen",
    ),
    "paths that are never dropped": (
        {"backbone": {**FROZEN, "drop_path": 0.1}},
        r"backbone\.drop_path: what is frozen",
    ),
    "gradients that nothing has": (
        {"backbone": FROZEN, "training": {"aggregator": "AlignedMTL"}},
        r"training\.aggregator: it joins gradients on the backbone, which is frozen",
    ),
    "new statistics for what keeps its own": (
        {"backbone": FROZEN, "training": {"batch_norm": "reestimated"}},
        r"training\.batch_norm: reestimated .* backbone\.frozen keeps",
    ),
    "no labels to mix": (
        {"tasks": {"expression": None}, "augment": {"mixup": 0.4}},
        r"augment\.mixup: it needs a supervised task",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_would_be_another_training_is_refused(why: str, tmp_path: Path) -> None:
    changes, said = REFUSED[why]
    recipe = tiny_recipe(tmp_path / "run", **changes)
    with pytest.raises(UsageError, match=said):
        refuse_early(recipe, build_tasks(recipe.tasks))
