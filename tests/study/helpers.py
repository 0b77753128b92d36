"""What the tests of studies have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hybridface.config.content import drop_tasks, merge
from hybridface.study import Cell
from tiny_runs import CONTENT


def study_content(results: Path, **changes: Any) -> dict[str, Any]:
    change = {"tasks": {"puzzle": None, "inpaint": None}, "training": {"epochs": 2}}
    recipe = drop_tasks(merge(CONTENT, change))
    study = {
        "name": "tiny",
        "title": "A tiny study",
        "recipe": recipe,
        "seeds": [0, 1],
        "by_seed": ["data.seed"],
        "tuning_seed": 100,
        "tuning": {
            "supervised": {
                "base": {"training": {"weight_decay": 0.2}},
                "trials": [
                    {"training": {"learning_rate": 0.001}},
                    {"training": {"learning_rate": 0.003}},
                ],
            }
        },
        "arms": {
            "supervised": {"method": "supervised", "tuned": ["supervised"]},
            "puzzle_own": {
                "method": "puzzle",
                "tuned": ["supervised"],
                "change": {"tasks": {"puzzle": {"grid": 2, "weight": 0.3}}},
            },
        },
        "results": str(results),
    }
    content = merge(study, changes)
    return {**content, "recipe": drop_tasks(content["recipe"])}


def rate(cell: Cell) -> float:
    return cell.recipe.training.learning_rate
