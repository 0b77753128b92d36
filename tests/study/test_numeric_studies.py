"""Studies whose first task learns numbers: errors in place of accuracies, less is better."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from hybridface.errors import UsageError
from hybridface.report import study as report
from hybridface.report.study import write_study_page
from hybridface.study import rows
from hybridface.study.live import LiveTable
from hybridface.study.progress import CellProgress
from study.conftest import StubbedStudy
from study.helpers import rate

Stub = Callable[..., StubbedStudy]
POSE: dict[str, Any] = {"recipe": {"tasks": {"expression": None, "pose": {}}}}
BY_GEODESIC: dict[str, Any] = {
    "recipe": {"tasks": {"expression": None, "pose": {}}, "training": {"select": "geodesic"}}
}
ERRORS = {"val_mae", "test_mae", "test_mae_last", "val_geodesic", "test_geodesic"}


def test_rows_hold_errors_in_place_of_accuracies(pose_stub: Stub) -> None:
    study = pose_stub(**POSE)
    study.run()
    rows = json.loads(study.config.results.read_text())
    assert len(rows) == 4
    result = json.loads((study.run_folder / "result.json").read_text())
    for row in rows:
        assert set(row) >= ERRORS | {"unit", "select", "best_epoch"}
        assert not any("accuracy" in key for key in row)
        assert (row["unit"], row["select"]) == ("degrees", "mae")
        assert row["test_mae"] == result["test"]["mae"]["value"]
        assert row["test_mae_last"] == result["test_last"]["mae"]["value"]
        assert row["test_geodesic"] == result["test"]["geodesic"]["value"]


def test_details_hold_what_each_picture_adds_to_the_error(pose_stub: Stub) -> None:
    study = pose_stub(**POSE)
    (row, *_) = study.run()
    detail = json.loads(study.store.details_file.read_text())["details"][row["cell"]]
    for suffix in ("", "_last"):
        errors = detail[f"test_errors{suffix}"]
        assert len(errors) == detail["test_count"]
        assert np.mean(errors) == pytest.approx(row[f"test_mae{suffix}"], abs=1e-3)
    figures = detail["figures"]
    parts = [figures[f"mae_{angle}"] for angle in ("yaw", "pitch", "roll")]
    assert np.mean(parts) == pytest.approx(row["test_mae"])
    assert figures["geodesic"] == row["test_geodesic"]
    assert [line[0] for line in detail["curve"]] == [1, 2]


def test_small_errors_keep_their_digits() -> None:
    targets = np.linspace(0, 0.01, 7, dtype=np.float32)[:, None]
    about = {"task": "depth", "label": "depth", "classes": [], "data": "csv:a", "kind": "number"}
    outputs = np.stack([targets[:, 0] + np.float32(0.000123456), np.ones(7, np.float32)], 1)
    arrays = {
        "about": np.array(json.dumps({**about, "unit": "m"})),
        "test_labels": targets,
        "test_outputs": outputs,
        "test_outputs_last": outputs,
    }
    detail = rows._number_details(arrays, Path("predictions.npz"), {})
    assert detail["test_errors"] == pytest.approx([0.000123456] * 7, rel=1e-2)


@pytest.mark.parametrize(("best", "sign"), [(0.003, -1), (0.001, 1)])
def test_the_trial_of_the_least_error_is_taken(best: float, sign: int, pose_stub: Stub) -> None:
    study = pose_stub(lambda cell: 5 + sign * rate(cell), **POSE)
    study.run()
    assert {rate(cell) for cell in study.started[2:]} == {best}
    kept = json.loads(study.store.details_file.read_text())["tuning"]
    assert [trial["settings"] for trial in kept if trial["chosen"]] == [
        {"training": {"learning_rate": best}}
    ]
    assert all("val_mae" in trial and "val_accuracy" not in trial for trial in kept)


def test_trials_are_chosen_by_what_chooses_the_best_epoch(pose_stub: Stub) -> None:
    study = pose_stub(lambda cell: 5 + rate(cell), **BY_GEODESIC)  # which falls as this one rises
    rows = study.run()
    assert {rate(cell) for cell in study.started[2:]} == {0.003}
    assert {row["select"] for row in rows} == {"geodesic"}
    kept = json.loads(study.store.details_file.read_text())["tuning"]
    assert all("val_geodesic" in trial for trial in kept)


def test_a_finished_cell_is_said_with_its_error(pose_stub: Stub) -> None:
    study = pose_stub(**POSE)
    study.run()
    assert any(": validation error 0.0030 after" in line for line in study.said)
    assert not any("accuracy" in line for line in study.said)


@pytest.mark.parametrize(
    "change",
    [
        {"tasks": {"pose": None, "expression": {}}},
        {"training": {"select": "geodesic"}},
    ],
)
def test_arms_of_different_figures_are_refused(pose_stub: Stub, change: dict[str, Any]) -> None:
    other = {"method": "other", "change": change}
    study = pose_stub(arms={"other": other}, **POSE)
    with pytest.raises(UsageError, match="arms are compared by one figure"):
        study.run()
    assert not study.started


def test_models_of_numbers_are_not_measured_elsewhere(pose_stub: Stub) -> None:
    study = pose_stub(also_on={"other": "drawn:30"}, **POSE)
    with pytest.raises(UsageError, match="also_on: only models whose first task has classes"):
        study.run()
    assert not study.started


def test_the_page_is_written_and_can_be_written_again(pose_stub: Stub) -> None:
    with pytest.MonkeyPatch.context() as patch:
        pose_stub(seeds=[0, 1, 2], **POSE).run()
        patch.setattr(report, "write_study_page", write_study_page)
        study = pose_stub(seeds=[0, 1, 2], **POSE)
        study.run()
    assert study.started == []
    page = study.config.results.with_suffix(".md").read_text()
    assert "Mean absolute error, lower is better" in page
    assert "Validation error (degrees)" in page
    assert "puzzle_own against supervised" in page
    assert "accuracy" not in page.partition("## Every cell")[0].partition("puzzle: ")[0]


def test_the_live_table_shows_the_error(pose_stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")  # not one that can redraw nothing
    console = Console(record=True, width=100, force_terminal=True)
    cell = pose_stub(**POSE).planned_cells()[-1]
    with LiveTable(console) as table:
        table.show([(cell, CellProgress(1, 2, 3.0, 7.25))], 0)
        shown = console.export_text()
    assert "Validation error" in shown
    assert "7.2500" in shown
