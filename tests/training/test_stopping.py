"""What Ctrl-C and SIGTERM do in the process that trains; test_killed.py sends them from outside."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from hybridface import train
from hybridface.config import Recipe
from hybridface.errors import HybridFaceError, StoppedError
from hybridface.training.module import HybridModule
from tiny_runs import copy_run

pytestmark = pytest.mark.usefixtures("drawn_cache", "quick_end")


@pytest.fixture
def recipe(broken_run: Path, tmp_path: Path) -> Recipe:
    """Return the recipe of a run that has an epoch to go."""
    return copy_run(broken_run, tmp_path / "run")


def signalled(monkeypatch: pytest.MonkeyPatch, number: int, *, broken: bool = False) -> None:
    """Let a signal come in the next step, whose loss may be no number."""
    go = HybridModule.training_step

    def training_step(self: HybridModule, *arguments: Any) -> Any:
        loss = go(self, *arguments)
        signal.raise_signal(number)
        if broken:
            self.last_figures["loss"] = torch.tensor(float("nan"))
        return loss

    monkeypatch.setattr(HybridModule, "training_step", training_step)


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, StoppedError)]
)
def test_python_sees_what_it_knows(
    number: signal.Signals, error: type, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C stays a KeyboardInterrupt, which no loop over trainings takes for a failed one."""
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    signalled(monkeypatch, number)
    with pytest.raises(error, match=rf"{recipe.run}: stopped by .* and saved; go on with .*--res"):
        train(recipe, resume=True)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_broken_loss_takes_the_place_of_no_checkpoint(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = recipe.run / "checkpoint.ckpt"
    before = checkpoint.read_bytes()
    signalled(monkeypatch, signal.SIGTERM, broken=True)
    with pytest.raises(HybridFaceError, match="the joint loss is no finite number at step"):
        train(recipe, resume=True)
    assert checkpoint.read_bytes() == before


def test_a_thread_trains_without_signals(recipe: Recipe) -> None:
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(train, recipe, resume=True).result()
    assert run.result["epochs"] == 2
