from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

from hybridface.cli import app
from hybridface.errors import DataError, UsageError
from hybridface.evaluation.evaluate import evaluate
from hybridface.evaluation.numeric_predictions import NumericPredictions
from hybridface.evaluation.predictions import (
    Predictions,
    TaskPredictions,
)
from hybridface.evaluation.recalibration import tempered
from hybridface.export.calibrated import calibrate
from hybridface.export.file import export_file
from hybridface.export.network import export_onnx
from hybridface.files import write_arrays
from hybridface.inference.runtime import FaceModel
from hybridface.inference.shipped import shipped_model
from hybridface.training.train import TrainedRun
from tiny_runs import CLASSES, SIZE, tiny_model

pytestmark = pytest.mark.usefixtures("drawn_cache")
DATA = "drawn:90?pixels=32&seed=3"
PICTURES = np.random.default_rng(1).random((60, 3, SIZE, SIZE), np.float32)


@pytest.fixture(scope="module")
def model_of_three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of random weights for classes, a number and a pose."""
    path = tmp_path_factory.mktemp("three") / "model.onnx"
    model, tasks = tiny_model({"expression": {}, "age": {}, "pose": {}})
    with torch.no_grad():
        model.heads["expression"].linear.weight *= 50  # so that it is sure of something
    export_onnx(model.eval(), tasks, torch.from_numpy(PICTURES[:8]), path, trained_on="nothing")
    return path


def kept_of(model: Path) -> Predictions:
    """Return what a model says of some pictures beside labels that are drawn."""
    said = FaceModel.load(model)(PICTURES)
    random = np.random.default_rng(2)
    count = len(PICTURES)
    keys = np.array([f"{number}.png" for number in range(count)])
    true = tempered(said["expression"], 1.5).cumsum(axis=1)
    targets = (true > random.random((count, 1))).argmax(axis=1)
    classes = TaskPredictions("expression", CLASSES, keys, targets, said["expression"])
    years = said["age"][:, :1] + random.normal(0, 20, (count, 1)).astype(np.float32)
    years[::7] = np.nan
    age = NumericPredictions("age", "regression", ("age",), "years", keys, years, said["age"])
    angles = random.normal(0, 9, (count, 3)).astype(np.float32)
    pose = NumericPredictions(
        "pose", "pose", ("yaw", "pitch", "roll"), "degrees", keys, angles, said["pose"]
    )
    return Predictions(
        "kept.npz", str(model), "drawn:60", "val", "", {"expression": classes},
        numbers={"age": age, "pose": pose},
    )  # fmt: skip


def test_the_command_line_calibrates_what_was_evaluated(tmp_path: Path) -> None:
    model, kept, out = (tmp_path / name for name in ("model.onnx", "val.npz", "out.onnx"))
    proto = onnx.load(shipped_model())
    about = json.loads({each.key: each.value for each in proto.metadata_props}["hybridface"])
    del about["calibration"]  # it was calibrated on real faces, and is too sure of drawn ones
    onnx.helper.set_model_props(proto, {"hybridface": json.dumps(about)})
    onnx.save(proto, model)
    result = evaluate(model, DATA, "all", out=kept)
    ran = CliRunner().invoke(app, ["calibrate", str(model), str(out), "--on", str(kept)])
    assert ran.exit_code == 0, ran.output
    assert "expression: temperature" in ran.output
    exact, made = FaceModel.load(model), FaceModel.load(out)
    said = made.metadata.pop("calibration")["expression"]
    assert said["pictures"] == 90
    assert made.metadata == exact.metadata
    pictures = np.random.default_rng(5).random((4, 3, exact.size, exact.size), np.float32)
    wanted = tempered(exact(pictures)["expression"], said["temperature"])
    np.testing.assert_allclose(made(pictures)["expression"], wanted, atol=1e-5)
    after = evaluate(out, DATA, "all")
    for figures in ("accuracy", "mean_class_accuracy"):
        assert after["tasks"]["expression"][figures] == result["tasks"]["expression"][figures]
    nll = after["tasks"]["expression"]["nll"]["value"]
    assert nll < result["tasks"]["expression"]["nll"]["value"]
    assert f"to {nll:.4f}, calibration error" in ran.output


def test_a_run_is_calibrated_on_its_validation(
    tiny_run: TrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.onnx"
    with pytest.raises(DataError, match=r"task expression: \d+ pictures .* too few"):
        calibrate(tiny_run.folder, out)
    assert not out.exists()
    monkeypatch.setattr("hybridface.evaluation.recalibration.LEAST_PICTURES", 5)
    run = tmp_path / "run"
    shutil.copytree(tiny_run.folder, run)
    with np.load(run / "predictions.npz") as content:
        arrays = dict(content)
    labels = arrays["val_labels"]
    said = (labels + (np.arange(len(labels)) % 3 == 0)) % 7  # wrong of every third
    arrays["val_probabilities"] = np.eye(7, dtype=np.float32)[said] * 0.93 + 0.01
    write_arrays(run / "predictions.npz", arrays)
    found = calibrate(run, out)[0]["expression"]
    assert found.count == len(labels) == tiny_run.result["val"]["count"]
    right = np.mean(said == labels)
    assert found.trust == pytest.approx((0.94 - right, 0), abs=1e-5)
    assert tempered(arrays["val_probabilities"], found.factor).max() == pytest.approx(right)


def test_deviations_are_scaled_and_all_else_stays(model_of_three: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    kept = kept_of(model_of_three)
    found, left = calibrate(model_of_three, out, [kept])
    assert left == []
    assert set(found) == {"expression", "age"}
    assert found["age"].count == np.isfinite(kept.numbers["age"].targets).sum() < 60
    before, after = (FaceModel.load(path)(PICTURES) for path in (model_of_three, out))
    np.testing.assert_array_equal(after["pose"], before["pose"])
    np.testing.assert_array_equal(after["age"][:, 0], before["age"][:, 0])
    wanted = before["age"][:, 1] * found["age"].factor
    np.testing.assert_allclose(after["age"][:, 1], wanted, rtol=1e-5)


def test_predictions_of_several_data_sets_count_together(
    model_of_three: Path, tmp_path: Path
) -> None:
    kept = kept_of(model_of_three)
    classes, numbers = replace(kept, numbers={}), replace(kept, tasks={})
    together, _ = calibrate(model_of_three, tmp_path / "both.onnx", [classes, numbers, classes])
    alone, _ = calibrate(model_of_three, tmp_path / "one.onnx", [kept])
    assert together["expression"].count == 2 * alone["expression"].count
    assert together["expression"].factor == pytest.approx(alone["expression"].factor, rel=1e-3)
    assert together["age"] == alone["age"]


@pytest.mark.parametrize("precision", ["fp16", "fp16-stored", "int8"])
def test_a_calibrated_model_is_written_in_another_precision(
    precision: str, model_of_three: Path, tmp_path: Path
) -> None:
    exact, out = tmp_path / "exact.onnx", tmp_path / "out.onnx"
    calibrate(model_of_three, exact, [kept_of(model_of_three)])
    options: Any = {"precision": precision, "data": [DATA], "count": 32, "least_agreement": 0.0}
    found = export_file(exact, out, **options)
    assert found["expression"].largest < (0.5 if precision == "int8" else 0.05)
    assert "calibration" in FaceModel.load(out).metadata


def test_a_task_with_too_few_labels_stays_as_it_is(model_of_three: Path, tmp_path: Path) -> None:
    out, kept = tmp_path / "out.onnx", kept_of(model_of_three)
    few = replace(kept, numbers={"age": kept.numbers["age"].rows(np.arange(20))})
    found, (left,) = calibrate(model_of_three, out, [few])
    assert set(found) == {"expression"}
    assert "task age: 17 pictures with a label are too few" in left
    before, after = (FaceModel.load(path)(PICTURES) for path in (model_of_three, out))
    np.testing.assert_array_equal(after["age"], before["age"])


def test_wrong_use_is_refused(model_of_three: Path, tiny_run: TrainedRun, tmp_path: Path) -> None:
    out, kept = tmp_path / "out.onnx", kept_of(model_of_three)
    of_run = tiny_run.folder / "model.onnx"
    poses = replace(kept, tasks={}, numbers={"pose": kept.numbers["pose"]})
    for place, where, on, said in (
        (model_of_three, out, [], "keeps no predictions; give what .* by --on"),
        (of_run, out, [kept], "predictions of .*, expected those of .*model.onnx"),
        (model_of_three, tmp_path, [kept], "a folder; name the file to write"),
        (model_of_three, model_of_three, [kept], "the model itself, which is not overwritten"),
        (model_of_three, out, [poses], "no predictions of a task of .* could be calibrated"),
    ):
        with pytest.raises(UsageError, match=said):
            calibrate(place, where, on)
    assert not out.exists()
    calibrate(model_of_three, out, [kept])
    with pytest.raises(UsageError, match="is calibrated already"):
        calibrate(out, tmp_path / "again.onnx", [kept])
    ran = CliRunner().invoke(app, ["calibrate", str(of_run), str(tmp_path / "o.onnx")])
    assert isinstance(ran.exception, UsageError)
