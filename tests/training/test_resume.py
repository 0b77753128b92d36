"""A run that was broken off and resumed is the run that was never broken off, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hybridface import load_recipe, train
from hybridface.training.callbacks import RunKeeper
from hybridface.training.train import TrainedRun
from tiny_runs import (
    BrokenOffError,
    assert_same_run,
    break_at_step,
    tiny_recipe,
)

pytestmark = pytest.mark.usefixtures("drawn_cache")

STEPS_AN_EPOCH = 4
# Every mode that keeps state of its own between steps or looks at other pictures.
CHANGES: dict[str, dict[str, Any]] = {
    "split": {},
    "joined": {"training": {"batch_norm": "joined", "validate_every": 2}},
    "reestimated": {"training": {"batch_norm": "reestimated", "select": "nll"}},
    "slower backbone": {"backbone": {"learning_rate_factor": 0.1}},
    "no average": {"training": {"ema": None, "clip": None}},
    "shared view": {"tasks": {"puzzle": {"view": "shared"}, "inpaint": None}},
    "unlabelled": {
        "data": {"unlabelled": "drawn:40?pixels=32", "unlabelled_per_labelled": 0.7},
        "augment": {"mixup": 0.4},
        "training": {"loss_balance": "uncertainty", "sampling": "balanced"},
    },
    "two views": {"augment": {"views": 2}, "tasks": {"puzzle": None, "inpaint": None}},
}


def break_before(monkeypatch: pytest.MonkeyPatch, method: str, call: int) -> None:
    """Break a training off when a method of the run's keeper is called for the nth time."""
    go = getattr(RunKeeper, method)
    calls = 0

    def broken(self: RunKeeper, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise BrokenOffError
        return go(self, *arguments)

    monkeypatch.setattr(RunKeeper, method, broken)


@pytest.mark.parametrize("mode", CHANGES)
@pytest.mark.usefixtures("quick_end")
def test_broken_in_mid_epoch(mode: str, tmp_path: Path) -> None:
    changes = CHANGES[mode]
    whole = train(tiny_recipe(tmp_path / "whole", **changes))
    recipe = tiny_recipe(tmp_path / "broken", **changes)
    for step in (2 * STEPS_AN_EPOCH + 2, 3 * STEPS_AN_EPOCH + 1):  # twice, in different epochs
        with pytest.MonkeyPatch.context() as patch, pytest.raises(BrokenOffError):
            break_at_step(patch, step)
            train(recipe, resume=step > 10)
        assert (recipe.run / "checkpoint.ckpt").exists()
        assert not (recipe.run / "result.json").exists()
    resumed = train(recipe, resume=True)
    assert_same_run(whole.folder, resumed.folder)
    assert not (recipe.run / "checkpoint.ckpt").exists()


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("_note", 1),  # before anything is written
        ("save", 1),  # best weights and metrics are there, a checkpoint is not
        ("save", 3),  # best weights and metrics are newer than the checkpoint
        ("_note", 4),  # the last epoch is trained
        ("summary", 1),  # all is trained, the last weights are written
    ],
)
@pytest.mark.usefixtures("quick_end")
def test_broken_between_files(method: str, call: int, unbroken: TrainedRun, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "broken")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(BrokenOffError):
        break_before(patch, method, call)
        train(recipe)
    assert_same_run(unbroken.folder, train(recipe, resume=True).folder)


@pytest.fixture(scope="module")
def unbroken(tiny_run: TrainedRun) -> TrainedRun:
    return tiny_run


def test_a_finished_run_is_not_trained_again(
    tiny_run: TrainedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny_run.folder.rglob("*")}
    monkeypatch.delattr("hybridface.training.train.prepare_data")
    again = train(load_recipe(tiny_run.folder / "config.yaml"), resume=True)
    assert again == tiny_run
    assert before == {path: path.stat().st_mtime_ns for path in tiny_run.folder.rglob("*")}
