from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from typer.testing import CliRunner

from hybridface.cli import app
from hybridface.errors import DataError, HybridFaceError, UsageError
from hybridface.export.file import export_file
from hybridface.inference.runtime import FaceModel
from hybridface.training.train import TrainedRun

pytestmark = pytest.mark.usefixtures("drawn_cache")
DATA = ["drawn:16?pixels=32&seed=1", "drawn:40?pixels=32&seed=2"]


@pytest.mark.parametrize("precision", ["fp16", "fp16-stored", "int8"])
def test_a_file_is_written_in_another_precision(
    precision: str, tiny_run: TrainedRun, tmp_path: Path
) -> None:
    model, out = tiny_run.folder / "model.onnx", tmp_path / "out.onnx"
    before = model.read_bytes()
    found = export_file(model, out, precision=precision, data=DATA, count=32, least_agreement=0.0)  # type: ignore[arg-type]
    assert found["expression"].count == (16 if precision == "int8" else 32)
    kinds = {each.data_type for each in onnx.load(out).graph.initializer}
    assert (onnx.TensorProto.FLOAT16 in kinds) == precision.startswith("fp16")
    assert (onnx.TensorProto.INT8 in kinds) == (precision == "int8")
    made, exact = FaceModel.load(out), FaceModel.load(model)
    assert made.tasks == exact.tasks
    assert model.read_bytes() == before


def test_halves_that_are_stored_become_eight_bits(tiny_run: TrainedRun, tmp_path: Path) -> None:
    """As of the model that ships."""
    stored, out, direct = (tmp_path / name for name in ("stored.onnx", "out.onnx", "direct.onnx"))
    exact = tiny_run.folder / "model.onnx"
    export_file(exact, stored, precision="fp16-stored", data=DATA, count=16, least_agreement=0.0)
    export_file(stored, out, precision="int8", data=DATA, count=16, least_agreement=0.0)
    export_file(exact, direct, precision="int8", data=DATA, count=16, least_agreement=0.0)
    kinds = [
        [each.data_type for each in onnx.load(file).graph.initializer] for file in (out, direct)
    ]
    counts = [each.count(onnx.TensorProto.INT8) for each in kinds]
    assert counts[0] == counts[1] > 0


def test_wrong_use_is_refused(tiny_run: TrainedRun, tmp_path: Path) -> None:
    model, out = tiny_run.folder / "model.onnx", tmp_path / "out.onnx"
    for place, options, said in (
        (out, {"precision": "fp8"}, "unknown precision 'fp8'"),
        (out, {"precision": "fp32"}, "is a model already; name the precision"),
        (out, {"data": []}, "has no pictures of its own; name face crops by --data"),
        (out, {"count": 3}, "expected 8 or more"),
        (out, {"count": 8, "data": DATA * 9}, "8 are fewer than the [0-9]+ data sets"),
        (tmp_path, {}, "a folder; name the file to write"),
        (model, {}, "the model itself, which is not overwritten"),
    ):
        with pytest.raises(UsageError, match=said):
            export_file(model, place, **({"precision": "int8", "data": DATA} | options))  # type: ignore[arg-type]
    (none := tmp_path / "recipe.yaml").write_text("run: x")
    with pytest.raises(HybridFaceError, match=r"recipe\.yaml: not a model that ONNX Runtime can"):
        export_file(none, out, precision="fp32", data=[])
    with pytest.raises(DataError, match="6 pictures that can be used"):
        export_file(model, out, precision="int8", data=["drawn:3?pixels=32"] * 2)
    with pytest.raises(HybridFaceError, match=r"agrees with its model on only .*at least 101"):
        export_file(model, out, precision="int8", data=DATA, least_agreement=1.01)
    assert not out.exists()


def test_the_command_tells_files_from_runs(tiny_run: TrainedRun, tmp_path: Path) -> None:
    out, command = tmp_path / "out.onnx", CliRunner()
    data = [part for each in DATA for part in ("--data", each)]
    said = ["--precision", "int8", "--pictures", "16", "--least-agreement", "0", *data]
    model = str(tiny_run.folder / "model.onnx")
    done = command.invoke(app, ["export", model, str(out), *said])
    assert done.exit_code == 0, done.output
    assert "expression: largest difference" in done.output
    assert "crop" not in done.output
    again = command.invoke(app, ["export", str(tiny_run.folder), str(out), *said])
    assert again.exit_code == 0, again.output
    assert "crop: the default" in again.output
    refused = command.invoke(app, ["export", model, str(out), *said, "--weights", "last"])
    assert isinstance(refused.exception, UsageError)
    assert "--weights is for a run's folder" in str(refused.exception)
