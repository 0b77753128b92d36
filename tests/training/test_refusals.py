"""Recipes that could be trained, but not as they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hybridface.errors import UsageError
from hybridface.tasks import build_tasks
from hybridface.tasks.base import Task
from hybridface.tasks.expression import Expression
from hybridface.tasks.pose import Pose
from hybridface.training.refusals import refuse_early
from hybridface.training.train import train
from tiny_runs import tiny_recipe

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "Lightning would take bf16-mixed": (
        {"training": {"precision": "16-mixed"}},
        r"training\.precision: 16-mixed needs a CUDA device",
    ),
    "no mean where a factor is below zero": (
        {"tasks": {"age": {}}, "training": {"loss_balance": "geometric"}},
        r"loss_balance: geometric .* that of age may be below",
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
        name: options | ({"type": f"training.test_refusals:{options['type']}"} if options else {})
        for name, options in tasks.items()
    }
    with pytest.raises(UsageError, match=said):
        train(tiny_recipe(tmp_path / "run", tasks={"expression": None, "inpaint": None} | named))
    assert not (tmp_path / "run" / "config.yaml").exists()
