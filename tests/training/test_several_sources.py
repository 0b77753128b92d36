"""One run on several data sets, each with labels of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridface import compare, evaluate
from hybridface.errors import UsageError
from hybridface.evaluation.run_predictions import load_run_predictions
from hybridface.inference.runtime import FaceModel
from hybridface.report.run import write_run_report
from hybridface.study.config import Cell
from hybridface.training.train import train
from tiny_runs import BrokenOffError, assert_same_run, break_at_step, tiny_recipe

TASKS = {"expression": {}, "pose": {}, "gender": {}, "age": {}, "puzzle": {}, "inpaint": None}


@pytest.fixture
def sources(tmp_path: Path, write_picture: Callable[..., Path]) -> dict[str, Any]:
    """Drawn faces with expression and pose, and faces with gender and age."""
    for number in range(40):
        name = f"{20 + number}_{number % 2}_{number % 4}_2017.jpg"
        write_picture(tmp_path / "people" / name, 300 + number)
    return {
        "drawn": {"source": "drawn:80?pixels=32", "weight": 0.5},
        "people": {
            "source": f"utkface:{tmp_path / 'people'}",
            "folds": {"count": 4},
            "validation": 0.3,
            "weight": 2,
        },
    }


def several(run: Path, sources: dict[str, Any], **changes: Any) -> Any:
    data = {"source": "", "sources": sources}
    tasks = {"tasks": TASKS} if "tasks" not in changes else {}
    return tiny_recipe(run, data=data, **tasks, **changes)


def test_every_head_is_measured_on_every_source(sources: dict[str, Any], tmp_path: Path) -> None:
    run = train(several(tmp_path / "run", sources, training={"epochs": 1}))
    tasks = json.loads((run.folder / "result.json").read_text())["tasks"]
    assert set(tasks) == {"expression", "pose", "gender", "age"}
    assert set(tasks["expression"]["val"]["by_source"]) == {"drawn"}
    assert set(tasks["pose"]["test"]["by_source"]) == {"drawn"}
    for split in ("val", "test", "val_last", "test_last"):
        assert set(tasks["gender"][split]["by_source"]) == {"people"}
        assert set(tasks["age"][split]["by_source"]) == {"people"}
        of_all, of_one = tasks["gender"][split], tasks["gender"][split]["by_source"]["people"]
        assert of_all["accuracy"] == of_one["accuracy"]
    assert tasks["gender"]["test"]["count"] == 10
    data = json.loads((run.folder / "data.json").read_text())["sources"]
    shown = 0.5 * data["drawn"]["rows"]["train"] + 2 * data["people"]["rows"]["train"]
    assert run.result["steps"] == int(shown) // 16
    kept = load_run_predictions(run.folder)
    assert set(kept["test"].tasks) == {"expression", "gender"}
    assert set(kept["test"].numbers) == {"pose", "age"}
    gender, age = kept["test"].tasks["gender"], kept["test"].numbers["age"]
    assert len(gender.keys) == len(age.keys) == 10
    assert all(key.startswith("people/") for key in (*gender.keys, *age.keys))
    right = float(np.mean(gender.predicted == gender.targets))
    assert right == pytest.approx(tasks["gender"]["test"]["accuracy"]["value"])
    assert (age.targets[:, 0] >= 20).all()
    assert compare(run.folder, run.folder)["tasks"].keys() >= {"expression", "gender"}
    model = FaceModel.load(run.folder)
    assert set(model.tasks) == {"expression", "pose", "gender", "age"}
    people = evaluate(run.folder, sources["people"]["source"])
    assert set(people["tasks"]) == {"gender", "age"}
    [note] = [note for note in people["notes"] if "trained on this very data set" in note]
    assert "40 of the 40" in note


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.usefixtures("quick_end")
def test_a_broken_run_goes_on_as_it_would_have(
    views: int, sources: dict[str, Any], tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"augment": {"views": views}}
    whole = train(several(tmp_path / "whole", sources, **changes))
    recipe = several(tmp_path / "broken", sources, **changes)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(BrokenOffError):
        break_at_step(patch, 7)
        train(recipe)
    assert_same_run(whole.folder, train(recipe, resume=True).folder)


def test_another_weight_is_another_run(sources: dict[str, Any], tmp_path: Path) -> None:
    recipe = several(tmp_path / "run", sources)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(BrokenOffError):
        break_at_step(patch, 7)
        train(recipe)
    other = {**sources, "people": {**sources["people"], "weight": 3}}
    with pytest.raises(UsageError, match=r"data\.sources"):
        train(several(tmp_path / "run", other), resume=True)


def test_a_cell_is_known_wherever_its_sources_lie(sources: dict[str, Any], tmp_path: Path) -> None:
    def key(sources: dict[str, Any]) -> str:
        return Cell("arm", "supervised", 0, several(tmp_path / "run", sources), {}).key

    elsewhere = {"source": "utkface:/elsewhere/people"}
    assert key(sources) == key({**sources, "people": {**sources["people"], **elsewhere}})
    assert key(sources) != key({**sources, "people": {**sources["people"], "weight": 1}})


def test_balance_and_weights_do_not_go_together(sources: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"training\.sampling: balanced and the weights"):
        train(several(tmp_path / "run", sources, training={"sampling": "balanced"}))


def test_the_page_shows_mistakes_of_every_source(
    sources: dict[str, Any], tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    tasks = {"gender": {}, "expression": None, "puzzle": None, "inpaint": None}
    for number in range(12):
        name = f"{30 + number}_{number % 2}_0_2018.jpg"
        write_picture(tmp_path / "more" / name, 500 + number)
    both = {
        "people": sources["people"],
        "more": {
            "source": f"utkface:{tmp_path / 'more'}",
            "folds": {"count": 2},
            "validation": 0.4,
        },
    }
    changes = {"tasks": {**TASKS, **tasks, "pose": None, "age": None}, "training": {"epochs": 1}}
    run = train(several(tmp_path / "run", both, **changes))
    page = write_run_report(run.folder, mistakes=16).read_text()
    assert "The pictures cannot be shown" not in page
    assert "Every task on every data set" in page
    assert re.search(r">gender</t[dh]>\s*<t[dh][^>]*>more</t[dh]>", page)
    for name in both:
        assert re.search(rf"{name}/\d\d_[01]_\d_20\d\d\.jpg", page)
