"""A backbone that was written for timm is, in timm, the one that was trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

from hybridface.cli import app
from hybridface.errors import HybridFaceError, UsageError
from hybridface.export.backbone import export_backbone_of_model, export_backbone_of_run
from hybridface.training.runs import load_model
from hybridface.training.train import TrainedRun, train
from tiny_runs import BACKBONE, SIZE, labelled_batch, same_weights, tiny_recipe

pytestmark = pytest.mark.usefixtures("drawn_cache")
DATA = ["drawn:24?pixels=32&seed=1"]


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return labelled_batch(8, SIZE, seed=3).images.float() / 255


def made_by(call: str) -> Any:
    """Return the network that a line of Python makes, in evaluation mode."""
    return eval(call, {"timm": timm}).eval()


@torch.no_grad()
def features(run: Path, pictures: Tensor, weights: str = "best") -> Tensor:
    return load_model(run, weights)[0].features(pictures).pooled


@torch.no_grad()
@pytest.mark.parametrize("weights", ["best", "last"])
def test_a_runs_backbone_is_the_same_in_timm(
    weights: str, tiny_run: TrainedRun, pictures: Tensor, tmp_path: Path
) -> None:
    out = tmp_path / "deeper" / "backbone.safetensors"
    call = export_backbone_of_run(tiny_run.folder, out, weights=weights, licence="CC0")
    assert call == (f"timm.create_model('{BACKBONE}', num_classes=0, checkpoint_path={str(out)!r})")
    network, ours = made_by(call), load_model(tiny_run.folder, weights)[0].backbone
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (ours.mean, ours.std))
    theirs = network((pictures - mean) / std)
    torch.testing.assert_close(theirs, features(tiny_run.folder, pictures, weights))
    with safe_open(out, "pt") as file:
        about = json.loads(file.metadata()["hybridface"])
    assert about["mean"] == list(timm.data.resolve_model_data_config(network)["mean"])
    assert (about["size"], about["licence"], about["trained_on"]) == (SIZE, "CC0", "drawn")
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@torch.no_grad()
def test_an_exported_models_backbone_is_the_same_in_timm(
    tiny_run: TrainedRun, pictures: Tensor, tmp_path: Path
) -> None:
    out = tmp_path / "backbone.safetensors"
    network = made_by(
        export_backbone_of_model(tiny_run.folder / "model.onnx", out, data=DATA, count=24)
    )
    ours = load_model(tiny_run.folder)[0].backbone
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (ours.mean, ours.std))
    wanted = features(tiny_run.folder, pictures)
    torch.testing.assert_close(network((pictures - mean) / std), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("quick_end")
def test_a_training_starts_from_it_as_from_the_run(tiny_run: TrainedRun, tmp_path: Path) -> None:
    out = tmp_path / "backbone.safetensors"
    export_backbone_of_run(tiny_run.folder, out)
    ends = []
    for name, start in (("run", tiny_run.folder), ("file", out)):
        recipe = tiny_recipe(
            tmp_path / name, backbone={"checkpoint": str(start)}, training={"epochs": 1}
        )
        ends.append(train(recipe).folder / "last.safetensors")
    assert same_weights(*ends)


@pytest.mark.usefixtures("quick_end")
def test_a_network_that_is_made_for_one_size_says_so(tmp_path: Path) -> None:
    recipe = tiny_recipe(
        tmp_path / "run",
        data={"size": 48},
        backbone={"name": "test_vit", "drop_path": 0.1, "options": {"patch_size": 8}},
        tasks={"inpaint": None},
        training={"epochs": 1},
    )
    run, out = train(recipe).folder, tmp_path / "vit.safetensors"
    call = export_backbone_of_run(run, out)
    assert "num_classes=0, patch_size=8, img_size=48," in call
    ours = load_model(run)[0].backbone.network.state_dict()
    theirs = made_by(call).state_dict()
    assert theirs.keys() == ours.keys() == load_file(out).keys()
    assert all(torch.equal(value, ours[name]) for name, value in theirs.items())


def test_what_timm_makes_another_network_of_is_not_written(
    tiny_run: TrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = timm.create_model
    monkeypatch.setattr(
        "hybridface.export.backbone.timm.create_model",
        lambda name, checkpoint_path="", **told: make(name, **told),
    )
    out = tmp_path / "backbone.safetensors"
    with pytest.raises(HybridFaceError, match="not written: timm's test_efficientnet with these"):
        export_backbone_of_run(tiny_run.folder, out)
    assert not out.exists()


def test_the_runs_own_weights_are_not_overwritten(tiny_run: TrainedRun) -> None:
    with pytest.raises(UsageError, match="own file"):
        export_backbone_of_run(tiny_run.folder, tiny_run.folder / "best.safetensors")


def test_the_command_prints_what_timm_is_to_be_told(tiny_run: TrainedRun, tmp_path: Path) -> None:
    out = tmp_path / "backbone.safetensors"
    done = CliRunner().invoke(app, ["export", str(tiny_run.folder), str(out)])
    assert done.exit_code == 0, done.output
    said, call = done.stdout.strip().split("\n", 1)
    assert said.startswith(f"backbone: {out} (")
    assert made_by(call.replace("\n", "")).num_features > 0


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("run", ["--precision", "fp16"], "--precision is for an ONNX file"),
        ("run", ["--keep-ssl-heads"], "--keep-ssl-heads is for an ONNX file"),
        ("run", ["--data", "drawn:24"], "--data is for a model file"),
        ("model.onnx", [], "name face crops by --data KIND:PATH"),
        ("model.onnx", ["--weights", "last"], "--weights is for a run's folder"),
        ("nowhere", [], "does not exist"),
    ],
)
def test_what_cannot_be_is_refused(
    model: str, options: list[str], said: str, tiny_run: TrainedRun, tmp_path: Path
) -> None:
    place = {"run": tiny_run.folder, "nowhere": tmp_path / model}.get(
        model, tiny_run.folder / model
    )
    out = tmp_path / "backbone.safetensors"
    done = CliRunner().invoke(app, ["export", str(place), str(out), *options])
    assert isinstance(done.exception, UsageError)
    assert said in str(done.exception)
    assert not out.exists()
