"""Which pictures a study's cells are tested on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybridface.errors import UsageError
from hybridface.report.study import StudyResult
from hybridface.study import Study, StudyConfig
from study.conftest import StubbedStudy
from study.helpers import study_content

Stub = Callable[..., StubbedStudy]
FOLDS = {"data": {"folds": {"count": 3}}}
SOURCES = {
    "data": {
        "source": "",
        "sources": {
            "faces": {"source": "drawn:120?pixels=32", "folds": {"count": 3}},
            "others": {"source": "drawn:60?pixels=32"},
        },
    }
}


def _study(tmp_path: Path, **changes: Any) -> Study:
    content = study_content(tmp_path / "tiny.json", **changes)
    arms = {name: arm | {"tuned": []} for name, arm in content["arms"].items()}
    return Study(StudyConfig.model_validate({**content, "tuning": {}, "arms": arms}))


@pytest.mark.parametrize(
    ("recipe", "by_seed", "same"),
    [
        ({}, [], True),
        ({}, ["data.seed"], True),
        (FOLDS, [], True),
        (FOLDS, ["data.seed"], True),
        (FOLDS, ["data.folds.test"], False),
        (FOLDS, ["data.folds.seed"], False),
        (SOURCES, [], True),
        (SOURCES, ["data.sources.faces.folds.test"], False),
    ],
)
def test_pictures_are_the_same_unless_seeds_cut_them_apart(
    recipe: dict[str, Any],
    by_seed: list[str],
    same: bool,
    stub: Stub,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pages: list[StudyResult] = []
    monkeypatch.setattr(
        "hybridface.report.study.write_study_page", lambda page, *_: pages.append(page)
    )
    stub(recipe=recipe, by_seed=by_seed).run()
    assert {page.same_test_pictures for page in pages} == {same}


@pytest.mark.parametrize(("recipe", "place"), [(FOLDS, "data"), (SOURCES, "data.sources.faces")])
def test_seeds_take_turns_in_the_folds_of_a_data_set(
    recipe: dict[str, Any], place: str, tmp_path: Path
) -> None:
    seeds = {"seeds": [4, 5, 6], "by_seed": [f"{place}.folds.test"]}
    cells = _study(tmp_path, recipe=recipe, **seeds).planned_cells()
    parts = [next(iter(cell.recipe.data.parts().values())) for cell in cells]
    tests = [part.folds.test for part in parts if part.folds is not None]
    assert tests == [1, 1, 2, 2, 0, 0]


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"folds": {"count": 4}}, True),
        ({"folds": {"count": 3, "seed": 1}}, True),
        ({"source": "drawn:120?pixels=32&seed=1"}, True),
        ({"keep_together": "near_duplicates"}, True),
        ({"folds": {"count": 4}, "fraction": 0.5}, False),
        ({"validation": 0.2}, False),
    ],
)
def test_arms_that_are_tested_on_other_pictures_do_not_compare(
    change: dict[str, Any], refused: bool, tmp_path: Path
) -> None:
    """The pictures of a seed would be paired though none is the same."""
    arms = {"puzzle_own": {"change": {"data": change, "tasks": {"puzzle": {"grid": 2}}}}}
    study = _study(tmp_path, recipe=FOLDS, by_seed=["data.folds.test"], arms=arms)
    if refused:
        with pytest.raises(UsageError, match="arms supervised and puzzle_own have the same data"):
            study.planned_cells()
    else:
        assert len(study.planned_cells()) == 4


def test_what_cuts_no_test_split_makes_no_other_pictures(tmp_path: Path) -> None:
    change = {"data": {"keep_together": "near_duplicates"}, "tasks": {"puzzle": {"grid": 2}}}
    arms = {"puzzle_own": {"change": change}}
    assert len(_study(tmp_path, by_seed=[], arms=arms).planned_cells()) == 4


@pytest.mark.parametrize(("recipe", "place"), [(FOLDS, "data"), (SOURCES, "data.sources.faces")])
def test_seeds_that_repeat_a_test_fold_are_refused(
    recipe: dict[str, Any], place: str, tmp_path: Path
) -> None:
    seeds = {"seeds": [0, 1, 2, 3], "by_seed": [f"{place}.folds.test"]}
    study = _study(tmp_path, recipe=recipe, **seeds)
    for refuses in (study.write, study.run):
        with pytest.raises(
            UsageError, match=f"seeds 0 and 3 are tested on the same fold by {place}"
        ):
            refuses()
