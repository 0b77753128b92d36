"""Two stages: a backbone that learns without labels first, in one run or from another one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hybridface.config import Recipe
from hybridface.data.batches import Batch
from hybridface.data.prepare import prepare_data
from hybridface.errors import DataError, HybridFaceError, UsageError
from hybridface.report.run import write_run_report
from hybridface.tasks import build_tasks, resolve_tasks
from hybridface.training.module import HybridModule
from hybridface.training.pretraining import first_stage, load_backbone
from hybridface.training.refusals import refuse_early
from hybridface.training.runs import load_model
from hybridface.training.train import TrainedRun, train
from tiny_runs import BACKBONE, same_weights, tiny_recipe

pytestmark = pytest.mark.usefixtures("drawn_cache")

ALONE: dict[str, Any] = {"puzzle": None, "inpaint": None}
PRETRAIN: dict[str, Any] = {
    "data": {"fraction": 0.5},
    "tasks": ALONE,
    "training": {"epochs": 2, "learning_rate": 1e-12, "weight_decay": 0, "ema": None},
    "pretrain": {"epochs": 3, "tasks": {"puzzle": {"grid": 2}}, "learning_rate": 1e-3},
}


@pytest.fixture(scope="module")
def without_export() -> Iterator[None]:
    """Leave out the export, which takes longer than these trainings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hybridface.training.finish.export_onnx", lambda *_, **__: 0.0)
        yield


@pytest.fixture(scope="module")
def seen() -> list[tuple[str, set[bytes]]]:
    """Which pictures each batch of the two stages held, with the tasks that saw them."""
    return []


@pytest.fixture(scope="module")
def two_stages(
    without_export: None,
    seen: list[tuple[str, set[bytes]]],
    drawn_pictures: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> TrainedRun:
    go = HybridModule.training_step

    def training_step(self: HybridModule, batch: Batch, number: int) -> Any:
        names = " ".join(task.name for task in self.tasks)
        seen.append((names, set(map(digest, batch.images))))
        return go(self, batch, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDFACE_CACHE", str(drawn_pictures))
        patch.setattr(HybridModule, "training_step", training_step)
        return train(tiny_recipe(tmp_path_factory.mktemp("stages") / "run", **PRETRAIN))


@pytest.fixture(scope="module")
def self_supervised(
    without_export: None, drawn_pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> TrainedRun:
    tasks = {"expression": None, "puzzle": {"grid": 2}}
    recipe = tiny_recipe(
        tmp_path_factory.mktemp("alone") / "run", tasks=tasks, training={"epochs": 1}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDFACE_CACHE", str(drawn_pictures))
        return train(recipe)


def digest(image: torch.Tensor) -> bytes:
    return hashlib.sha256(image.contiguous().numpy().tobytes()).digest()


def backbone_of(file: Path) -> dict[str, torch.Tensor]:
    return {name: v for name, v in load_file(file).items() if name.startswith("backbone.")}


def test_the_second_stage_starts_from_the_first(two_stages: TrainedRun) -> None:
    first = backbone_of(two_stages.folder / "pretrain" / "last.safetensors")
    last = backbone_of(two_stages.folder / "last.safetensors")
    learned = [name for name in first if "running" not in name and "tracked" not in name]
    for name in learned:  # at a learning rate of nearly nothing it stays what it was
        torch.testing.assert_close(last[name], first[name], atol=1e-6, rtol=0)
    assert not any(
        name.startswith("heads.puzzle")
        for name in load_file(two_stages.folder / "last.safetensors")
    )


def test_the_first_stage_sees_the_training_split_of_the_second_and_no_labels(
    two_stages: TrainedRun, seen: list[tuple[str, set[bytes]]]
) -> None:
    recipe = tiny_recipe(two_stages.folder, **PRETRAIN)
    data = prepare_data(recipe.data, ["expression"], recipe.seed)
    pictures = {
        split: {
            hashlib.sha256(data.images[rows[[n]]][0].transpose(2, 0, 1).tobytes()).digest()
            for n in range(len(rows))
        }
        for split, rows in data.splits.items()
    }
    for names in ("puzzle", "expression"):
        shown = set[bytes]().union(*(images for tasks, images in seen if tasks == names))
        assert shown and shown <= pictures["train"]
        assert not shown & (pictures["val"] | pictures["test"])
    assert {tasks for tasks, _ in seen} == {"puzzle", "expression"}


def test_the_result_counts_both_stages(two_stages: TrainedRun) -> None:
    first = json.loads((two_stages.folder / "pretrain" / "result.json").read_text())
    result = two_stages.result
    steps = first["steps"] // 3
    assert (first["epochs"], result["epochs"]) == (3, 5)
    assert (first["steps"], result["steps"]) == (3 * steps, 5 * steps)
    assert result["pictures"] == 5 * steps * 16  # each stage shows a picture once
    assert result["seconds"] > first["seconds"] > 0
    assert result["pretrain"]["steps"] == first["steps"]
    assert result["test"] is not None and first["test"] is None
    lines = (two_stages.folder / "pretrain" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 3
    assert all("puzzle/slot_accuracy" in json.loads(line)["train"] for line in lines)


def test_a_run_without_labels_gives_weights_and_no_model(self_supervised: TrainedRun) -> None:
    folder = self_supervised.folder
    assert not (folder / "model.onnx").exists() and not (folder / "predictions.npz").exists()
    assert same_weights(folder / "best.safetensors", folder / "last.safetensors")
    assert self_supervised.result["val"] is self_supervised.result["label"] is None
    assert [task.name for task in load_model(folder)[1]] == ["puzzle", "inpaint"]
    page = write_run_report(folder).read_text()
    assert "Self-supervised tasks alone" in page


@pytest.mark.parametrize("what", ["", "last.safetensors"])
def test_a_run_starts_from_the_backbone_of_another(
    what: str, self_supervised: TrainedRun, without_export: None, tmp_path: Path
) -> None:
    backbone = {"checkpoint": str(self_supervised.folder / what)}
    training = PRETRAIN["training"] | {"epochs": 1}
    run = train(tiny_recipe(tmp_path / "run", tasks=ALONE, backbone=backbone, training=training))
    first = backbone_of(self_supervised.folder / "last.safetensors")
    last = backbone_of(run.folder / "last.safetensors")
    name = next(name for name in first if name.endswith("conv_stem.weight"))
    torch.testing.assert_close(last[name], first[name], atol=1e-6, rtol=0)


def written(place: Path, what: str) -> Path:
    """Write what is no backbone to start from."""
    if what == "pickle":
        torch.save({"state_dict": {}}, place / "checkpoint.ckpt")
        return place / "checkpoint.ckpt"
    if what == "no backbone":
        save_file({"features.0.weight": torch.zeros(2)}, place / "other.safetensors")
        return place / "other.safetensors"
    return place / what


@pytest.mark.parametrize(
    ("what", "kind", "said"),
    [
        ("nothing.safetensors", UsageError, "there is no such file"),
        (".", UsageError, "a run without best.safetensors"),
        ("pickle", DataError, r"not a whole safetensors file .*\.ckpt\) and other pickles"),
        ("no backbone", UsageError, "holds no backbone of hybridface"),
    ],
)
def test_what_is_no_backbone_is_refused(
    what: str, kind: type[HybridFaceError], said: str, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    backbone = {"checkpoint": str(written(tmp_path / "there", what))}
    with pytest.raises(kind, match=said):
        train(tiny_recipe(tmp_path / "run", tasks=ALONE, backbone=backbone))


def test_a_training_starts_from_weights_as_timm_has_them(tmp_path: Path) -> None:
    """As they lie at the hub, with a classifier, which is left out."""
    import timm

    from hybridface.config import BackboneConfig
    from hybridface.network.backbones import Backbone

    theirs = timm.create_model(BACKBONE, num_classes=10).state_dict()
    assert {name for name in theirs if name.startswith("classifier.")}
    save_file(theirs, tmp_path / "model.safetensors")
    backbone = Backbone(BackboneConfig(name=BACKBONE), with_maps=False)
    load_backbone(backbone, tmp_path / "model.safetensors", [])
    ours = backbone.network.state_dict()
    assert ours.keys() < theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_another_network_is_refused(self_supervised: TrainedRun) -> None:
    from hybridface.config import BackboneConfig
    from hybridface.network.backbones import Backbone

    backbone = Backbone(BackboneConfig(name="test_resnet"), with_maps=False)
    with pytest.raises(UsageError, match=r"another network than backbone.name test_resnet: \d+ of"):
        load_backbone(backbone, self_supervised.folder / "best.safetensors", [])


def test_a_network_made_for_another_size_is_refused(tmp_path: Path) -> None:
    from hybridface.config import BackboneConfig
    from hybridface.network.backbones import Backbone

    made = [Backbone(BackboneConfig(name="test_vit"), with_maps=False, size=s) for s in (32, 48)]
    weights = {f"backbone.{name}": value for name, value in made[0].state_dict().items()}
    save_file(weights, tmp_path / "best.safetensors")
    with pytest.raises(UsageError, match=r"1 of .*pos_embed; .*made for one size.*, data\.size"):
        load_backbone(made[1], tmp_path / "best.safetensors", [])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pretrain": {"tasks": {"expression": {}}}}, r"pretrain\.tasks\.expression: it learns"),
        ({"pretrain": {}, "tasks": ALONE}, "none of the recipe's tasks is self-supervised"),
        ({"pretrain": {}, "training": {"devices": 2}}, "cannot be trained by several processes"),
        ({"pretrain": {"tasks": {"puzzle": {"grid": 3}}}}, "needs a size divisible by 3"),
        ({"pretrain": {"epoch": 3}}, "did you mean 'pretrain.epochs'"),
        ({"pretrain": {"tasks": {"puzle": {}}}}, "did you mean 'puzzle'"),
    ],
)
def test_first_stages_that_cannot_be_are_refused(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        recipe, tasks = resolve_tasks(tiny_recipe(tmp_path / "run", **changes))
        refuse_early(recipe, tasks)


def test_what_does_not_fit_the_second_stage_is_said_before_the_first(tmp_path: Path) -> None:
    tasks = {"expression": {"label": "pose"}, "inpaint": None}
    recipe = tiny_recipe(tmp_path / "run", tasks=tasks, pretrain={"epochs": 1})
    with pytest.raises(UsageError, match="label column 'pose' holds numbers"):
        train(recipe)
    assert not (tmp_path / "run").exists()


def test_the_first_stage_has_the_recipes_own_tasks_unless_told_others(tmp_path: Path) -> None:
    def stage(**pretrain: Any) -> Recipe:
        recipe, _ = resolve_tasks(tiny_recipe(tmp_path, seed=3, pretrain=pretrain))
        first = first_stage(recipe)
        assert first is not None and first.seed == 3 and first.data == recipe.data
        return first

    assert [*stage().tasks] == ["puzzle", "inpaint"]
    assert [*stage(tasks={"rotation": {}}).tasks] == ["rotation"]
    assert stage(epochs=7).training.epochs == 7
    assert not any(task.supervised for task in build_tasks(stage().tasks))
    assert first_stage(tiny_recipe(tmp_path)) is None
