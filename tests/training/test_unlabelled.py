"""Pictures without labels and mixup: what the step does with them, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from hybridface.config import DataConfig, FoldConfig
from hybridface.data.batches import Batch, PictureBatches
from hybridface.data.prepare import prepare_data
from hybridface.errors import DataError, HybridFaceError, UsageError
from hybridface.network.model import HybridStep
from hybridface.network.views import make_views, passes_a_picture
from hybridface.training.module import HybridModule
from hybridface.training.train import train
from tiny_runs import labelled_batch, tiny_model, tiny_recipe

OTHERS = "drawn:40?pixels=32"


def with_others(batch: Batch, count: int = 4) -> Batch:
    """Return a batch with more pictures, of no label, at its end."""
    more = labelled_batch(count, seed=9)
    return Batch(
        torch.cat([batch.images, more.images]),
        {"expression": torch.cat([batch.labels["expression"], torch.full((count,), -1)])},
        {},
        labelled=len(batch.images),
    )


def take(options: dict[str, Any], batch: Batch, **rest: Any) -> tuple[dict[str, Tensor], int]:
    """Return a step's figures and how many pictures the backbone saw."""
    model, tasks = tiny_model(options)
    seen: list[int] = []
    model.backbone.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    step = HybridStep(model.eval(), tasks, **rest)
    _, figures = step(batch.images.float() / 255, batch, Generator().manual_seed(0))
    return figures, sum(seen)


@pytest.mark.parametrize(
    ("options", "labelled", "other"),
    [
        ({"view": "own"}, 2, 1),
        ({"view": "own", "supervise": "both"}, 2, 1),
        ({"view": "own", "supervise": "corrupted"}, 1, 1),
        ({"view": "shared"}, 1, 1),
    ],
)
@pytest.mark.parametrize("batch_norm", ["joined", "split"])
def test_other_pictures_pass_only_for_the_tasks_without_labels(
    options: dict[str, Any], labelled: int, other: int, batch_norm: Any
) -> None:
    tasks = {"expression": {"dropout": 0.0}, "puzzle": {"grid": 2, **options}}
    batch = labelled_batch()
    figures, seen = take(tasks, with_others(batch), batch_norm=batch_norm)
    assert seen == 6 * labelled + 4 * other
    _, built = tiny_model(tasks)
    assert passes_a_picture(built, 32) == labelled
    assert passes_a_picture(built, 32, labelled=False) == other
    if options.get("supervise", "intact") == "intact" and options["view"] == "own":
        alone, _ = take(tasks, batch, batch_norm=batch_norm)
        for name in ("expression/loss", "expression/accuracy"):
            torch.testing.assert_close(figures[name], alone[name])
        assert figures["puzzle/loss"] != alone["puzzle/loss"]


def test_mixup_leaves_other_pictures_to_the_tasks_that_see_them() -> None:
    """``drloc`` sees the intact pictures of both kinds, and labels come from the labelled alone."""
    options = {"expression": {"dropout": 0.0}, "drloc": {"pairs": 4}}
    batch = labelled_batch()
    mixed, seen = take(options, with_others(batch), mixup=0.5)
    assert seen == 6 + 4
    alone, _ = take(options, batch, mixup=0.5)
    assert mixed["expression/loss"].isfinite()
    assert mixed["drloc/loss"] != alone["drloc/loss"]


def test_a_batch_reads_its_other_pictures(drawn_cache: Path) -> None:
    config = DataConfig(
        source="drawn:60?pixels=32", size=32, unlabelled=(OTHERS, "rest"), fraction=0.5
    )
    data = prepare_data(config, ["expression"], 0)
    assert data.unlabelled is not None
    counts = [len(rows) for rows in data.unlabelled.rows]
    assert counts[0] + counts[1] == len(data.unlabelled)
    held_out = np.concatenate([data.splits[split] for split in ("train", "val", "test")])
    assert not set(data.unlabelled.rows[1]) & set(held_out)
    order = np.array([counts[0], 0, counts[0] - 1, len(data.unlabelled) - 1])
    batch = PictureBatches(data, data.splits["train"])[np.arange(3), order]
    assert batch.labelled == 3
    assert batch.labels["expression"][3:].tolist() == [-1] * 4
    for place, number in enumerate(order):
        source = int(number >= counts[0])
        row = data.unlabelled.rows[source][number - counts[0] * source]
        expected = torch.from_numpy(np.array(data.unlabelled.images[source][row]))
        assert torch.equal(batch.images[3 + place].permute(1, 2, 0), expected)


def test_no_picture_of_validation_or_test_is_learned_from(drawn_cache: Path) -> None:
    """The same data set given again: what it holds out here is found by its pixels."""
    config = DataConfig(
        source="drawn:60?pixels=32",
        size=32,
        unlabelled=("drawn:60?pixels=32",),
        folds=FoldConfig(count=3),
    )
    data = prepare_data(config, ["expression"], 0)
    assert data.unlabelled is not None
    held_out = np.concatenate([data.splits["val"], data.splits["test"]])
    assert not set(data.unlabelled.rows[0]) & set(held_out)
    assert data.unlabelled.dropped > 0


def test_no_rest_is_refused(drawn_cache: Path) -> None:
    config = DataConfig(source="drawn:60?pixels=32", size=32, unlabelled=("rest",))
    with pytest.raises(DataError, match=r"unlabelled: rest: no picture .*fraction leaves no rest"):
        prepare_data(config, ["expression"], 0)


def test_a_class_and_a_folder_named_rest_are_not_the_rest(
    tmp_path: Path,
    write_picture: Callable[..., Path],
    hybridface_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for seed in range(16):
        write_picture(tmp_path / "faces" / ("happy", "rest")[seed % 2] / f"{seed}.png", seed)
    for seed in range(100, 103):
        write_picture(tmp_path / "rest" / f"{seed}.png", seed)
    monkeypatch.chdir(tmp_path)
    given = ("rest", "folder:rest?unlabelled=true", "folder:faces/rest?unlabelled=true")
    config = DataConfig(
        source="folder:faces", size=32, unlabelled=given, fraction=0.4, validation=0.25
    )
    data = prepare_data(config, ["expression"], 0)
    assert data.labels["expression"].names == ("happy", "rest")
    assert data.unlabelled is not None
    assert data.unlabelled.specs == list(given)
    rest, other, of_class = data.unlabelled.rows
    trained = set(data.splits["train"]) | set(data.splits["val"])
    assert set(rest) == set(range(16)) - trained
    assert {data.keys[row].split("/")[0] for row in rest} == {"happy", "rest"}
    assert len(other) == 3
    held_out = sum(data.keys[row].startswith("rest/") for row in data.splits["val"])
    assert len(of_class) == 8 - held_out


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"data": {"unlabelled": OTHERS}, "tasks": {"puzzle": None, "inpaint": None}},
            "no task can",
        ),
        ({"data": {"unlabelled": OTHERS}, "augment": {"views": 2}}, r"augment\.views"),
        ({"augment": {"mixup": 0.2}, "tasks": {"puzzle": {"view": "shared"}}}, r"mixup.*puzzle"),
    ],
)
def test_what_cannot_go_together_is_refused(
    changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=says):
        train(tiny_recipe(tmp_path / "run", **changes))


@pytest.mark.usefixtures("drawn_cache", "quick_end")
def test_a_run_with_other_pictures(tmp_path: Path) -> None:
    recipe = tiny_recipe(
        tmp_path / "run",
        data={"unlabelled": OTHERS, "unlabelled_per_labelled": 0.5},
        augment={"mixup": 0.2},
        training={"epochs": 2, "loss_balance": "uncertainty", "sampling": "balanced"},
    )
    result = train(recipe).result
    assert result["pictures"] == result["steps"] * (16 * 3 + 8 * 2)
    report = json.loads((tmp_path / "run" / "data.json").read_text())["unlabelled"]
    assert list(report["sources"]) == [OTHERS]


def test_mixup_leaves_an_intact_picture_that_does_not_teach() -> None:
    options = {
        "expression": {"dropout": 0.0},
        "puzzle": {"grid": 2, "supervise": "corrupted"},
        "drloc": {"pairs": 4},
    }
    (mixed, _), (plain, _) = (take(options, labelled_batch(), mixup=part) for part in (0.5, 0.0))
    assert mixed == plain


@pytest.mark.parametrize("seed", [1, 2, 5])
@pytest.mark.parametrize("supervise", ["intact", "both"])
def test_mixup_joins_two_pictures_and_their_losses(supervise: str, seed: int) -> None:
    """Those of the intact view alone."""
    batch = labelled_batch()
    options = {"expression": {"dropout": 0.0}, "puzzle": {"grid": 2, "supervise": supervise}}
    model, tasks = tiny_model(options)
    step = HybridStep(model.eval(), tasks, mixup=1.0)
    images = batch.images.float() / 255
    _, figures = step(images, batch, Generator().manual_seed(seed))
    random = np.random.default_rng(seed)
    share = max(part := random.beta(1.0, 1.0), 1 - part)
    generator = Generator().manual_seed(seed)
    _, views = make_views(tasks, images, batch, generator)
    other = torch.randperm(6, generator=generator)
    logits = model(share * images + (1 - share) * images[other])["expression"]
    labels = batch.labels["expression"]
    expected = share * torch.nn.functional.cross_entropy(logits, labels)
    expected = expected + (1 - share) * torch.nn.functional.cross_entropy(logits, labels[other])
    if supervise == "both":
        dealt = views["puzzle"].images
        assert dealt is not None
        plain = torch.nn.functional.cross_entropy(model(dealt)["expression"], labels)
        expected = (expected + plain) / 2
    torch.testing.assert_close(figures["expression/loss"], expected.detach())


@pytest.mark.parametrize("saved", [True, False])
def test_a_loss_that_is_no_number_stops_the_run(
    drawn_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: bool
) -> None:
    """The step and the task are named, and nothing of it is kept."""
    real = HybridModule.training_step
    bad = 6 if saved else 2

    def broken(self: HybridModule, *arguments: Any) -> Tensor:
        loss = real(self, *arguments)
        if self.global_step + 1 >= bad:
            self.last_figures["puzzle/loss"] = torch.tensor(float("nan"))
            self.last_figures["loss"] = torch.tensor(float("nan"))
        return loss

    monkeypatch.setattr(HybridModule, "training_step", broken)
    checkpoint = r"checkpoint is \S+, of step 4" if saved else "no checkpoint"
    with pytest.raises(HybridFaceError, match=rf"task 'puzzle' .* step {bad},.*{checkpoint}"):
        train(tiny_recipe(tmp_path / "run"))
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == int(saved)
