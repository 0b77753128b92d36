"""A backbone that is frozen: heads alone learn, and nothing of it moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hybridface.config import Recipe
from hybridface.data.prepare import prepare_data
from hybridface.tasks import label_columns, resolve_tasks
from hybridface.training.build import build_module
from hybridface.training.train import TrainedRun, train
from tiny_runs import BrokenOffError, assert_same_run, break_at_step, tiny_recipe

pytestmark = pytest.mark.usefixtures("drawn_cache", "quick_end")

FEW: dict[str, Any] = {"puzzle": None, "inpaint": None}


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """Return a run whose backbone knows something."""
    return train(tiny_recipe(tmp_path / "start", training={"epochs": 1})).folder


def frozen(run: Path, start: Path, **changes: Any) -> TrainedRun:
    return train(tiny_recipe(run, backbone=backbone_of(start), **changes))


def backbone_of(start: Path) -> dict[str, Any]:
    return {"checkpoint": str(start), "frozen": True, "drop_path": 0}


def parts_of(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    found = load_file(file)
    backbone = {name: value for name, value in found.items() if name.startswith("backbone.")}
    return backbone, {name: value for name, value in found.items() if name not in backbone}


def heads_as_begun(recipe: Recipe) -> dict[str, torch.Tensor]:
    """Return the weights that the heads of a recipe start with."""
    recipe, tasks = resolve_tasks(recipe)
    data = prepare_data(recipe.data, label_columns(tasks), recipe.seed)
    _, model = build_module(recipe, tasks, data)
    return {f"heads.{name}": value.clone() for name, value in model.heads.state_dict().items()}


@pytest.mark.parametrize("mode", ["split", "joined"])
def test_heads_learn_and_the_backbone_stays_to_the_bit(
    mode: str, start: Path, tmp_path: Path
) -> None:
    run = frozen(tmp_path / "run", start, training={"batch_norm": mode}).folder
    before, _ = parts_of(start / "best.safetensors")
    for file in ("best.safetensors", "last.safetensors"):
        after, heads = parts_of(run / file)
        assert after.keys() == before.keys()
        for name, value in before.items():
            assert torch.equal(after[name], value), name
    begun = heads_as_begun(tiny_recipe(run))
    for task in ("expression", "puzzle", "inpaint"):
        moved = [n for n in heads if n.startswith(f"heads.{task}") and n.endswith("weight")]
        assert moved
        assert not any(torch.equal(heads[name], begun[name]) for name in moved)


def test_a_frozen_run_that_was_broken_off_goes_on_as_if_it_was_not(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"tasks": FEW, "training": {"epochs": 2}}
    whole = frozen(tmp_path / "whole", start, **changes)
    recipe = tiny_recipe(tmp_path / "broken", backbone=backbone_of(start), **changes)
    with monkeypatch.context() as patch:
        break_at_step(patch, 5)
        with pytest.raises(BrokenOffError):
            train(recipe)
    assert_same_run(whole.folder, train(recipe, resume=True).folder)


def test_the_first_of_two_stages_learns_and_the_second_keeps_what_it_learned(
    tmp_path: Path,
) -> None:
    changes = {
        "tasks": FEW | {"expression": {"hidden": 16}},
        "pretrain": {"epochs": 1, "tasks": {"puzzle": {"grid": 2}}},
        "training": {"epochs": 2},
    }
    run = train(tiny_recipe(tmp_path / "run", backbone={"frozen": True}, **changes)).folder
    other = train(tiny_recipe(tmp_path / "other", **changes)).folder
    first, _ = parts_of(run / "pretrain" / "last.safetensors")
    as_other, _ = parts_of(other / "pretrain" / "last.safetensors")
    last, heads = parts_of(run / "last.safetensors")
    assert "heads.expression.hidden.weight" in heads
    for name, value in first.items():
        assert torch.equal(value, as_other[name]), name
        assert torch.equal(value, last[name]), name
