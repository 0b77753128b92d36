from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from hybridface.config import merge
from hybridface.errors import HybridFaceError, UsageError
from hybridface.files import cache_folder
from hybridface.study import Cell, Study, StudyConfig, load_study
from hybridface.training import TrainedRun
from tiny_runs import CONTENT

KEYS = {
    "data", "fraction", "labels", "method", "view", "grid", "ssl_weight", "init", "augment",
    "backbone", "size", "batch", "epochs", "steps", "seed", "seconds", "val_accuracy",
    "test_accuracy", "test_accuracy_last", "mean_class_accuracy", "revision", "machine",
}  # fmt: skip


def content(results: Path, **changes: Any) -> dict[str, Any]:
    recipe = merge(CONTENT, {"tasks": {"puzzle": None, "inpaint": None}, "training": {"epochs": 2}})
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
    return merge(study, changes)


@pytest.fixture
def study_file(tmp_path: Path, drawn_cache: Path) -> Callable[..., Path]:
    """Return a function that writes the study, with changes."""
    shutil.rmtree(drawn_cache / "studies", ignore_errors=True)

    def write(**changes: Any) -> Path:
        file = tmp_path / "study.yaml"
        file.write_text(yaml.safe_dump(content(tmp_path / "results" / "tiny.json", **changes)))
        return file

    return write


class Ended:
    """A process that has ended."""

    def __init__(self, returncode: int) -> None:
        self.returncode = returncode

    def poll(self) -> int:
        return self.returncode


class StubbedStudy(Study):
    """Instead of training, takes a finished run and changes its figures.

    Cells for which ``accuracy`` gives None fail.
    """

    def __init__(
        self, config: StudyConfig, run: Path, accuracy: Callable[[Cell], float | None], **rest: Any
    ) -> None:
        self.said: list[str] = []
        super().__init__(config, say=self.said.append, **rest)
        self.run_folder, self.accuracy = run, accuracy
        self.started: list[Cell] = []

    def _start(self, cell: Cell) -> subprocess.Popen[bytes]:
        self.started.append(cell)
        accuracy = self.accuracy(cell)
        folder = self.folder / cell.key
        folder.parent.mkdir(parents=True, exist_ok=True)
        if accuracy is None:
            folder.with_suffix(".log").write_text("Traceback\nhybridface: no such thing\n")
            return Ended(1)  # type: ignore[return-value]
        shutil.copytree(self.run_folder, folder)
        result = json.loads((folder / "result.json").read_text())
        result["val"]["accuracy"]["value"] = accuracy
        result["epochs"] = cell.recipe.training.epochs
        (folder / "result.json").write_text(json.dumps(result))
        return Ended(0)  # type: ignore[return-value]


def rate(cell: Cell) -> float:
    return cell.recipe.training.learning_rate


Stub = Callable[..., StubbedStudy]


@pytest.fixture
def stub(
    study_file: Callable[..., Path], tiny_run: TrainedRun, monkeypatch: pytest.MonkeyPatch
) -> Stub:
    """Return a function that makes a stubbed study: accuracy by cell, changes of its file."""
    monkeypatch.setattr("hybridface.study.runner.time.sleep", lambda _: None)

    def make(
        accuracy: Callable[[Cell], float | None] = rate,
        jobs: int = 1,
        overrides: Any = (),
        **changes: Any,
    ) -> StubbedStudy:
        config = load_study(study_file(**changes))
        return StubbedStudy(config, tiny_run.folder, accuracy, jobs=jobs, overrides=overrides)

    return make


def test_tuning_comes_first_and_seeds_are_outermost(stub: Stub) -> None:
    study = stub()
    rows = study.run()
    assert [(cell.arm, cell.seed) for cell in study.started] == [
        ("tuning/supervised", 100),
        ("tuning/supervised", 100),
        ("supervised", 0),
        ("puzzle_own", 0),
        ("supervised", 1),
        ("puzzle_own", 1),
    ]
    assert [(row["arm"], row["seed"]) for row in rows] == [
        (cell.arm, cell.seed) for cell in study.started[2:]
    ]
    assert all(cell.recipe.seed == cell.recipe.data.seed == cell.seed for cell in study.started)


def test_rows_have_every_key(stub: Stub) -> None:
    study = stub()
    study.run()
    rows = json.loads(study.config.results.read_text())
    assert len(rows) == 4
    for row in rows:
        assert KEYS | {"arm", "cell"} <= set(row)
        assert 0 <= row["test_accuracy"] <= 1
        assert row["data"] == "drawn"
        assert row["epochs"] == 2
        assert row["init"] == "random"
    supervised, puzzle = rows[:2]
    assert (supervised["method"], puzzle["method"]) == ("supervised", "puzzle")
    for key, value in (("view", "own"), ("grid", 2), ("ssl_weight", 0.3)):
        assert supervised[key] is None
        assert puzzle[key] == value


def test_tuned_settings_reach_the_arms(stub: Stub) -> None:
    for best, accuracy in ((0.003, rate), (0.001, lambda cell: -rate(cell))):
        study = stub(accuracy)
        shutil.rmtree(cache_folder() / "studies", ignore_errors=True)
        study.config.results.unlink(missing_ok=True)
        study.config.results.with_suffix(".details.json").unlink(missing_ok=True)
        study = stub(accuracy)
        study.run()
        for cell in study.started[2:]:
            assert cell.recipe.training.learning_rate == best
            assert cell.recipe.training.weight_decay == 0.2
        extra = json.loads(study.config.results.with_suffix(".details.json").read_text())
        chosen = [trial["settings"] for trial in extra["tuning"] if trial["chosen"]]
        assert chosen == [{"training": {"learning_rate": best}}]
        assert len(extra["tuning"]) == 2


def test_later_groups_start_from_the_best_of_earlier_ones(stub: Stub) -> None:
    later = {
        "after": ["supervised"],
        "trials": [{"tasks": {"puzzle": {"grid": g}}} for g in (2, 4)],
    }
    arms = {"puzzle_own": {"tuned": ["supervised", "puzzle"], "change": None}}
    study = stub(
        tuning={"puzzle": later},
        arms={**arms, "puzzle_own": {"method": "puzzle", **arms["puzzle_own"], "change": {}}},
    )
    study.run()
    trials = [cell for cell in study.started if cell.arm == "tuning/puzzle"]
    assert [cell.recipe.tasks["puzzle"]["grid"] for cell in trials] == [2, 4]
    assert all(rate(cell) == 0.003 for cell in trials)


def test_finished_cells_are_not_run_again(stub: Stub) -> None:
    first = stub()
    rows = first.run()
    again = stub()
    assert again.run() == rows
    assert again.started == []
    shutil.rmtree(again.folder)  # another machine: only what is committed is there
    elsewhere = stub()
    assert elsewhere.run() == rows
    assert elsewhere.started == []
    elsewhere.config.results.unlink()
    elsewhere.config.results.with_suffix(".details.json").unlink()
    assert len(stub().run()) == 4


def test_a_new_seed_adds_to_the_rows(stub: Stub) -> None:
    stub().run()
    more = stub(seeds=[0, 1, 2])
    assert len(more.run()) == 6
    assert [cell.seed for cell in more.started] == [2, 2]


def test_stopped_while_tuning_keeps_the_rows_it_had(stub: Stub) -> None:
    before = stub()
    rows = before.run()
    files = [before.config.results, before.config.results.with_suffix(".details.json")]
    texts = [file.read_text() for file in files]
    shutil.rmtree(before.folder)

    def stop(cell: Cell) -> float:
        raise KeyboardInterrupt

    new = {"after": ["supervised"], "trials": [{"training": {"clip": 1.0}}]}
    with pytest.raises(KeyboardInterrupt):
        stub(stop, tuning={"more": new}).run()
    assert [file.read_text() for file in files] == texts
    assert stub().run() == rows


def test_a_failing_cell_is_reported_and_the_rest_go_on(stub: Stub) -> None:
    def fails(cell: Cell) -> float | None:
        return None if (cell.arm, cell.seed) == ("supervised", 0) else rate(cell)

    study = stub(fails)
    with pytest.raises(HybridFaceError, match="1 cells failed: supervised seed 0: .*no such thing"):
        study.run()
    assert any(
        "supervised seed 0: failed: hybridface: no such thing" in line for line in study.said
    )
    assert len(study.started) == 6
    assert len(json.loads(study.config.results.read_text())) == 3
    mended = stub()
    assert len(mended.run()) == 4
    assert [(cell.arm, cell.seed) for cell in mended.started] == [("supervised", 0)]


def test_a_group_of_which_no_trial_ends_stops_the_study(stub: Stub) -> None:
    with pytest.raises(HybridFaceError, match="no trial of the tuning group 'supervised'"):
        stub(lambda _: None).run()


@pytest.mark.parametrize("jobs", [1, 3])
def test_cells_of_one_recipe_train_once(stub: Stub, jobs: int) -> None:
    twin = {"method": "twin", "tuned": ["supervised"]}
    study = stub(jobs=jobs, arms={"twin": twin}, seeds=[0])
    rows = study.run()
    assert [row["method"] for row in rows] == ["supervised", "puzzle", "twin"]
    assert rows[0]["cell"] == rows[2]["cell"]
    assert len({cell.key for cell in study.started}) == len(study.started) == 4


def test_stretch_lengthens_the_tuned_schedule(stub: Stub) -> None:
    stretched = {"method": "supervised_stretched", "tuned": ["supervised"], "stretch": 2.5}
    trials = [{"training": {"epochs": 4, "validate_every": 2}}]
    study = stub(arms={"stretched": stretched}, tuning={"supervised": {"trials": trials}})
    study.run()
    (cell, *_) = [cell for cell in study.started if cell.arm == "stretched"]
    assert cell.recipe.training.epochs == 10
    assert cell.recipe.training.validate_every == 5
    assert [row["epochs"] for row in study.rows()][:3] == [4, 4, 10]


def test_the_page_is_written(stub: Stub) -> None:
    study = stub()
    study.run()
    for suffix in (".md", ".html"):
        page = study.config.results.with_suffix(suffix).read_text()
        assert "A tiny study" in page
        assert "puzzle_own" in page


def key(study: Mapping[str, Any], *overrides: str) -> str:
    config = StudyConfig.model_validate({**study, "tuning": {}, "arms": {"a": {"method": "a"}}})
    return Study(config, overrides).cell("a", 0).key


def test_keys_are_of_what_decides_the_result(tmp_path: Path) -> None:
    study = content(tmp_path / "a.json")
    same = key(study)
    for override in (
        "training.threads=8", "training.device=auto", "training.checkpoint_minutes=9",
        "run=/somewhere/else", "tasks.puzzle=null",
    ):  # fmt: skip
        assert key(study, override) == same
    for override in (
        "training.epochs=3", "data.fraction=0.5", "tasks.expression.dropout=0.1", "data.size=48",
        "data.source=drawn:120?pixels=64", "data.source=folder:/faces?label=mood",
    ):  # fmt: skip
        assert key(study, override) != same
    here, there = ("data.source=folder:/a/b", "data.source=folder:~/c")
    assert key(study, here) == key(study, there)
    assert key({**study, "name": "other", "title": "Other"}) == same


def test_folds_follow_the_seed(tmp_path: Path) -> None:
    study = content(tmp_path / "a.json", tuning=None, by_seed=["data.folds.test"])
    study |= {"tuning": {}, "arms": {"a": {"method": "a"}}}
    config = StudyConfig.model_validate(study)
    folds = [
        Study(config, ["data.folds.count=3"]).cell("a", seed).recipe.data.folds for seed in range(5)
    ]
    assert [fold.test for fold in folds if fold] == [0, 1, 2, 0, 1]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "tuning seed": ({"tuning_seed": 1}, "tuning_seed 1 is one of seeds"),
    "group of an arm": (
        {"arms": {"supervised": {"tuned": ["supervisd"]}}},
        "did you mean 'supervised'",
    ),
    "late group": ({"tuning": {"supervised": {"after": ["supervised"]}}}, "earlier tuning group"),
    "key": ({"seed": [1]}, "did you mean 'seeds'"),
    "key of an arm": ({"arms": {"supervised": {"strech": 2}}}, "strech"),
    "name": ({"name": "../up"}, "name: "),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_studies_are_refused(what: str, study_file: Callable[..., Path]) -> None:
    changes, said = WRONG[what]
    with pytest.raises(UsageError, match=said):
        load_study(study_file(**changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": {"puzzle_own": {"change": {"trainig": {}}}}}, "did you mean 'training'"),
        ({"arms": {"puzzle_own": {"change": {"tasks": {"puzle": {}}}}}}, "did you mean 'puzzle'"),
        ({"arms": {"puzzle_own": {"change": {"tasks": {"puzzle": {"gird": 2}}}}}}, "'grid'"),
        ({"tuning": {"supervised": {"trials": [{"training": {"epochs": 0}}]}}}, "epochs"),
    ],
)
def test_a_wrong_arm_is_refused_before_anything_is_trained(
    changes: dict[str, Any], said: str, stub: Stub
) -> None:
    study = stub(**changes)
    with pytest.raises(UsageError, match=said):
        study.run()
    assert study.started == []


def test_damaged_results_are_refused(stub: Stub, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "tiny.json").write_text("[{")
    with pytest.raises(HybridFaceError, match="damaged results"):
        stub()


@pytest.mark.slow
def test_a_whole_study(study_file: Callable[..., Path], capfd: pytest.CaptureFixture[str]) -> None:
    config = load_study(study_file())
    rows = Study(config, jobs=2).run()
    assert [(row["arm"], row["seed"]) for row in rows] == [
        ("supervised", 0), ("puzzle_own", 0), ("supervised", 1), ("puzzle_own", 1),
    ]  # fmt: skip
    assert all(KEYS <= set(row) for row in rows)
    assert all(row["val_accuracy"] is not None for row in rows)
    assert rows[0]["steps"] == rows[1]["steps"] == 8
    assert len({row["test_accuracy"] for row in rows} | {row["cell"] for row in rows}) > 4
    assert Study(config).run() == rows
    broken = load_study(
        study_file(
            seeds=[5],
            arms={
                "bad": {
                    "method": "bad",
                    "change": {
                        "data": {"size": 16, "validation": 0.0001},
                        "backbone": {"name": "none_such"},
                    },
                }
            },
        )
    )
    with pytest.raises(HybridFaceError, match="bad seed 5: .*none_such"):
        Study(broken, jobs=2).run()
