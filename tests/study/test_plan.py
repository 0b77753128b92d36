"""A dry run: which cells there are, how far each is, and how long the rest takes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hybridface.cli import app
from hybridface.study import Cell, load_study
from hybridface.study.plan import describe, plan
from hybridface.study.progress import CellProgress, cell_progress, read_progress
from hybridface.study.runner import Study
from study.conftest import Stub, StudyFile
from study.helpers import rate
from tiny_runs import tiny_recipe


@pytest.fixture
def second_a_batch(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let every batch take a second; return what was timed."""
    timed: list[str] = []

    def timing(recipe: object, tasks: list[object], data: object) -> float:
        timed.append(" ".join(type(task).__name__ for task in tasks))
        return 1.0

    monkeypatch.setattr("hybridface.study.plan.seconds_a_batch", timing)
    return timed


def test_cells_come_in_the_order_in_which_they_train(stub: Stub, second_a_batch: list[str]) -> None:
    study = stub()
    planned = plan(study)
    study.run()
    # The trials tie here, so that the first one, which stands for the best, is the best.
    assert [each.cell.arm for each in planned] == [cell.arm for cell in study.started]
    assert not any(each.finished or each.part for each in planned)
    assert all(each.finished and not each.seconds for each in plan(study))


def test_each_kind_of_step_is_timed_once(stub: Stub, second_a_batch: list[str]) -> None:
    plan(stub())
    assert sorted(second_a_batch) == ["Expression", "Expression Puzzle"]


def test_what_is_trained_already_counts(
    stub: Stub, second_a_batch: list[str], drawn_cache: Path
) -> None:
    study = stub()
    whole = {each.cell.key: each.seconds for each in plan(study)}
    cell = study.planned_cells()[-1]
    run = study.folder_of(cell)
    run.mkdir(parents=True)
    line = {"epoch": 1, "seconds": 3.0, "val": {"accuracy": 0.4}}
    (run / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    [begun] = [each for each in plan(study) if each.cell == cell]
    assert begun.part == 1 / cell.recipe.training.epochs
    assert begun.seconds == pytest.approx((1 - begun.part) * whole[cell.key])
    assert "50% trained" in str(begun)


def test_a_group_that_is_not_tuned_is_said_to_be_guessed(
    stub: Stub, second_a_batch: list[str]
) -> None:
    study = stub()
    lines = describe(plan(study), study.guessed, jobs=2)
    assert "tuning group supervised is not finished: its first trial stands for its best" in lines
    assert "0 finished" in lines[-1] and "--jobs 2" in lines[-1]
    study.run()
    lines = describe(plan(study), study.guessed, jobs=1)
    assert not any("not finished" in line for line in lines)
    assert "the steps of the other 0 take about 0 s" in lines[-1]


def test_best_settings_that_are_known_are_taken(stub: Stub, second_a_batch: list[str]) -> None:
    study = stub(lambda cell: 0.5 + rate(cell))
    study.run()
    started = {cell.key for cell in study.started}
    assert {cell.key for cell in study.planned_cells()} == started


def test_the_command_trains_nothing_and_times_a_real_step(
    study_file: StudyFile, drawn_cache: Path
) -> None:
    file = study_file()
    result = CliRunner().invoke(app, ["study", str(file), "--dry-run"])
    assert result.exit_code == 0, result.output
    *cells, last = result.output.splitlines()
    assert last.startswith("6 cells, 0 finished")
    assert "tuning/supervised seed 100" in cells[0] and re.search(r"about \d+ s$", cells[0])
    config = load_study(file)
    assert not config.results.exists()
    assert not Study(config).folder.exists()


@pytest.mark.parametrize("text", ["", "{}", '{"epoch": 3}', "[1]", "no json", '{"epoch": null}'])
def test_a_run_that_says_nothing_readable_is_at_its_start(text: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(text)
    assert read_progress(tmp_path, 8, "accuracy") == CellProgress(0, 8)


def test_progress_is_that_of_the_last_line(tmp_path: Path) -> None:
    lines = [{"epoch": n, "seconds": 2.0 * n, "val": {"accuracy": n / 10}} for n in (1, 2)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    progress = read_progress(tmp_path, 8, "accuracy")
    assert progress == CellProgress(2, 8, 4.0, 0.2)
    assert progress.part == 0.25
    assert progress.seconds_left == 12.0
    assert CellProgress(0, 8).seconds_left is None


def test_a_first_stage_counts_in_the_progress(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, training={"epochs": 6}, pretrain={"epochs": 2})
    cell = Cell("arm", "method", 0, recipe, {})
    assert cell_progress(tmp_path, cell) == CellProgress(0, 8)
    (tmp_path / "pretrain").mkdir()
    for place, epochs, accuracy in (
        (tmp_path / "pretrain", 2, {}),
        (tmp_path, 3, {"accuracy": 0.3}),
    ):
        line = {"epoch": epochs, "seconds": 1.0 * epochs, "val": accuracy}
        (place / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    assert cell_progress(tmp_path, cell) == CellProgress(5, 8, 5.0, 0.3)


def test_both_stages_are_timed(stub: Stub, second_a_batch: list[str]) -> None:
    pretrain = {"epochs": 2, "tasks": {"rotation": {}}}
    plain = {"method": "supervised", "tuned": ["supervised"]}
    arms = {
        "supervised": plain,
        "puzzle_own": plain | {"change": {"tasks": {"puzzle": None}, "pretrain": pretrain}},
    }
    planned = plan(stub(arms=arms, seeds=[0]))
    alone, both = (each.seconds for each in planned[-2:])
    assert both == 2 * alone
    assert "Rotation" in second_a_batch
