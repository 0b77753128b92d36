from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from hybridface import FaceModel
from hybridface.config import BackboneConfig
from hybridface.errors import HybridFaceError
from hybridface.export.network import ExportedModel, export_onnx
from hybridface.network.model import HybridModel
from hybridface.training.runs import load_model
from hybridface.training.train import TrainedRun
from tiny_runs import BACKBONE, SIZE, labelled_batch, tiny_model


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return labelled_batch(40, SIZE, seed=7).images.float() / 255


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_onnx_agrees_with_torch(count: int, tiny_run: TrainedRun, pictures: torch.Tensor) -> None:
    model, tasks = load_model(tiny_run.folder)
    with torch.no_grad():
        (expected,) = ExportedModel(model, tasks)(pictures[:count])
    found = FaceModel.load(tiny_run.folder)(pictures[:count].numpy())
    assert set(found) == {"expression"}
    np.testing.assert_allclose(found["expression"], expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(found["expression"].sum(1), 1, atol=1e-5)


def test_a_picture_is_judged_by_itself(tiny_run: TrainedRun, pictures: torch.Tensor) -> None:
    model = FaceModel.load(tiny_run.folder)
    together = model(pictures[:8].numpy())["expression"]
    for number in range(8):
        alone = model(pictures[number : number + 1].numpy())["expression"]
        np.testing.assert_allclose(alone[0], together[number], atol=1e-5)


@pytest.mark.parametrize("name", ["test_vit", "hiera_tiny_224"])  # windows: attention of 5D
def test_transformers_take_any_number_of_pictures(name: str, tmp_path: Path) -> None:
    _, tasks = tiny_model({"expression": {}})
    model = HybridModel(BackboneConfig(name=name), tasks, 32)
    fused = [getattr(part, "fused_attn", None) for part in model.modules()]
    pictures = torch.rand(5, 3, 32, 32)
    export_onnx(model, tasks, pictures[:2], tmp_path / "model.onnx", trained_on="test")
    assert True in fused
    assert [getattr(part, "fused_attn", None) for part in model.modules()] == fused
    with torch.no_grad():
        (expected,) = ExportedModel(model, tasks)(pictures)
    loaded = FaceModel.load(tmp_path / "model.onnx")
    for count in (1, 5):
        found = loaded(pictures[:count].numpy())["expression"]
        np.testing.assert_allclose(found, expected[:count].numpy(), atol=1e-5)


def test_metadata_says_how_the_model_is_used(tiny_run: TrainedRun) -> None:
    model = onnx.load(tiny_run.folder / "model.onnx")
    onnx.checker.check_model(model)
    said = json.loads({entry.key: entry.value for entry in model.metadata_props}["hybridface"])
    assert said["size"] == SIZE
    assert said["backbone"] == BACKBONE
    assert said["normalised_in_graph"] is True
    assert said["trained_on"] == "drawn"
    assert said["tasks"] == {
        "expression": {"kind": "classification", "classes": tiny_run.result["classes"]}
    }
    loaded = FaceModel.load(tiny_run.folder)
    assert loaded.size == SIZE
    assert list(loaded.tasks["expression"].classes) == tiny_run.result["classes"]


def test_the_file_is_whole_by_itself(tiny_run: TrainedRun) -> None:
    place = tiny_run.folder / "model.onnx"
    assert not [value for value in onnx.load(place).graph.initializer if value.external_data]
    assert [path.name for path in tiny_run.folder.glob("*.onnx*")] == ["model.onnx"]
    assert tiny_run.result["onnx_difference"] <= 1e-4


def test_a_model_that_disagrees_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: torch.Tensor
) -> None:
    model, tasks = tiny_model({"expression": {}})
    run = FaceModel.__call__

    def wrong(self: FaceModel, images: np.ndarray) -> dict[str, np.ndarray]:
        return {name: output + 0.01 for name, output in run(self, images).items()}

    monkeypatch.setattr(FaceModel, "__call__", wrong)
    with pytest.raises(HybridFaceError, match=r"ONNX Runtime and torch differ by 0\.01"):
        export_onnx(model, tasks, pictures[:2], tmp_path / "model.onnx", trained_on="test")


def test_a_model_that_cannot_be_exported_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: torch.Tensor
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no such operator")

    monkeypatch.setattr(torch.onnx, "export", fails)
    model, tasks = tiny_model({"expression": {}})
    with pytest.raises(HybridFaceError, match="cannot be exported: no such operator"):
        export_onnx(model, tasks, pictures[:2], tmp_path / "model.onnx", trained_on="test")
    assert list(tmp_path.iterdir()) == []
