"""The models of a study on a data set that they were not trained on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hybridface import evaluate
from hybridface.errors import UsageError
from hybridface.study import Study
from hybridface.study.config import StudyConfig
from study.conftest import StubbedStudy
from study.helpers import study_content
from tiny_runs import CONTENT

Stub = Callable[..., StubbedStudy]


@pytest.fixture
def table(tmp_path: Path, write_picture: Callable[..., Path]) -> Path:
    """Thirty pictures of ten persons, of two classes that the models have and one they lack."""
    lines = ["image,expression,person"]
    for number in range(30):
        write_picture(tmp_path / "other" / f"{number}.png", 700 + number)
        name = ("Happiness", "sadness", "boredom")[number % 3]
        lines.append(f"{number}.png,{name},p{number // 3}")
    (tmp_path / "other" / "table.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "other" / "table.csv"


def test_finished_models_are_measured_elsewhere(
    table: Path, tmp_path: Path, hybridface_cache: Path
) -> None:
    results = tmp_path / "tiny.json"
    other = {"other": f"csv:{table}", "gone": f"csv:{tmp_path / 'nowhere.csv'}"}
    content = study_content(results, seeds=[0], also_on=other)
    del content["tuning"]
    content["arms"] = {
        "supervised": {"method": "supervised"},
        "puzzle_own": {"method": "puzzle", "change": {"tasks": {"puzzle": {"grid": 2}}}},
    }
    said: list[str] = []
    study = Study(StudyConfig.model_validate(content), ["training.epochs=1"], 1, say=said.append)
    study.run()
    assert len([line for line in said if "on gone: not measured: csv:" in line]) == 2
    rows = json.loads((tmp_path / "tiny-other.json").read_text())
    assert [(row["arm"], row["data"]) for row in rows] == [
        (arm, data)
        for arm in ("supervised", "puzzle_own")
        for data in ("other", "other, its own classes")
    ]
    own = json.loads(results.read_text())
    details = json.loads((tmp_path / "tiny-other.details.json").read_text())["details"]
    for number, row in enumerate(rows):
        assert row["val_accuracy"] == own[number // 2]["val_accuracy"]
        detail = details[row["cell"]]
        assert detail["test_count"] == len(detail["test_groups"]) == 20
        assert len(set(detail["test_groups"])) == 10
        packed = np.frombuffer(bytes.fromhex(detail["test_correct"]), dtype=np.uint8)
        assert np.unpackbits(packed, count=20).mean() == pytest.approx(row["test_accuracy"])
    for every, shared in (rows[:2], rows[2:]):
        assert shared["test_accuracy"] >= every["test_accuracy"]
        run = study.folder / every["cell"].removesuffix("-all")
        found = evaluate(run, other["other"])["tasks"]["expression"]
        assert found["accuracy"]["value"] == pytest.approx(every["test_accuracy"])
        mean = found["mean_class_accuracy"]["value"]
        assert mean == pytest.approx(every["mean_class_accuracy"])
    assert max(row["test_accuracy"] for row in rows[1::2]) >= 0.5  # of two classes
    text = (tmp_path / "tiny-other.md").read_text()
    assert "A tiny study: on other" in text
    assert "which have seen nothing of other" in text
    again = Study(StudyConfig.model_validate(content), ["training.epochs=1"], 1, say=said.append)
    before = (tmp_path / "tiny-other.json").read_bytes()
    again.run()
    assert (tmp_path / "tiny-other.json").read_bytes() == before


def test_finished_cells_that_are_left_are_measured(table: Path, tmp_path: Path, stub: Stub) -> None:
    twin = {"twin": {"method": "twin", "tuned": ["supervised"]}}
    before = stub(seeds=[0], arms=twin)
    rows = before.run()
    study = stub(seeds=[0], arms=twin, also_on={"other": f"csv:{table}"})
    assert study.write() == 3
    found = json.loads((tmp_path / "results" / "tiny-other.json").read_text())
    assert [(row["arm"], row["method"]) for row in found[::2]] == [
        ("supervised", "supervised"),
        ("puzzle_own", "puzzle"),
        ("twin", "twin"),
    ]
    assert found[0]["cell"] == found[4]["cell"] == f"{rows[0]['cell']}-all"
    assert study.said == []


def test_rows_of_another_data_set_of_the_same_name_are_refused(
    table: Path, tmp_path: Path, stub: Stub
) -> None:
    """They would stand on one page with those of new cells, as if of the same pictures."""
    stub(seeds=[0], also_on={"other": f"csv:{table}"}).run()
    file = tmp_path / "results" / "tiny-other.json"
    before = file.read_text()
    said = r"tiny-other\.json: holds rows .* on csv:table\.csv, .* is drawn:30\?seed=9; give it"
    with pytest.raises(UsageError, match=said):
        stub(seeds=[0, 1], also_on={"other": "drawn:30?seed=9"})
    assert file.read_text() == before
    details = json.loads(file.with_suffix(".details.json").read_text())
    for detail in details["details"].values():
        del detail["measured_on"]  # as versions before wrote them
    file.with_suffix(".details.json").write_text(json.dumps(details))
    stub(seeds=[0], also_on={"other": "drawn:30?seed=9"})


def test_a_data_set_with_every_class_is_one_setting(tmp_path: Path, stub: Stub) -> None:
    rows = stub(seeds=[0], also_on={"every": "drawn:30?pixels=32&seed=9"}).run()
    found = json.loads((tmp_path / "results" / "tiny-every.json").read_text())
    assert [row["data"] for row in found] == ["every"] * len(rows)


def test_cells_without_a_run_folder_are_counted_once(
    table: Path, tmp_path: Path, stub: Stub
) -> None:
    rows = stub(seeds=[0]).run()
    gone = {"other": f"csv:{table}", "gone": f"csv:{tmp_path / 'nowhere.csv'}"}
    study = stub(seeds=[0], also_on=gone)
    shutil.rmtree(study.folder / rows[0]["cell"])
    study.run()
    (failed, missing) = study.said
    assert failed.startswith("1 finished cells on gone: not measured: csv:")
    assert missing.startswith("1 finished cells have no run folder here")
    found = json.loads((tmp_path / "results" / "tiny-other.json").read_text())
    assert [row["arm"] for row in found] == ["puzzle_own"] * 2


def test_a_cell_that_ends_without_a_model_says_so(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybridface.study.runner.why_not_exported", lambda _: "no such operator")
    study = stub(seeds=[0])
    assert len(study.run()) == 2
    assert "supervised seed 0: no such operator; its figures count" in study.said


def test_cells_whose_export_failed_say_why(table: Path, tmp_path: Path, stub: Stub) -> None:
    rows = stub(seeds=[0]).run()
    study = stub(seeds=[0], also_on={"other": f"csv:{table}"})
    run = study.folder / rows[0]["cell"]
    (run / "model.onnx").unlink()
    result = json.loads((run / "result.json").read_text()) | {"not_exported": "no such operator"}
    (run / "result.json").write_text(json.dumps(result))
    study.run()
    (failed,) = study.said
    assert failed.startswith("1 finished cells on other: not measured: ")
    assert "no such operator" in failed


def test_what_another_machine_measured_is_taken_over(
    table: Path, tmp_path: Path, stub: Stub
) -> None:
    other = {"other": f"csv:{table}"}
    stub(seeds=[0], also_on=other).run()
    (tmp_path / "results").rename(tmp_path / "there")
    study = stub(seeds=[0], also_on=other)
    shutil.rmtree(study.folder)
    taken = study.take(tmp_path / "there" / "tiny.json")
    assert (taken.new, taken.left_out) == (4, 0)
    study.write()
    for name in ("tiny-other.json", "tiny-other.details.json"):
        there, here = (tmp_path / at / name for at in ("there", "results"))
        assert json.loads(here.read_text()) == json.loads(there.read_text())
    assert [line.partition(": ")[2] for line in study.said] == [
        "4 new rows, 0 left out as no cells of this study"
    ]


def test_rows_of_other_settings_are_refused_before_an_arm_trains(
    tmp_path: Path, stub: Stub
) -> None:
    there = tmp_path / "results" / "tiny-other.json"
    there.parent.mkdir()
    there.write_text('[{"cell": "0123456789abcdef-all"}]\n')
    study = stub(seeds=[0], also_on={"other": f"csv:{tmp_path / 'nowhere.csv'}"})
    for act in (study.run, study.write):
        with pytest.raises(UsageError, match=r"tiny-other\.json holds rows of other settings"):
            act()
    assert all(cell.is_trial for cell in study.started)
    assert there.read_text() == '[{"cell": "0123456789abcdef-all"}]\n'


@pytest.mark.parametrize("unlabelled", [False, True])
def test_what_the_models_were_trained_on_is_no_other_data_set(
    unlabelled: bool, tmp_path: Path, stub: Stub
) -> None:
    spec = "drawn:30?seed=9" if unlabelled else CONTENT["data"]["source"]
    more = {"recipe": {"data": {"unlabelled": [spec, "rest"]}}} if unlabelled else {}
    study = stub(seeds=[0], also_on={"same": spec}, **more)
    study.run()
    said = [line for line in study.said if "on same: not measured" in line]
    assert len(said) == 2
    assert all(line.endswith("is what the model was trained on") for line in said)
    assert not (tmp_path / "results" / "tiny-same.json").exists()
