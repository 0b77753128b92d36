from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import hybridface
from hybridface.errors import DataError, HybridFaceError, UsageError
from hybridface.export.comparison import Comparison, compare
from hybridface.export.network import ExportedModel
from hybridface.export.pictures import pictures_of_data, pictures_of_run
from hybridface.export.precision import convert
from hybridface.export.run import export_run, torch_outputs
from hybridface.inference.runtime import FaceModel
from hybridface.training.runs import architecture, load_model, save_weights
from hybridface.training.train import TrainedRun
from tiny_models import write_model
from tiny_runs import SIZE, copy_run, labelled_batch, tiny_model, tiny_recipe

pytestmark = pytest.mark.usefixtures("drawn_cache")
DATA = ["drawn:24?pixels=32&seed=1"]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "fp16-stored", "int8"])
def test_every_precision_runs_and_is_compared(
    precision: str, tiny_run: TrainedRun, tmp_path: Path
) -> None:
    out = tmp_path / "deeper" / "out.onnx"
    found, _ = export_run(
        tiny_run.folder, out, precision=precision, data=DATA, least_agreement=0.0, count=24
    )  # type: ignore[arg-type]
    assert found["expression"].count == (12 if precision == "int8" else 24)
    model, exact = hybridface.load(out), FaceModel.load(tiny_run.folder)
    pictures = pictures_of_data(DATA, SIZE, 24)
    near = model.predict(pictures)["expression"]
    wanted = exact.predict(pictures)["expression"]
    bound = {"fp32": 1e-5, "fp16": 0.01, "fp16-stored": 0.01, "int8": 0.3}[precision]
    assert np.abs(near - wanted).max() <= bound
    np.testing.assert_allclose(near.sum(1), 1, atol=1e-3)
    assert near.dtype == np.float32
    kinds = {each.data_type for each in onnx.load(out).graph.initializer}
    assert (onnx.TensorProto.FLOAT16 in kinds) == precision.startswith("fp16")
    assert (onnx.TensorProto.INT8 in kinds) == (precision == "int8")
    assert [path.name for path in out.parent.iterdir()] == ["out.onnx"]


def test_eight_bits_begin_at_the_fifth_convolution_and_no_clip_parts_them(tmp_path: Path) -> None:
    blocks = [nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU6()) for _ in range(7)]
    network = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    model, out = tmp_path / "in.onnx", tmp_path / "out.onnx"
    program = torch.onnx.export(
        network.eval(), (torch.zeros(2, 3, 8, 8),), input_names=["images"],
        dynamic_shapes={"input": {0: torch.export.Dim("batch")}}, dynamo=True, verbose=False,
    )  # fmt: skip
    assert program is not None
    onnx.save(program.model_proto, model)
    pictures = np.random.default_rng(0).random((16, 3, 8, 8), dtype=np.float32)
    convert(model, out, "int8", pictures)
    nodes = onnx.load(out).graph.node
    made_by = {output: node.op_type for node in nodes for output in node.output}
    read = [made_by.get(node.input[0]) for node in nodes if node.op_type == "Conv"]
    assert [each == "DequantizeLinear" for each in read] == [False] * 4 + [True] * 3
    clips = [node for node in nodes if node.op_type in ("Clip", "Relu")]
    assert len(clips) == 4
    weights = {
        each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(out).graph.initializer
    }
    eight = [values for values in weights.values() if values.dtype == np.int8 and values.size > 8]
    assert len(eight) == 3
    assert all(np.abs(values.astype(int)).max() <= 64 for values in eight)
    heads = [made_by[node.input[0]] for node in nodes if node.op_type == "Gemm"]
    assert heads and "DequantizeLinear" not in heads


def test_stored_halves_are_half_as_large_and_run_in_float32(tmp_path: Path) -> None:
    many = {"colour": [f"class {number}" for number in range(2000)]}
    model, out = write_model(tmp_path / "in.onnx", many), tmp_path / "out.onnx"
    convert(model, out, "fp16-stored", np.zeros((1, 3, 8, 8), np.float32))
    stored = {each.name: each.data_type for each in onnx.load(out).graph.initializer}
    assert stored["colour_weights_half"] == onnx.TensorProto.FLOAT16
    assert stored["mean"] == onnx.TensorProto.FLOAT  # too small to be worth it
    pictures = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    found, wanted = (FaceModel.load(each).predict(pictures)["colour"] for each in (out, model))
    np.testing.assert_allclose(found, wanted, rtol=0.01)
    assert not np.array_equal(found, wanted)
    larger, smaller = (len(onnx.load(each).SerializeToString()) for each in (model, out))
    assert larger - smaller > 0.9 * 3 * 2000 * 2


def test_metadata_holds_what_a_user_must_know(tiny_run: TrainedRun, tmp_path: Path) -> None:
    for precision in ("fp32", "int8"):
        out = tmp_path / f"{precision}.onnx"
        export_run(
            tiny_run.folder, out, precision=precision, data=DATA, licence="MIT", count=16,
            trained_on="drawn faces", least_agreement=0.0,
        )  # type: ignore[arg-type]  # fmt: skip
        properties = {entry.key: entry.value for entry in onnx.load(out).metadata_props}
        said = json.loads(properties["hybridface"])
        assert said["licence"] == "MIT"
        assert said["trained_on"] == "drawn faces"
        assert said["version"] == hybridface.__version__
        assert (said["size"], said["channels"], said["range"]) == (SIZE, "RGB", [0, 1])
        assert len(said["mean"]) == len(said["std"]) == 3
        assert said["tasks"]["expression"]["classes"] == tiny_run.result["classes"]
        assert "self_supervised" not in said


def test_self_supervised_heads_can_be_kept(tiny_run: TrainedRun, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    export_run(tiny_run.folder, out, data=DATA, keep_ssl_heads=True, count=8)
    model = hybridface.load(out)
    assert list(model.tasks) == ["expression"]
    about = model.self_supervised
    assert about["puzzle"] == {"kind": "puzzle", "grid": 2}
    assert about["inpaint"]["blank"] == 0.5
    images = labelled_batch(5, SIZE, seed=3).images.float().contiguous() / 255
    torch_model, tasks = load_model(tiny_run.folder)
    module = ExportedModel(torch_model, tasks, keep_ssl_heads=True)
    with torch.no_grad():
        wanted = dict(zip([task.name for task in module.kept], module(images), strict=True))
    for name, shape in (("puzzle", (5, 4, 4)), ("inpaint", (5, 3, SIZE, SIZE))):
        found = model.answer(name, images.numpy())
        assert found.shape == shape
        np.testing.assert_allclose(found, wanted[name].numpy(), atol=1e-4)
    np.testing.assert_allclose(model.answer("puzzle", images.numpy()).sum(2), 1, atol=1e-5)
    assert set(model.predict([np.zeros((9, 9, 3), np.uint8)])) == {"expression"}
    with pytest.raises(UsageError, match="did you mean 'puzzle'"):
        model.answer("puzle", images.numpy())


def test_a_file_that_disagrees_is_refused_and_not_written(
    tiny_run: TrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poor = {"expression": Comparison(0.4, 0.85, 100)}
    monkeypatch.setattr("hybridface.export.conversion.compare", lambda *_: poor)
    out = tmp_path / "out.onnx"
    with pytest.raises(HybridFaceError, match=r"its model on only 85\.0% of 100 pictures"):
        export_run(tiny_run.folder, out, precision="int8", data=DATA, count=8)
    assert list(tmp_path.iterdir()) == []
    export_run(tiny_run.folder, out, precision="int8", data=DATA, count=8, least_agreement=0.8)
    assert out.is_file()


def test_differences_are_seen(tiny_run: TrainedRun) -> None:
    """Torch after a change of its weights no longer agrees with the file."""
    model, tasks = load_model(tiny_run.folder)
    pictures = pictures_of_data(DATA, SIZE, 24)
    file = FaceModel.load(tiny_run.folder)
    same = compare(file, torch_outputs(ExportedModel(model, tasks), pictures), pictures)[
        "expression"
    ]
    assert same.agreement == 1
    assert same.largest < 1e-4
    with torch.no_grad():
        for value in model.heads["expression"].parameters():
            value.neg_()
    other = compare(file, torch_outputs(ExportedModel(model, tasks), pictures), pictures)[
        "expression"
    ]
    assert other.agreement < 0.7
    assert other.largest > 0.01


def test_a_run_brings_its_own_validation_pictures(tiny_run: TrainedRun) -> None:
    pictures = pictures_of_run(tiny_run.folder, 8)
    assert pictures.shape == (8, SIZE, SIZE, 3)
    assert len(np.unique(pictures.reshape(8, -1), axis=0)) == 8


def test_wrong_use_is_refused(tiny_run: TrainedRun, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    for options, said in (
        ({"precision": "fp8"}, "did you mean 'fp16'|known are"),
        ({"weights": "first"}, "unknown weights 'first'"),
        ({"count": 3}, "expected 8 or more"),
        ({"data": ["drwn:9"]}, "did you mean 'drawn'"),
    ):
        with pytest.raises(UsageError, match=said):
            export_run(tiny_run.folder, out, **({"data": DATA} | options))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="5 pictures that can be used"):
        export_run(tiny_run.folder, out, data=["drawn:5?pixels=32"])
    for name in ("model.onnx", "best.safetensors", "config.yaml"):
        own = tiny_run.folder / name
        before = own.read_bytes()
        with pytest.raises(UsageError, match="the run's own file"):
            export_run(tiny_run.folder, own, data=DATA)
        assert own.read_bytes() == before
    with pytest.raises(UsageError, match="a folder; name the file to write"):
        export_run(tiny_run.folder, tmp_path, data=DATA)
    for place in (tmp_path, tiny_run.folder / "model.onnx"):
        with pytest.raises(UsageError, match=f"{place}: no run's folder, config.json is missing"):
            export_run(place, out)
    for place in (tmp_path / "none.onnx", Path("default")):
        with pytest.raises(UsageError, match=f"{place}: does not exist; expected the folder"):
            export_run(place, out)
    assert not out.exists()


def test_a_run_that_has_nothing_to_export_says_so(tiny_run: TrainedRun, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out.onnx"
    copy_run(tiny_run.folder, run)
    (run / "best.safetensors").unlink()
    with pytest.raises(UsageError, match=r"holds no best weights.*resume it"):
        export_run(run, out, data=DATA)
    model, tasks = tiny_model({"puzzle": {"grid": 2}})
    recipe = tiny_recipe(run, tasks={"expression": None, "inpaint": None})
    (run / "config.json").write_text(json.dumps(architecture(recipe, tasks)))
    save_weights(model, run / "best.safetensors")
    with pytest.raises(UsageError, match=r"no supervised task.*backbone.checkpoint="):
        export_run(run, out, data=DATA)
    assert not out.exists()


def test_what_cannot_be_converted_is_said(tmp_path: Path) -> None:
    (tmp_path / "in.onnx").write_bytes(b"no model")
    with pytest.raises(HybridFaceError, match="cannot be converted to fp16"):
        convert(tmp_path / "in.onnx", tmp_path / "out.onnx", "fp16", np.zeros((1, 3, 8, 8), "f4"))
