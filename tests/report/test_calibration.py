"""Calibration on a run's page: one definition of the error, bins that can be read, no traceback."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridface.evaluation.metrics import classification_metrics
from hybridface.evaluation.run_predictions import load_run_predictions
from hybridface.report.run import write_run_report
from hybridface.training.train import TrainedRun

from .conftest import CLASSES
from .helpers import RunBuilder, read

BROKEN = "Calibration and worst mistakes Neither can be shown: "


def test_a_finished_run_shows_the_error_of_its_result(
    tiny_run: TrainedRun, drawn_cache: Path, tmp_path: Path
) -> None:
    text = read(write_run_report(tiny_run.folder, tmp_path / "page.html")).text
    test = tiny_run.result["test"]
    mean, right = re.search(r"it is (\S+)% in the mean, and (\S+)% of the predic", text).groups()  # type: ignore[union-attr]
    assert f"The expected calibration error is {100 * test['ece']['value']:.2f}%" in text
    assert float(right) == pytest.approx(100 * test["accuracy"]["value"], abs=0.006)
    task = load_run_predictions(tiny_run.folder)["test"].tasks["expression"]
    assert float(mean) == pytest.approx(100 * task.probabilities.max(axis=1).mean(), abs=0.006)
    assert "reliability diagram and confidence histogram of run on the test set" in (
        (tmp_path / "page.html").read_text()
    )


def test_the_bins_are_laid_out(predicted_run: RunBuilder) -> None:
    folder = predicted_run()
    task = load_run_predictions(folder)["test"].tasks["expression"]
    metrics = classification_metrics(task.probabilities, task.targets, task.classes)
    text = read(write_run_report(folder)).text
    assert f"The expected calibration error is {100 * metrics['ece']['value']:.2f}%" in text
    # Confidences from 0.50 in steps of 0.02, by turns right and wrong.
    assert "46.7 to 53.3 2 1 51.00 50.00 9.45 to 90.55" in text
    assert "53.3 to 60.0 3 2 56.00 66.67 20.77 to 93.85" in text


def test_a_run_without_test_figures_shows_validation_and_says_so(
    predicted_run: RunBuilder,
) -> None:
    folder = predicted_run(split="val")
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, "test": None, "test_last": None}))
    text = read(write_run_report(folder)).text
    assert "On the validation set it is" in text
    assert "the weights were chosen by this validation split, which flatters" in text


def test_a_run_without_predictions_has_no_such_section(build_run: RunBuilder) -> None:
    text = read(write_run_report(build_run())).text
    assert "Calibration" not in text
    assert "Worst mistakes" not in text


def test_a_run_that_stopped_at_once_has_a_page(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("data: {source: drawn:40}\n")
    text = read(write_run_report(tmp_path)).text
    assert "0 validations so far." in text
    assert "has not finished" in text


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (b"", "no whole .npz file"),
        (b"PK no archive", "no whole .npz file"),
        ({"about": np.array("{}")}, "about.task"),
        ({"test_labels": np.zeros(3, int)}, "differ in length"),
        ({"test_labels": np.full(20, 9)}, "a target is not from 0 to 3"),
        ({"test_labels": np.full(20, -1)}, "no predictions of a labelled picture"),
        ({"test_probabilities": np.full((20, 4), np.nan)}, "NaN or infinite"),
        ({"test_probabilities": np.full((20, 4), 3.0)}, "no probabilities"),
        ({"test_probabilities": np.zeros((20, 4), int)}, "of kinds Uii"),
        ({"test_keys": np.zeros(20)}, "of kinds fif"),
    ],
)
def test_damaged_predictions_are_said_to_be_so(
    damage: bytes | dict[str, Any], says: str, predicted_run: RunBuilder
) -> None:
    folder = predicted_run(**({} if isinstance(damage, bytes) else damage))
    if isinstance(damage, bytes):
        (folder / "predictions.npz").write_bytes(damage)
    page = read(write_run_report(folder))
    assert BROKEN in page.text
    assert says in page.text
    assert "Which classes are mistaken for which" in page.text  # the rest of the page is there


def test_a_split_of_one_class_is_no_hindrance(predicted_run: RunBuilder) -> None:
    labels = np.zeros(20, int)
    text = read(write_run_report(predicted_run(test_labels=labels))).text
    assert "On the test set it is" in text
    assert "Of the test set, 14 of 20 pictures are taken for another class" in text


def test_classes_are_called_what_they_are_called(predicted_run: RunBuilder) -> None:
    """A class may go by the name of a key of ours."""
    folder = predicted_run()
    names = ["value", "rest", "higher", "count"]
    content = (folder / "result.json").read_text()
    for old, new in zip(CLASSES, names, strict=True):
        content = content.replace(f'"{old}"', f'"{new}"')
    (folder / "result.json").write_text(content)
    page = write_run_report(folder)
    text = read(page).text
    for name in names:
        assert f"{name} 66.00 66.00 66.00 50" in text
    assert "verdict" not in page.read_text().partition("<body>")[2]
