from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest import MonkeyPatch
from typer.testing import CliRunner

from disks import Mount, fill, small_disk
from hybridface.cli import app
from hybridface.errors import HybridFaceError, StoppedError, UsageError
from hybridface.files import write_atomically
from hybridface.report import study as report
from hybridface.report.study import write_study_page
from hybridface.study import Cell, Study, load_study
from hybridface.study.results import ResultStore
from study.conftest import StubbedStudy
from study.helpers import rate
from tiny_runs import content_of

Stub = Callable[..., StubbedStudy]
KEYS = {
    "data", "fraction", "labels", "method", "view", "grid", "ssl_weight", "init", "augment",
    "backbone", "size", "batch", "epochs", "steps", "seed", "seconds", "val_accuracy",
    "test_accuracy", "test_accuracy_last", "mean_class_accuracy", "revision", "machine",
}  # fmt: skip


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


@pytest.mark.parametrize(("best", "sign"), [(0.003, 1), (0.001, -1)])
def test_tuned_settings_reach_the_arms(best: float, sign: int, stub: Stub) -> None:
    study = stub(lambda cell: 0.5 + sign * rate(cell))
    study.run()
    for cell in study.started[2:]:
        assert rate(cell) == best
        assert cell.recipe.training.weight_decay == 0.2
    extra = json.loads(study.config.results.with_suffix(".details.json").read_text())
    chosen = [trial["settings"] for trial in extra["tuning"] if trial["chosen"]]
    assert chosen == [{"training": {"learning_rate": best}}]
    assert len(extra["tuning"]) == 2


def test_later_groups_start_from_the_best_of_earlier_ones(stub: Stub) -> None:
    grids = [{"tasks": {"puzzle": {"grid": grid}}} for grid in (2, 4)]
    arm = {"method": "puzzle", "tuned": ["supervised", "puzzle"]}
    study = stub(
        tuning={"puzzle": {"after": ["supervised"], "trials": grids}}, arms={"puzzle_own": arm}
    )
    study.run()
    trials = [cell for cell in study.started if cell.arm == "tuning/puzzle"]
    assert [cell.recipe.tasks["puzzle"]["grid"] for cell in trials] == [2, 4]
    assert all(rate(cell) == 0.003 for cell in trials)


def test_a_group_waits_for_those_before_it_alone(stub: Stub, monkeypatch: MonkeyPatch) -> None:
    slow = {"trials": [{"training": {"clip": 1.0}}]}
    grids = {"after": ["supervised"], "trials": [{"tasks": {"puzzle": {"grid": 2}}}]}
    study = stub(tuning={"slow": slow, "puzzle": grids}, jobs=2)
    start = study._start

    class Slow:
        returncode = 0
        looks = 0

        def poll(self) -> int | None:
            self.looks += 1
            waited_for = any(cell.arm == "tuning/puzzle" for cell in study.started)
            return 0 if waited_for or self.looks > 50 else None

    def start_slow(cell: Cell) -> Any:
        started = start(cell)
        return Slow() if cell.arm == "tuning/slow" else started

    monkeypatch.setattr(study, "_start", start_slow)
    study.run()
    said = [line for line in study.said if line.startswith("tuning")]
    assert next(i for i, line in enumerate(said) if line.startswith("tuning/puzzle")) < next(
        i for i, line in enumerate(said) if line.startswith("tuning/slow") and "after" in line
    )


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


def test_a_page_that_fails_ends_no_training(stub: Stub, monkeypatch: MonkeyPatch) -> None:
    study, write = stub(), ResultStore.write

    def fails(*arguments: Any) -> None:
        if len(study.started) < 6:
            raise KeyError("arm")
        write(*arguments)

    monkeypatch.setattr(ResultStore, "write", fails)
    rows = study.run()
    assert len(study.started) == 6
    assert len(rows) == len(json.loads(study.config.results.read_text())) == 4
    assert any("not written yet" in line and "KeyError('arm')" in line for line in study.said)


def test_a_page_that_fails_at_the_end_is_an_error(stub: Stub, monkeypatch: MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise KeyError("arm")

    study = stub(tuning={"supervised": {"trials": [{"training": {"learning_rate": 0.001}}]}})
    monkeypatch.setattr(ResultStore, "write", fails)
    with pytest.raises(KeyError, match="arm"):
        study.run()


def test_a_trial_is_kept_as_soon_as_it_ends(stub: Stub) -> None:
    def fails(cell: Cell) -> float | None:
        return None if cell.settings == {"training": {"learning_rate": 0.003}} else rate(cell)

    study = stub(fails)
    with pytest.raises(HybridFaceError, match="1 cells failed: tuning/supervised seed 100"):
        study.run()
    kept = json.loads(study.config.results.with_suffix(".details.json").read_text())
    assert [trial["val_accuracy"] for trial in kept["trials"]] == [
        kept["tuning"][0]["val_accuracy"]
    ]
    assert kept["tuning"][0]["settings"] == {"training": {"learning_rate": 0.001}}
    assert kept["tuning"][0]["chosen"] is False


def test_a_failing_cell_is_reported_and_the_rest_go_on(stub: Stub) -> None:
    def fails(cell: Cell) -> float | None:
        return None if (cell.arm, cell.seed) == ("supervised", 0) else rate(cell)

    study = stub(fails)
    with pytest.raises(
        HybridFaceError, match=r"1 cells failed: supervised seed 0: .*no such thing"
    ):
        study.run()
    assert any(
        "supervised seed 0: failed: hybridface: no such thing" in line for line in study.said
    )
    assert len(study.started) == 6
    assert len(json.loads(study.config.results.read_text())) == 3
    mended = stub()
    assert len(mended.run()) == 4
    assert [(cell.arm, cell.seed) for cell in mended.started] == [("supervised", 0)]


def test_a_group_whose_trial_fails_keeps_no_others_from_training(stub: Stub) -> None:
    more = {
        "tuning": {
            "more": {"trials": [{"training": {"clip": 1.0}}]},
            "most": {"after": ["more"], "trials": [{"training": {"clip": 2.0}}]},
        },
        "arms": {"clipped": {"method": "supervised", "tuned": ["more", "most"]}},
    }
    whole = stub(**more)
    rows = whole.run()
    text = whole.config.results.read_text()
    shutil.rmtree(whole.folder)
    extra = json.loads(whole.store.details_file.read_text())
    whole.store.details_file.write_text(json.dumps(extra | {"trials": []}))  # to be tried again
    broken = stub(lambda cell: None if cell.arm == "tuning/more" else rate(cell), seeds=[0, 1, 2],
                  **more)  # fmt: skip
    with pytest.raises(HybridFaceError, match="1 cells failed: tuning/more seed 100"):
        broken.run()
    assert {cell.arm for cell in broken.started if not cell.is_trial} == {
        "supervised",
        "puzzle_own",
    }
    for name in ("more", "most"):
        assert f"tuning group {name} chose nothing, so its arms are not trained" in broken.said
    assert whole.config.results.read_text() == text  # the rows of its arms are not lost
    mended = stub(seeds=[0, 1, 2], **more)
    found = mended.run()
    assert [row for row in found if row["seed"] < 2] == rows


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
    stub().run()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "write_study_page", write_study_page)
        study = stub()
        study.run()
    for suffix in (".md", ".html"):
        page = study.config.results.with_suffix(suffix).read_text()
        assert "A tiny study" in page
        assert "puzzle_own" in page


def test_damaged_results_are_refused(stub: Stub, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "tiny.json").write_text("[{")
    with pytest.raises(HybridFaceError, match=r"tiny\.json: damaged .*; restore or remove"):
        stub()


def test_killed_between_two_files_no_row_lacks_its_details(stub: Stub) -> None:
    study, writes = stub(seeds=[0]), []

    def dies_between(path: Path, content: str) -> None:
        writes.append(path)
        if len(writes) == 8:  # two of each trial and of the tuning group, then those of an arm
            raise KeyboardInterrupt
        write_atomically(path, content)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("hybridface.study.results.write_atomically", dies_between)
        study.run()
    again = stub(seeds=[0])
    rows = again.run()
    assert len(again.started) == 1
    details = json.loads(again.store.details_file.read_text())["details"]
    assert {row["cell"] for row in rows} <= set(details)


def test_sigterm_stops_what_was_started(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that outlived its study would hold its folder against the next start."""
    study = stub(jobs=2)
    started: list[subprocess.Popen[bytes]] = []

    def start(_: Cell) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["sleep", "60"]))
        if len(started) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return started[-1]

    monkeypatch.setattr(study, "_start", start)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StoppedError, match="the same command goes on") as stopped:
        study.run()
    assert stopped.value.exit_code == 128 + signal.SIGTERM
    assert [process.wait(5) for process in started] == [-signal.SIGTERM] * 2
    assert signal.getsignal(signal.SIGTERM) is before


def test_rows_may_go_elsewhere(
    study_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other settings are refused where rows lie, so another size needs a file of its own."""
    asked: list[Path] = []
    monkeypatch.setattr(Study, "run", lambda self: asked.append(self.config.results))
    for options in ([], ["--results", str(tmp_path / "other.json")]):
        assert CliRunner().invoke(app, ["study", str(study_file()), *options]).exit_code == 0
    assert asked == [tmp_path / "results" / "tiny.json", tmp_path / "other.json"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.md", None, r"rows\.md: the rows of a study go into a file NAME\.json"),
        ("folder.json", "folder", r"folder\.json: cannot be read \(Is a directory\)"),
        ("result.json", '{"classes": ["a"]}', r"result\.json: .* holds no rows of a study"),
        ("rows.json", '[{"seed": 0}]', r"rows\.json: .* holds no rows of a study"),
    ],
)
def test_rows_that_are_none_are_refused(
    name: str, content: str | None, said: str, tmp_path: Path
) -> None:
    place = tmp_path / name
    if content == "folder":
        place.mkdir()
    elif content is not None:
        place.write_text(content)
    with pytest.raises(HybridFaceError, match=said):
        ResultStore(place)


def test_rows_of_another_machine_are_taken_over(
    stub: Stub, study_file: Callable[..., Path], tmp_path: Path
) -> None:
    stub().run()
    there, here = tmp_path / "there.json", tmp_path / "results" / "tiny.json"
    expected = json.loads(here.read_text())
    for suffix in (".json", ".details.json"):
        here.with_suffix(suffix).rename(there.with_suffix(suffix))
    stub()  # its run folders are gone, as on another machine
    file = str(study_file())
    taken = CliRunner().invoke(app, ["study", file, "--take", str(there), "--page"])
    assert taken.exit_code == 0
    assert "there.json: 6 new rows, 0 left out" in taken.output
    assert json.loads(here.read_text()) == expected
    assert json.loads(there.with_suffix(".details.json").read_text()) == json.loads(
        here.with_suffix(".details.json").read_text()
    )
    again = CliRunner().invoke(app, ["study", file, "--take", str(there), "--page"])
    assert "there.json: 0 new rows" in again.output


def test_a_page_of_trials_alone_has_no_rows(stub: Stub, tmp_path: Path) -> None:
    stub(lambda cell: rate(cell) if cell.arm == "tuning/supervised" else None, seeds=[0])
    study = stub()
    assert study.write() == 0
    assert json.loads((tmp_path / "results" / "tiny.json").read_text()) == []


def test_rows_that_a_page_cannot_be_of_are_said_to_be_left(stub: Stub, tmp_path: Path) -> None:
    stub().run()
    before = (tmp_path / "results" / "tiny.json").read_text()
    changed = stub(recipe={"training": {"epochs": 3}})
    assert changed.write() == 0
    assert (tmp_path / "results" / "tiny.json").read_text() == before
    assert [
        "tiny.json is left as it was: its rows are of arms" in line for line in changed.said
    ] == [True]


def test_arms_whose_tuning_is_known_do_not_wait_for_that_of_others(
    stub: Stub, tmp_path: Path
) -> None:
    stub().run()
    there = (tmp_path / "results").rename(tmp_path / "there")
    rows = json.loads((there / "tiny.json").read_text())
    more = {
        "tuning": {"more": {"trials": [{"training": {"clip": 1.0}}]}},
        "arms": {"clipped": {"method": "supervised", "tuned": ["more"]}},
    }
    study = stub(**more)
    assert study.take(there / "tiny.json").new == 6
    assert study.write() == 4
    assert json.loads((tmp_path / "results" / "tiny.json").read_text()) == rows
    later = stub(**more)
    assert len(later.run()) == 6
    assert [cell.arm for cell in later.started] == ["tuning/more", "clipped", "clipped"]


def test_rows_of_another_study_are_not_taken(
    stub: Stub, study_file: Callable[..., Path], tmp_path: Path
) -> None:
    stub().run()
    rows, there = tmp_path / "results" / "tiny.json", tmp_path / "there.json"
    for suffix in (".json", ".details.json"):
        rows.with_suffix(suffix).rename(there.with_suffix(suffix))
    file = str(study_file())
    for name, said in (("there.json", "none of its rows is a cell"), ("none.json", "no such file")):
        options = ["--take", str(tmp_path / name), "--page", "training.epochs=3"]
        refused = CliRunner().invoke(app, ["study", file, *options])
        assert isinstance(refused.exception, UsageError)
        assert said in str(refused.exception)
        assert not rows.exists()


def test_rows_left_out_are_counted(stub: Stub, tmp_path: Path) -> None:
    more = stub(seeds=[0, 1, 2])
    more.run()
    there = (tmp_path / "results").rename(tmp_path / "there")
    study = stub()
    taken = study.take(there / "tiny.json")
    assert (taken.new, taken.left_out) == (6, 2)
    (there / "tiny.details.json").unlink()
    with pytest.raises(UsageError, match=r"tiny\.details\.json: no such file"):
        stub().take(there / "tiny.json")


@pytest.mark.slow
def test_a_whole_study(study_file: Callable[..., Path]) -> None:
    bad = {"method": "bad", "change": {"backbone": {"name": "none_such"}}}
    config = load_study(study_file(seeds=[0], arms={"bad": bad}))
    with pytest.raises(HybridFaceError, match=r"1 cells failed: bad seed 0: .*none_such"):
        Study(config, jobs=2).run()
    rows = json.loads(config.results.read_text())
    assert [(row["arm"], row["seed"]) for row in rows] == [("supervised", 0), ("puzzle_own", 0)]
    assert all(set(row) >= KEYS for row in rows)
    assert all(row["val_accuracy"] is not None for row in rows)
    assert rows[0]["steps"] == rows[1]["steps"] == 8
    assert rows[0]["cell"] != rows[1]["cell"]
    assert Study(load_study(study_file(seeds=[0]))).run() == rows


def test_two_studies_do_not_write_the_same_rows(stub: Stub) -> None:
    """Each would write the rows that it knows, and so lose those of the other."""
    refused: list[str] = []

    def start_another(cell: Cell) -> float:
        late = Study(study.config, say=lambda _: None)
        for act in (late.run, late.write):
            with pytest.raises(HybridFaceError, match="another study is writing these rows") as one:
                act()
            refused.append(str(one.value))
        return rate(cell)

    study = stub(start_another, seeds=[0])
    assert len(study.run()) == 2
    assert len(refused) == 8
    assert refused[0].startswith(str(study.config.results))


def test_rows_that_came_since_a_study_was_opened_are_kept(stub: Stub) -> None:
    early = stub(lambda _: None)  # as of another machine, where what it trains fails
    rows = stub(seeds=[0]).run()
    shutil.rmtree(early.folder)
    text = early.config.results.read_text()
    with pytest.raises(HybridFaceError, match="2 cells failed"):
        early.run()
    assert [row["cell"] for row in early.rows()] == [row["cell"] for row in rows]
    assert early.config.results.read_text() == text


def test_results_on_a_full_disk_stay_as_they_were(mount: Mount, stub: Stub) -> None:
    disk = small_disk(mount, "4m", "results")
    stub().run()
    ballast = fill(disk)
    before = content_of(disk)
    with pytest.raises(HybridFaceError, match=r"tiny\S*\.json: cannot be written \(No space left"):
        stub(seeds=[0, 1, 2]).run()
    assert content_of(disk) == before
    ballast.unlink()
    assert len(stub(seeds=[0, 1, 2]).run()) == 6
