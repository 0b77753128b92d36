"""The puzzle and in-painting dealt without torch, held against the tasks that train them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from conftest import picture_pixels
from hybridface import FaceModel, draws
from hybridface.errors import HybridFaceError
from hybridface.export.network import export_onnx
from hybridface.inference import dealing
from hybridface.inference.dealing import InpaintDealer, PuzzleDealer, dealers_of
from hybridface.tasks import puzzle
from hybridface.tasks.base import View
from hybridface.tasks.inpaint import random_holes
from hybridface.training.runs import load_model
from hybridface.training.train import TrainedRun
from tiny_runs import SIZE, labelled_batch


@pytest.fixture(scope="module")
def with_heads(tiny_run: TrainedRun, tmp_path_factory: pytest.TempPathFactory) -> FaceModel:
    model, tasks = load_model(tiny_run.folder)
    place = tmp_path_factory.mktemp("heads") / "with-ssl.onnx"
    images = labelled_batch(8).images.float() / 255
    export_onnx(model, tasks, images, place, trained_on="drawn", keep_ssl_heads=True)
    return FaceModel.load(place)


@pytest.fixture
def face() -> np.ndarray:
    return picture_pixels(3, SIZE)


@pytest.mark.parametrize("grid", [2, 3, 4])
def test_tiles_lie_as_in_training(grid: int) -> None:
    images = torch.rand(5, 3, 4 * grid, 5 * grid)
    order = torch.rand(5, grid * grid).argsort(1)
    expected = puzzle.shuffle_tiles(images, order, grid)
    found = dealing.shuffle_tiles(images.numpy(), order.numpy(), grid)
    np.testing.assert_array_equal(found, expected.numpy())


@pytest.mark.parametrize("side", [(0.25, 0.5), (0.1, 1.0), (0.4, 0.4)])
def test_holes_lie_as_in_training(side: tuple[float, float]) -> None:
    expected = random_holes(6, 48, 3, side, torch.Generator().manual_seed(4))
    draw = draws.rand(4, 6, 3, 1, generator=torch.Generator().manual_seed(4), pictures=1)
    np.testing.assert_array_equal(dealing.hole_masks(draw.numpy(), 48, side), expected.numpy())


def test_a_puzzle_is_answered_as_the_task_says(
    with_heads: FaceModel, tiny_run: TrainedRun, face: np.ndarray
) -> None:
    (dealer,) = (each for each in dealers_of(with_heads) if isinstance(each, PuzzleDealer))
    assert dealer.grid == 2
    found = dealer.ask(face, np.random.default_rng(5))
    facts = found.facts
    assert sorted(facts["dealt"]) == [0, 1, 2, 3]
    images = torch.from_numpy(face.copy()).permute(2, 0, 1)[None].float() / 255
    order = torch.tensor([facts["dealt"]])
    dealt = puzzle.shuffle_tiles(images, order, 2)
    model, tasks = load_model(tiny_run.folder)
    (task,) = (each for each in tasks if each.name == "puzzle")
    with torch.no_grad():
        output = model.heads["puzzle"](model.features(dealt))
    pictures = task.picture(images, View(dealt, order), output)
    assert set(pictures) == set(found.pictures)
    for name, image in pictures.items():
        pixels = (image[0].permute(1, 2, 0) * 255).round().to(torch.uint8)
        np.testing.assert_array_equal(found.pictures[name], pixels.numpy(), err_msg=name)
    assert facts["answered"] == output.argmax(-1)[0].tolist()
    assert facts["right"] / 4 == pytest.approx(float(task.measure(output, order)["slot_accuracy"]))
    chances = output.softmax(-1).max(-1).values[0].tolist()
    assert facts["probabilities"] == pytest.approx(chances, abs=1e-4)


def test_holes_are_filled_as_the_task_says(
    with_heads: FaceModel, tiny_run: TrainedRun, face: np.ndarray
) -> None:
    (dealer,) = (each for each in dealers_of(with_heads) if isinstance(each, InpaintDealer))
    found = dealer.ask(face, np.random.default_rng(5))
    draw = np.random.default_rng(5).random((4, 1, dealer.holes, 1), dtype=np.float32)
    holes = torch.from_numpy(dealing.hole_masks(draw, SIZE, dealer.side))
    images = torch.from_numpy(face.copy()).permute(2, 0, 1)[None].float() / 255
    dealt = images.masked_fill(holes, 0.5)
    model, tasks = load_model(tiny_run.folder)
    (task,) = (each for each in tasks if each.name == "inpaint")
    model.backbone.with_maps = True
    with torch.no_grad():
        output = model.heads["inpaint"](model.features(dealt))
    for name, image in task.picture(images, View(dealt, (images, holes)), output).items():
        pixels = (image[0].permute(1, 2, 0) * 255).round().numpy()
        np.testing.assert_allclose(found.pictures[name], pixels, atol=1, err_msg=name)
    said = float(task.measure(output, (images, holes))["hole_psnr"])
    assert found.facts["psnr"] == pytest.approx(said, abs=0.01)
    assert found.facts["holes"] == pytest.approx(float(holes.float().mean()), abs=1e-4)


def test_the_seed_decides_what_is_dealt(with_heads: FaceModel, face: np.ndarray) -> None:
    for dealer in dealers_of(with_heads):
        one, again, other = (dealer.ask(face, np.random.default_rng(each)) for each in (1, 1, 2))
        assert one.facts == again.facts
        assert (one.pictures["dealt"] == again.pictures["dealt"]).all()
        assert (one.pictures["dealt"] != other.pictures["dealt"]).any()


def test_answers_that_are_all_right_put_the_picture_back(face: np.ndarray) -> None:
    def answer(name: str, dealt: np.ndarray) -> np.ndarray:
        chances = np.full((1, 16, 16), 0.01, np.float32)
        chances[0, np.arange(16), np.random.default_rng(9).permutation(16)] = 0.85
        return chances

    model: Any = SimpleNamespace(answer=answer)
    found = PuzzleDealer(model, "puzzle", 4).ask(face, np.random.default_rng(9))
    assert found.facts["right"] == 16
    assert (found.pictures["answered"] == face).all()
    assert (found.pictures["dealt"] != face).any()


def model_with(heads: dict[str, Any]) -> Any:
    return SimpleNamespace(self_supervised=heads, size=SIZE, path=Path("some.onnx"))


def test_heads_that_cannot_be_dealt_are_left_out() -> None:
    heads = {"a": {"kind": "rotation"}, "b": {"kind": "puzzle", "grid": 3}, "c": {"kind": "drloc"}}
    assert dealers_of(model_with(heads)) == []


@pytest.mark.parametrize(
    "about", [{}, {"kind": "puzzle"}, {"kind": "puzzle", "grid": 0}, {"kind": "inpaint"}, 3]
)
def test_damaged_metadata_is_named(about: Any) -> None:
    with pytest.raises(HybridFaceError, match=r"some\.onnx.*'odd'"):
        dealers_of(model_with({"odd": json.loads(json.dumps(about))}))
