"""A training that starts from an exported model starts with what the model says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hybridface.config import BackboneConfig
from hybridface.data.source import Labels
from hybridface.errors import HybridFaceError, UsageError
from hybridface.export.network import export_onnx
from hybridface.export.precision import Precision, convert
from hybridface.inference.shipped import shipped_model
from hybridface.network.backbones import Backbone
from hybridface.network.model import HybridModel
from hybridface.network.split_batch_norm import batch_norms
from hybridface.tasks import build_tasks
from hybridface.training.exported_backbone import load_exported_backbone
from hybridface.training.pretraining import load_backbone, weights_file
from hybridface.training.runs import load_model
from hybridface.training.train import TrainedRun, train
from tiny_runs import BACKBONE, SIZE, labelled_batch, tiny_recipe

NETWORKS = (BACKBONE, "test_resnet", "mobilenetv3_small_050")
Exported = tuple[HybridModel, Path]


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return labelled_batch(24, SIZE, seed=3).images.float() / 255


@pytest.fixture(scope="module")
def exported(
    pictures: Tensor, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Exported]:
    """Export a network whose batch norms are as if it had been trained; once each."""
    made: dict[str, Exported] = {}

    def export(name: str) -> Exported:
        if name not in made:
            tasks = build_tasks({"expression": {}})
            tasks[0].adopt(Labels(("a", "b"), np.arange(2)), torch.arange(2), SIZE)
            torch.manual_seed(0)
            model = HybridModel(BackboneConfig(name=name), tasks, SIZE)
            for norm in batch_norms(model):
                torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
                torch.nn.init.normal_(norm.bias)
            for _ in range(20):
                model.train()(pictures)
            place = tmp_path_factory.mktemp(name) / "model.onnx"
            export_onnx(model, tasks, pictures[:4], place, trained_on="test")
            made[name] = model, place
        return made[name]

    return export


def features(backbone: Backbone, pictures: Tensor) -> Tensor:
    with torch.no_grad():
        return backbone(pictures).pooled


@pytest.mark.parametrize("name", NETWORKS)
def test_it_gives_what_was_exported_and_goes_on_from_there(
    name: str, exported: Callable[[str], Exported], pictures: Tensor
) -> None:
    model, file = exported(name)
    backbone = Backbone(BackboneConfig(name=name), with_maps=False)
    load_exported_backbone(backbone, file, [pictures[:10], pictures[10:]])
    expected = features(model.backbone.eval(), pictures)
    torch.testing.assert_close(features(backbone.eval(), pictures), expected, atol=1e-3, rtol=1e-3)
    # The statistics are those of these pictures, so a batch of them normalises as the whole does.
    training = features(backbone.train(), pictures)
    torch.testing.assert_close(training, expected, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("load", [load_backbone, load_exported_backbone])
@pytest.mark.parametrize("frozen", [False, True])
def test_it_is_trained_on_in_training_mode(
    frozen: bool, load: Callable[..., None], exported: Callable[[str], Exported], pictures: Tensor
) -> None:
    """Lightning leaves each module in its mode; in that of use, batch norm would learn nothing."""
    _, file = exported(BACKBONE)
    backbone = Backbone(BackboneConfig(name=BACKBONE, frozen=frozen), with_maps=False)
    load(backbone.train(), file, [pictures])
    assert {module.training for module in backbone.modules()} == {not frozen}


def test_each_module_stays_in_its_own_mode(
    exported: Callable[[str], Exported], pictures: Tensor
) -> None:
    _, file = exported(BACKBONE)
    backbone = Backbone(BackboneConfig(name=BACKBONE), with_maps=False)
    batch_norms(backbone.train())[0].eval()
    modes = [module.training for module in backbone.modules()]
    load_exported_backbone(backbone, file, [pictures])
    assert [module.training for module in backbone.modules()] == modes


@pytest.mark.parametrize("precision", ["fp16", "fp16-stored"])
def test_weights_in_half_are_taken(
    precision: Precision, exported: Callable[[str], Exported], pictures: Tensor, tmp_path: Path
) -> None:
    model, file = exported(BACKBONE)
    convert(file, tmp_path / "half.onnx", precision, pictures[:4].numpy())
    backbone = Backbone(BackboneConfig(name=BACKBONE), with_maps=False)
    load_exported_backbone(backbone, tmp_path / "half.onnx", [pictures])
    expected = features(model.backbone.eval(), pictures)
    torch.testing.assert_close(features(backbone.eval(), pictures), expected, atol=0.05, rtol=0.05)


def test_eight_bits_are_refused_and_change_nothing(
    exported: Callable[[str], Exported], pictures: Tensor, tmp_path: Path
) -> None:
    _, file = exported(BACKBONE)
    convert(file, tmp_path / "small.onnx", "int8", pictures.numpy())
    backbone = Backbone(BackboneConfig(name=BACKBONE), with_maps=False)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    with pytest.raises(UsageError, match="another precision than int8"):
        load_exported_backbone(backbone, tmp_path / "small.onnx", [pictures])
    assert all(module.training for module in backbone.modules())
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_another_network_is_named(exported: Callable[[str], Exported], pictures: Tensor) -> None:
    _, file = exported(BACKBONE)
    backbone = Backbone(BackboneConfig(name="test_resnet"), with_maps=False)
    with pytest.raises(UsageError, match=rf"backbone\.name={BACKBONE}"):
        load_exported_backbone(backbone, file, [pictures])


def test_what_is_no_model_is_refused(tmp_path: Path, pictures: Tensor) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    backbone = Backbone(BackboneConfig(name=BACKBONE), with_maps=False)
    with pytest.raises(HybridFaceError, match=r"broken\.onnx"):
        load_exported_backbone(backbone, tmp_path / "broken.onnx", [pictures])


@pytest.mark.usefixtures("drawn_cache")
def test_a_run_starts_from_an_exported_model(
    tiny_run: TrainedRun, tmp_path: Path, pictures: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybridface.training.finish.export_onnx", lambda *_, **__: 0.0)
    still = {"epochs": 1, "learning_rate": 1e-12, "weight_decay": 0, "ema": None}
    start = {"checkpoint": str(tiny_run.folder / "model.onnx"), "drop_path": 0.0}
    alone = {"puzzle": None, "inpaint": None}
    run = train(tiny_recipe(tmp_path / "run", tasks=alone, backbone=start, training=still))
    before, _ = load_model(tiny_run.folder)
    after, _ = load_model(run.folder)
    convolution = "backbone.network.blocks.0.0.conv.weight"
    folded = after.state_dict()[convolution]
    assert not torch.equal(folded, before.state_dict()[convolution])  # its batch norm is in it
    with torch.no_grad():
        first, last = before.features(pictures).pooled, after.features(pictures).pooled
    correlation = np.corrcoef(first.flatten(), last.flatten())[0, 1]
    assert correlation > 0.98


def test_the_model_that_ships_is_known_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert weights_file(Path("default")) == shipped_model()
    pictures = torch.zeros(2, 3, 112, 112)
    backbone = Backbone(BackboneConfig(name="tf_efficientnet_lite1"), with_maps=False)
    load_exported_backbone(backbone, shipped_model(), [pictures])
