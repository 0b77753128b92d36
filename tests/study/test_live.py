"""The table of the cells that train."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from hybridface.study import Cell
from hybridface.study.live import LiveTable
from hybridface.study.progress import CellProgress
from study.conftest import Stub


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setenv("TERM", "xterm")  # not one that can redraw nothing
    return Console(file=io.StringIO(), force_terminal=True, width=100)


def test_a_study_shows_each_cell_as_it_trains(
    stub: Stub, terminal: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = stub()
    shown: list[tuple[list[tuple[Cell, CellProgress]], int]] = []
    study.show = lambda training, waiting: shown.append((list(training), waiting))
    study.run()
    seen = {cell.key for training, _ in shown for cell, _ in training}
    assert seen == {cell.key for cell in study.started}
    assert shown[-1][1] == 0


def test_lines_stand_above_the_table_and_stay(stub: Stub, terminal: Console) -> None:
    cell = stub().planned_cells()[-1]
    with LiveTable(terminal) as table:
        table.say("puzzle_own seed 0: [started] (0123)")
        table.show([(cell, CellProgress(2, 8, 60.0, 0.5)), (cell, CellProgress(0, 8))], 3)
    written = terminal.file.getvalue()  # type: ignore[attr-defined]
    for part in ("[started]", "2 of 8", "0 of 8", "0.5000", "0:03:00", "3 more wait", cell.arm):
        assert part in written


def test_names_of_arms_are_no_markup(stub: Stub, terminal: Console) -> None:
    cell = replace(stub().planned_cells()[-1], arm="puzzle [own][/]")
    with LiveTable(terminal) as table:
        table.show([(cell, CellProgress(2, 8))], 0)
    assert "puzzle [own][/]" in terminal.file.getvalue()  # type: ignore[attr-defined]
