"""How well a model knows its training rows is measured, and changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hybridface.data.prepare import prepare_data
from hybridface.training.runs import load_model
from hybridface.training.train import train
from tiny_runs import metrics_of, same_weights, tiny_recipe

pytestmark = pytest.mark.usefixtures("drawn_cache", "quick_end")


def test_the_training_rows_are_measured_intact_and_in_evaluation_mode(tmp_path: Path) -> None:
    changes = {"tasks": {"inpaint": None, "puzzle": None}, "data": {"fraction": 0.5}}
    runs = [
        train(
            tiny_recipe(
                tmp_path / str(asked),
                training={"epochs": 2, "measure_training_rows": asked},
                **changes,
            )
        ).folder
        for asked in (True, False)
    ]
    measured, plain = map(metrics_of, runs)
    assert [line.pop("training_rows").keys() for line in measured] == [
        {"accuracy", "mean_class_accuracy", "nll"}
    ] * 2
    assert measured == plain
    assert same_weights(runs[0] / "last.safetensors", runs[1] / "last.safetensors")
    last = metrics_of(runs[0])[-1]["training_rows"]
    recipe = tiny_recipe(runs[0], **changes)
    data = prepare_data(recipe.data, ["expression"], recipe.seed)
    rows = data.splits["train"]
    images = torch.from_numpy(data.images[rows].transpose(0, 3, 1, 2) / 255).float()
    labels = torch.from_numpy(data.labels["expression"].ids[rows])
    model, _ = load_model(runs[0], "last")
    with torch.no_grad():
        output = model(images)["expression"]
    assert last["accuracy"] == pytest.approx((output.argmax(1) == labels).float().mean().item())
    assert last["nll"] == pytest.approx(
        torch.nn.functional.cross_entropy(output, labels).item(), rel=1e-4
    )
