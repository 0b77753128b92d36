"""The figures of an epoch: over which batches and pictures they are taken."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hybridface.errors import UsageError
from hybridface.training import callbacks
from hybridface.training.callbacks import RunKeeper
from hybridface.training.module import HybridModule
from hybridface.training.runs import RunFolder
from tiny_runs import labelled_batch, tiny_model, tiny_recipe

TWO: dict[str, Any] = {
    "expression": {"dropout": 0.0},
    "mood": {"type": "expression", "label": "mood", "dropout": 0.0},
}


BATCHES = 3


def module_of(run: Path, tasks: dict[str, Any], **training: Any) -> HybridModule:
    recipe = tiny_recipe(run, tasks={"puzzle": None, "inpaint": None, **tasks}, training=training)
    model, built = tiny_model(recipe.tasks)
    return HybridModule(recipe, model, built, BATCHES, lambda: iter(()))


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_batches_are_counted_whatever_makes_a_step(
    accumulate: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their number a task with ``every`` takes part; an epoch's last step may lack batches."""
    module = module_of(tmp_path / "run", {}, accumulate=accumulate)
    steps_an_epoch = math.ceil(BATCHES / accumulate)
    assert module.total_steps == steps_an_epoch * module.recipe.training.epochs
    place: dict[str, int] = {}
    for name in ("current_epoch", "global_step"):
        monkeypatch.setattr(HybridModule, name, property(lambda _, name=name: place[name]))
    seen: list[int] = []
    progress: list[float] = []

    def step(*arguments: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        progress.append(arguments[-2])
        seen.append(arguments[-1])
        return torch.zeros(()), {}

    monkeypatch.setattr(module.step, "forward", step)
    for epoch in range(4):
        for index in range(BATCHES):
            step_before = epoch * steps_an_epoch + index // accumulate
            place |= {"current_epoch": epoch, "global_step": step_before}
            module.training_step(labelled_batch(2), index)
    assert seen == list(range(4 * BATCHES))
    place["global_step"] = module.total_steps - 1
    module.training_step(labelled_batch(2), 0)
    assert (progress[0], progress[-1]) == (0, 1)


def test_a_batch_without_a_label_is_not_averaged_in(tmp_path: Path) -> None:
    module = module_of(tmp_path / "run", {"puzzle": {"grid": 2}}).train()
    labelled, other = labelled_batch(8), labelled_batch(8, seed=1)
    other.labels["expression"][:] = -1
    seen = []
    for number, batch in enumerate((labelled, other)):
        module.training_step(batch, number)
        seen.append(module.last_figures)
    averages = module.training_averages()
    for name in ("expression/loss", "expression/accuracy"):
        assert averages[name] == pytest.approx(seen[0][name].item())
    for name in ("puzzle/loss", "loss"):
        assert averages[name] == pytest.approx((seen[0][name] + seen[1][name]).item() / 2)
    module.train_figures, module.train_counts = {}, {}
    module.training_step(other, 2)
    assert "expression/loss" not in module.training_averages()


def test_a_second_task_without_labels_in_validation_has_no_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HybridModule, "trainer", SimpleNamespace(sanity_checking=False))
    monkeypatch.setattr(HybridModule, "log_dict", lambda *_, **__: None)
    module = module_of(tmp_path / "run", TWO)
    batch = labelled_batch()
    for labels, names in ((torch.full((6,), -1), set()), (batch.labels["expression"], {"mood"})):
        batch.labels["mood"] = labels
        module.on_validation_epoch_start()
        module.validation_step(batch, 0)
        module.on_validation_epoch_end()
        assert {name.partition("/")[0] for name in module.validation if "/" in name} == names
        assert module.validation["accuracy"] >= 0


def test_a_figure_that_is_no_number_is_not_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a precision where nothing was said; whatever comes later is better."""
    monkeypatch.setattr(callbacks, "save_weights", lambda *_: None)
    keeper = RunKeeper(tiny_recipe(tmp_path / "run"), RunFolder(tmp_path / "run"), {})
    task = SimpleNamespace(name="mine", selects={"accuracy": True})
    for epoch, value in enumerate((math.nan, 0.2, math.nan, 0.3, 0.1), start=1):
        module: Any = SimpleNamespace(
            validation={"accuracy": value}, supervised=[task], evaluated_model=lambda: None
        )
        keeper._keep_best(module, epoch)
    assert keeper.best == {"epoch": 4, "value": 0.3}
    module.validation = {"f1": 0.5, "mood/accuracy": 0.5}
    with pytest.raises(UsageError, match="that it has accuracy, but its figures are f1; mend"):
        keeper._keep_best(module, 6)
