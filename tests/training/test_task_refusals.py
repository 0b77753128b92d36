"""Tasks of users that say too little, or something else than they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hybridface.errors import UsageError
from hybridface.tasks.base import Task
from hybridface.tasks.expression import Expression
from hybridface.tasks.pose import Pose
from hybridface.training.train import train
from tiny_runs import tiny_recipe


class Nameless(Expression):
    label = None  # type: ignore[assignment]


class Dropped(Expression):
    kept_at_inference = False


class Still(Pose):
    follow = Task.follow  # type: ignore[assignment]


class Silent(Expression):
    describe = Task.describe  # type: ignore[assignment]


class Unnamed(Expression):
    def describe(self) -> dict[str, Any]:
        return {"kind": "classification"}


class Landmarks(Pose):
    def describe(self) -> dict[str, Any]:
        return {"kind": "landmarks"}


class Logits(Expression):
    decode = Task.decode  # type: ignore[assignment]


class Wide(Expression):
    def decode(self, output: Tensor) -> Tensor:
        return torch.cat([output, output], 1).softmax(1)


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ({"expression": {"type": "Nameless"}}, "task expression: .* names no label column"),
        ({"mine": {"type": "Dropped"}}, "task mine: .* no head would be left for use"),
        (
            {"pose": {}, "mine": {"type": "Still"}},
            "tasks pose and mine: both learn from label column 'pose', but by their follow",
        ),
        ({"mine": {"type": "Silent"}}, "task mine: .* of kind None; expected .* classification"),
        ({"mine": {"type": "Logits"}}, "task mine: .* no probabilities"),
        (
            {"mine": {"type": "Wide"}},
            r"mine: .* \(2, 14\) for two pictures; expected \(2, 7\)",
        ),
        ({"mine": {"type": "Unnamed"}}, "task mine: .* to say as 'classes' the names"),
        (
            {"mine": {"type": "Landmarks"}},
            "task mine: .* 'landmarks'; expected .* pose or regression",
        ),
    ],
)
def test_a_class_of_a_user_that_says_too_little_is_refused_before_training(
    tasks: dict[str, Any], said: str, tmp_path: Path, drawn_cache: Path
) -> None:
    named = {
        name: options
        | ({"type": f"training.test_task_refusals:{options['type']}"} if options else {})
        for name, options in tasks.items()
    }
    with pytest.raises(UsageError, match=said):
        train(tiny_recipe(tmp_path / "run", tasks={"expression": None, "inpaint": None} | named))
    assert not (tmp_path / "run" / "config.yaml").exists()
