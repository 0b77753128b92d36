"""How long a batch takes is measured in this process, whatever the recipe says of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybridface.data.prepare import prepare_data
from hybridface.tasks import build_tasks
from hybridface.training import timing
from hybridface.training.module import HybridModule
from tiny_runs import tiny_recipe


@pytest.mark.usefixtures("drawn_cache")
def test_of_several_processes_the_share_of_one_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, take = [], HybridModule.training_step
    monkeypatch.setattr(timing, "WARM_UP", 0)
    monkeypatch.setattr(timing, "TIMED", 1)
    monkeypatch.setattr(
        HybridModule,
        "training_step",
        lambda self, batch, number: (seen.append(len(batch.images)), take(self, batch, number))[1],
    )
    tasks = {"inpaint": None, "puzzle": {"grid": 2, "every": 2}}
    recipe = tiny_recipe(tmp_path / "run", tasks=tasks, training={"devices": 2})
    data = prepare_data(recipe.data, ["expression"], recipe.seed)
    assert timing.seconds_a_batch(recipe, build_tasks(recipe.tasks), data) > 0
    assert seen == [8, 8]
