"""Studies whose first task is of a user's own, and brings the figure that selects."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from hybridface.errors import UsageError
from hybridface.report import study as report
from hybridface.report.study import write_study_page
from hybridface.study import Cell
from hybridface.study.progress import cell_progress
from study.conftest import StubbedStudy
from study.helpers import rate

Stub = Callable[..., StubbedStudy]
OWN: dict[str, Any] = {"recipe": {"tasks": {"expression": {"type": "study.own_figure:ByMisses"}}}}


def own_study(stub: Stub, **changes: Any) -> StubbedStudy:
    """Return a study whose runs say their misses, the fewest at the lowest learning rate."""
    study = stub(**OWN, **changes)
    start = study._start
    best = json.loads((study.run_folder / "result.json").read_text())["best_epoch"]

    def start_own(cell: Cell) -> Any:
        started = start(cell)
        file = study.folder_of(cell) / "metrics.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for line in lines:
            line["val"] = {"misses": rate(cell) * (1 + (line["epoch"] != best))}
        file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        return started

    study._start = start_own  # type: ignore[method-assign]
    return study


def test_trials_are_chosen_by_it_as_epochs_are(stub: Stub) -> None:
    study = own_study(stub)
    rows = study.run()
    assert {rate(cell) for cell in study.started[2:]} == {0.001}
    assert all((row["select"], row["val_misses"]) == ("misses", 0.001) for row in rows)
    assert all("val_accuracy" in row for row in rows)
    details = json.loads(study.store.details_file.read_text())
    assert [trial["val_misses"] for trial in details["tuning"]] == [0.001, 0.003]
    assert {line[2] for line in details["details"][rows[0]["cell"]]["curve"]} == {None}
    assert any(": validation misses 0.0010 after" in line for line in study.said)
    (cell, *_) = study.started
    assert cell_progress(study.folder_of(cell), cell).figure is not None


def test_the_page_shows_what_trials_are_chosen_by(stub: Stub) -> None:
    with pytest.MonkeyPatch.context() as patch:
        study = own_study(stub)
        patch.setattr(report, "write_study_page", write_study_page)
        study.run()
    page = study.config.results.with_suffix(".md").read_text()
    assert "Validation, misses" in page and "0.0030" in page


def test_arms_that_are_chosen_by_other_figures_are_refused(stub: Stub) -> None:
    change = {"tasks": {"expression": {"type": None}}}
    study = own_study(stub, arms={"other": {"method": "other", "change": change}})
    with pytest.raises(UsageError, match=r"by val_accuracy of .*supervised by val_misses"):
        study.run()
