"""Which model kept predictions are of: that of the same content, wherever its file lies."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from hybridface.errors import UsageError
from hybridface.evaluation.evaluate import evaluate
from hybridface.evaluation.predictions import (
    Predictions,
    TaskPredictions,
    load_predictions,
    save_predictions,
)
from hybridface.evaluation.recalibration import tempered
from hybridface.evaluation.run_predictions import RunAbout
from hybridface.export.calibrated import calibrate
from hybridface.files import digest_of, write_arrays
from hybridface.inference.runtime import FaceModel
from tiny_models import EXPRESSIONS, SIZE, weights_of, write_model

PICTURES = np.random.default_rng(1).random((60, 3, SIZE, SIZE), np.float32) ** 4


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.onnx", {"expression": EXPRESSIONS})


@pytest.fixture
def other(tmp_path: Path) -> Path:
    weights = {"expression": weights_of(len(EXPRESSIONS), 9)}
    return write_model(tmp_path / "other.onnx", {"expression": EXPRESSIONS}, weights)


@pytest.fixture
def kept(model: Path, tmp_path: Path) -> Path:
    """Predictions of the model beside labels that are drawn, as evaluate keeps them."""
    opened = FaceModel.load(model)
    said = opened(PICTURES)["expression"]
    true = tempered(said, 1.5).cumsum(axis=1)
    targets = (true > np.random.default_rng(2).random((60, 1))).argmax(axis=1)
    keys = np.array([f"{number}.png" for number in range(60)])
    task = TaskPredictions("expression", EXPRESSIONS, keys, targets, said)
    file = tmp_path / "kept.npz"
    tasks = {"expression": task}
    save_predictions(
        file, Predictions("", str(model), "made:up", "val", "", tasks, digest=opened.digest)
    )
    return file


def without_digest(kept: Path) -> None:
    """Leave what versions before wrote."""
    with np.load(kept) as content:
        arrays = dict(content)
    about = json.loads(str(arrays["about"]))
    assert about.pop("digest")
    write_arrays(kept, arrays | {"about": np.array(json.dumps(about))})


def test_a_model_may_move_and_be_touched(model: Path, kept: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    assert load_predictions(kept).digest == digest_of(model)
    found = calibrate(model, out, [load_predictions(kept)])[0]
    os.utime(model, (time.time() + 60, time.time() + 60))
    moved = model.rename(tmp_path / "moved.onnx")
    assert calibrate(moved, out, [load_predictions(kept)])[0] == found


def test_another_model_in_its_place_is_refused(
    model: Path, other: Path, kept: Path, tmp_path: Path
) -> None:
    shutil.copy(other, model)
    os.utime(model, (1, 1))  # older than the predictions, which says nothing
    with pytest.raises(UsageError, match=r"kept\.npz: predictions of what .*model\.onnx was when"):
        calibrate(model, tmp_path / "out.onnx", [load_predictions(kept)])


def test_predictions_without_a_digest_go_by_file_and_time(
    model: Path, kept: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.onnx"
    without_digest(kept)
    assert calibrate(model, out, [load_predictions(kept)])[0]["expression"].count == 60
    os.utime(model, (time.time() + 60, time.time() + 60))
    with pytest.raises(UsageError, match=r"kept\.npz: is older than .*model\.onnx, so"):
        calibrate(model, out, [load_predictions(kept)])


def test_a_run_whose_model_is_another_by_now_is_not_calibrated(
    model: Path, other: Path, kept: Path, tmp_path: Path
) -> None:
    run, out = tmp_path / "run", tmp_path / "out.onnx"
    run.mkdir()
    task = load_predictions(kept).tasks["expression"]
    about = RunAbout(
        task="expression", label="expression", classes=EXPRESSIONS, data="made:up"
    ).model_dump_json()
    arrays = {"keys": task.keys, "labels": task.targets, "probabilities": task.probabilities}
    write_arrays(
        run / "predictions.npz",
        {"about": np.array(about)} | {f"val_{name}": each for name, each in arrays.items()},
    )
    shutil.copy(model, run / "model.onnx")
    result = run / "result.json"
    result.write_text(json.dumps({"model_digest": digest_of(model)}))
    found = calibrate(run, out)[0]
    shutil.copy(other, run / "model.onnx")
    with pytest.raises(UsageError, match=r"run: predictions of what .*model\.onnx was when"):
        calibrate(run, out)
    result.write_text("{}")  # of a version before, which goes by the place
    shutil.copy(model, run / "model.onnx")
    assert calibrate(run, out)[0] == found


def test_a_loaded_model_whose_file_is_another_keeps_no_predictions(
    model: Path, other: Path, tmp_path: Path
) -> None:
    loaded = FaceModel.load(model)
    shutil.copy(other, model)
    assert loaded.digest == ""
    with pytest.raises(UsageError, match=r"model\.onnx: is gone, or another .*; load it again"):
        evaluate(loaded, "drawn:9", out=tmp_path / "new.npz")
