"""A model file whose probabilities and deviations are recalibrated inside its graph."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper

from hybridface.errors import DataError, HybridFaceError, UsageError
from hybridface.evaluation.predictions import Predictions
from hybridface.evaluation.recalibration import (
    SMALLEST,
    Recalibration,
    fit_deviation,
    fit_temperature,
    tempered,
)
from hybridface.evaluation.run_predictions import load_run_predictions
from hybridface.export.conversion import refuse_folder, refuse_itself
from hybridface.files import write_atomically
from hybridface.inference.metadata import METADATA_KEY
from hybridface.inference.runtime import FaceModel

CALIBRATION = "calibration"
LARGEST_DIFFERENCE = 1e-4
TRIED = 8


def calibrate(
    model: Path, out: Path, predictions: Sequence[Predictions] = ()
) -> tuple[dict[str, Recalibration], list[str]]:
    """Write a model file that is as sure as it was right on held-out pictures.

    The most probable class and every number stay what they are; poses have nothing to calibrate.
    The factors stand in the metadata under ``calibration``.

    Args:
        model: The file, or the folder of a finished run.
        out: The file to write; one that is there is replaced, but for the model itself.
        predictions: What the model said of held-out pictures, as ``evaluate`` keeps it; those of
            several data sets count together. Of a run, without any, those that it kept of its
            validation split.

    Returns:
        A :class:`hybridface.evaluation.recalibration.Recalibration` a task, and of the tasks that
        stay as they are, why the pictures do not say how sure these may be.

    Raises:
        UsageError: A file cannot be, the predictions are of another or an older model, or there
            are none.
        DataError: They are too few, or say of no task how sure the model may be.
        HybridFaceError: The model cannot be read or written.
    """
    refuse_folder(out)
    exact = FaceModel.load(model)
    refuse_itself(out, exact.path)
    if CALIBRATION in exact.metadata:
        raise UsageError(
            f"{exact.path}: is calibrated already; calibrate the model that it was made from"
        )
    kept = list(predictions) or _of_run(model, exact)
    for each in kept:
        _check_model(each, exact)
    found, left = _fit(exact, kept)
    if not found and left:
        raise DataError("; ".join(left))
    if not found:
        raise UsageError(
            f"{', '.join(each.where for each in kept)}: no predictions of a task of {exact.path} "
            "that could be calibrated: of classes, or of a number with its deviation"
        )
    content = _recalibrated(exact, found)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "calibrated.onnx"
        made.write_bytes(content)
        _try(exact, FaceModel.load(made), found)
    write_atomically(out, content)
    return found, left


def _of_run(model: Path, exact: FaceModel) -> list[Predictions]:
    """Return what a run kept of its validation split."""
    if not model.is_dir():
        raise UsageError(
            f"{exact.path}: a file keeps no predictions; give what 'hybridface evaluate {model} "
            "--data KIND:PATH --split val --out FILE.npz' writes by --on FILE.npz"
        )
    return [load_run_predictions(model)["val"]]


def _check_model(predictions: Predictions, exact: FaceModel) -> None:
    """Refuse predictions of another model: by its content or, where they say none, its file."""
    if predictions.digest:
        if predictions.digest != exact.digest:
            raise UsageError(
                f"{predictions.where}: predictions of what {predictions.model} was when they were "
                f"made, and {exact.path} is another model; evaluate that one"
            )
        return
    of = Path(predictions.model)
    if not (of.exists() and of.samefile(exact.path)):
        raise UsageError(
            f"{predictions.where}: predictions of {of}, expected those of {exact.path}; evaluate "
            "that one"
        )
    file = Path(predictions.where)
    if file.is_file() and file.stat().st_mtime < exact.path.stat().st_mtime:
        raise UsageError(
            f"{file}: is older than {exact.path}, so these may be predictions of another model "
            "that lay there; evaluate it again"
        )


def _fit(
    exact: FaceModel, kept: Sequence[Predictions]
) -> tuple[dict[str, Recalibration], list[str]]:
    """Fit each task of the model to all predictions of it; say which cannot be, and why."""
    found: dict[str, Recalibration] = {}
    left: list[str] = []
    for name in exact.tasks:
        try:
            fitted = _fit_task(name, kept)
        except DataError as error:
            where = ", ".join(each.where for each in kept)
            left.append(f"{where}, task {name}: {error}")
            continue
        if fitted is not None:
            found[name] = fitted
    return found, left


def _fit_task(name: str, kept: Sequence[Predictions]) -> Recalibration | None:
    """Fit one task; None where nothing of it was kept, or it says nothing of how sure it is."""
    if of := [each.tasks[name] for each in kept if name in each.tasks]:
        probabilities = np.concatenate([each.probabilities for each in of])
        return fit_temperature(probabilities, np.concatenate([each.targets for each in of]))
    numbers = [each.numbers[name] for each in kept if name in each.numbers]
    numbers = [each.rows(each.known) for each in numbers if each.kind == "regression"]
    if not numbers:
        return None
    outputs = np.concatenate([each.outputs for each in numbers])
    return fit_deviation(outputs, np.concatenate([each.targets[:, 0] for each in numbers]))


def _recalibrated(exact: FaceModel, found: Mapping[str, Recalibration]) -> bytes:
    """Return the model's file with what was found put behind its outputs."""
    proto = onnx.load(exact.path)
    for name, each in found.items():
        inner = f"{name}/calibration"  # no task has a slash in its name
        _free(proto, name, before := f"{inner}/before")
        if each.kind == "classification":
            factor = np.array(each.factor, np.float32)
            steps = [
                ("Max", [before, f"{inner}/smallest"], f"{inner}/bounded"),
                ("Log", [f"{inner}/bounded"], f"{inner}/logits"),
                ("Div", [f"{inner}/logits", f"{inner}/factor"], f"{inner}/tempered"),
            ]
            last = helper.make_node("Softmax", [f"{inner}/tempered"], [name], axis=1)
            smallest = np.array(SMALLEST, np.float32)
            proto.graph.initializer.append(numpy_helper.from_array(smallest, f"{inner}/smallest"))
        else:
            factor = np.array([1, 1 / each.factor], np.float32)
            steps = []
            last = helper.make_node("Div", [before, f"{inner}/factor"], [name])
        proto.graph.initializer.append(numpy_helper.from_array(factor, f"{inner}/factor"))
        nodes = [helper.make_node(kind, inputs, [output]) for kind, inputs, output in steps]
        proto.graph.node.extend([*nodes, last])
    said = {
        name: {
            "temperature" if each.kind == "classification" else "deviation_factor": each.factor,
            "pictures": each.count,
        }
        for name, each in found.items()
    }
    properties = {entry.key: entry.value for entry in proto.metadata_props}
    properties[METADATA_KEY] = json.dumps(exact.metadata | {CALIBRATION: said})
    helper.set_model_props(proto, properties)
    content: bytes = proto.SerializeToString()
    return content


def _free(proto: ModelProto, name: str, instead: str) -> None:
    """Let what gives an output, and what else reads it, know it by another name."""
    for node in proto.graph.node:
        for places in (node.input, node.output):
            for number, place in enumerate(places):
                if place == name:
                    places[number] = instead


def _try(exact: FaceModel, made: FaceModel, found: Mapping[str, Recalibration]) -> None:
    """Refuse a file that gives something else than what was found says."""
    shape = (TRIED, 3, exact.size, exact.size)
    pictures = np.random.default_rng(0).random(shape, np.float32)
    before, after = exact(pictures), made(pictures)
    for name, output in before.items():
        wanted = output.astype(np.float64)
        if name in found and found[name].kind == "classification":
            wanted = tempered(output, found[name].factor)
        elif name in found:
            wanted = wanted * (1, found[name].factor)
        if not np.allclose(after[name], wanted, rtol=1e-3, atol=LARGEST_DIFFERENCE):
            raise HybridFaceError(
                f"{exact.path}: task {name} cannot be calibrated inside the file: it gives up to "
                f"{np.abs(after[name] - wanted).max():.2g} something else than it should"
            )
