from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hybridface.export.network import export_onnx
from hybridface.tasks import task_types
from hybridface.tasks.features import Features, FeatureShape
from hybridface.tasks.heads import PooledHead, PooledHeadConfig
from tiny_runs import SIZE, tiny_model

KINDS = [name for name, kind in task_types().items() if issubclass(kind.Config, PooledHeadConfig)]
SHAPE = FeatureShape(6, 6, (), 32, 1, ())


def features() -> Features:
    generator = torch.Generator().manual_seed(0)
    return Features(torch.randn(5, 6, generator=generator), torch.zeros(5, 6, 1, 1), ())


def test_a_linear_head_is_a_product() -> None:
    head = PooledHead(SHAPE, 3, dropout=0.5).eval()
    assert {name for name, _ in head.named_parameters()} == {"linear.weight", "linear.bias"}
    seen = features().pooled
    torch.testing.assert_close(head(features()), seen @ head.linear.weight.T + head.linear.bias)


def test_a_hidden_layer_lies_between() -> None:
    head = PooledHead(SHAPE, 3, hidden=4).eval()
    assert head.hidden is not None
    between = (features().pooled @ head.hidden.weight.T + head.hidden.bias).clamp(min=0)
    assert between.shape == (5, 4)
    wanted = between @ head.linear.weight.T + head.linear.bias
    torch.testing.assert_close(head(features()), wanted)


@pytest.mark.parametrize("hidden", [None, 512])
def test_dropout_is_of_training_alone(hidden: int | None) -> None:
    head = PooledHead(SHAPE, 3, dropout=0.5, hidden=hidden)
    assert not torch.equal(head.train()(features()), head(features()))
    assert torch.equal(head.eval()(features()), head(features()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_hidden_layer_is_exported(kind: str, tmp_path: Path) -> None:
    model, tasks = tiny_model({kind: {"hidden": 5}})
    head = model.eval().heads[kind]
    assert isinstance(head, PooledHead) and head.hidden is not None
    pictures = torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    assert export_onnx(model, tasks, pictures, tmp_path / "model.onnx", trained_on="none") < 1e-3
