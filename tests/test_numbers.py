"""Poses and other numbers from the command line to the page, on drawn faces."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from hybridface import FaceModel, build_recipe
from hybridface.augment import Geometry
from hybridface.cli import main
from hybridface.config import AugmentConfig, Recipe
from hybridface.data.batches import Batch
from hybridface.data.prepare import prepare_data
from hybridface.data.sources import open_source
from hybridface.errors import UsageError
from hybridface.network.model import HybridStep
from hybridface.rotations import difference
from hybridface.tasks import resolve_tasks
from hybridface.training.refusals import refuse_early, refuse_lost_labels
from hybridface.training.runs import load_model
from hybridface.training.train import train
from joint_steps import Plain
from tiny_runs import CONTENT, metrics_of

Call = Callable[..., str]
ANGLES = ("mae_yaw", "mae_pitch", "mae_roll")


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs the command line and gives what it printed."""

    def run(*arguments: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", ["hybridface", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capfd.readouterr()
        assert left.value.code in (0, None), err
        return out

    return run


@pytest.mark.usefixtures("hybridface_cache")
def test_train_evaluate_compare_report_and_predict(
    tmp_path: Path, call: Call, write_picture: Callable[..., Path]
) -> None:
    recipe = tmp_path / "pose.yaml"
    content = {**CONTENT, "run": str(tmp_path / "pose"), "augment": {"level": "weak"}}
    content["tasks"] = {"pose": {}, "expression": {}, "puzzle": {"grid": 2, "weight": 0.1}}
    content["training"] = {**CONTENT["training"], "epochs": 2}
    recipe.write_text(json.dumps(content))  # JSON is YAML
    run = tmp_path / "pose"

    said = call("train", recipe, "--quiet")
    assert re.search(r"test: mean absolute error [0-9.]+ .95 % ", said)
    lines = metrics_of(run)
    assert {"mae", *ANGLES, "geodesic", "expression/accuracy"} <= set(lines[-1]["val"])
    assert {"pose/loss", "pose/mae", "expression/loss", "puzzle/loss"} <= set(lines[-1]["train"])
    result = json.loads((run / "result.json").read_text())
    best = min(lines, key=lambda line: line["val"]["mae"])
    assert result["best_epoch"] == best["epoch"]
    assert result["val"]["mae"]["value"] == pytest.approx(best["val"]["mae"], rel=1e-3)
    assert "select: mae" in (run / "config.yaml").read_text()
    page = (run / "report.html").read_text()
    assert "Errors by pose" in page
    assert "Mean absolute error" in page

    data = "drawn:120?seed=1&pixels=32"
    kept = tmp_path / "kept.npz"
    found = json.loads(call("evaluate", run, "--data", data, "--json", "--out", kept))
    task = found["tasks"]["pose"]
    assert set(found["tasks"]) == {"pose", "expression"}
    rows = open_source(data).read()
    inside = np.flatnonzero(rows.split == "test")
    pictures = open_source(data).decode(rows, inside.tolist())
    said_of = FaceModel.load(run).predict(pictures)["pose"]
    away = np.abs(difference(said_of, rows.numeric["pose"].values[inside]))
    assert task["mae"]["value"] == pytest.approx(away.mean(), rel=1e-4)
    assert task["count"] == len(inside)
    low, high = task["mae"]["ci95"]
    assert low < task["mae"]["value"] < high
    text = call("evaluate", run, "--data", data)
    assert "angle between rotations" in text
    assert "0 to 30" in text

    same = call("compare", run, run)
    assert "+0.00" in same
    both = json.loads(call("compare", run, run, "--data", data, "--json"))["tasks"]
    assert both["pose"]["difference"]["mae"] == {"value": 0, "ci95": [0, 0]}
    assert both["pose"]["a"]["mae"]["value"] == pytest.approx(task["mae"]["value"])
    assert "mcnemar" in both["expression"]
    assert json.loads(call("compare", kept, kept, "--json"))["tasks"]["pose"]["count"]

    picture = write_picture(tmp_path / "faces" / "one.png")
    for form in ((), ("--json",), ("--csv",)):
        assert "one.png" in call("predict", picture, "--no-detect", "--model", run, *form)
    tasks = load_model(run)[1]
    assert [each.name for each in tasks] == ["pose", "expression", "puzzle"]


def resolved(tasks: dict[str, object], **training: object) -> Recipe:
    return resolve_tasks(
        build_recipe({"data": {"source": "drawn:40"}, "tasks": tasks, "training": training})
    )[0]


def test_the_first_task_decides_what_selects() -> None:
    assert resolved({"expression": {}, "pose": {}}).training.select == "accuracy"
    assert resolved({"puzzle": {}, "pose": {}, "expression": {}}).training.select == "mae"
    assert resolved({"age": {}}, select="nll").training.select == "nll"
    assert resolved({"pose": {}}, select="geodesic").training.select == "geodesic"
    with pytest.raises(UsageError, match=r"'pose'.* has no accuracy; take mae or geodesic"):
        resolved({"pose": {}}, select="accuracy")
    with pytest.raises(UsageError, match=r"'expression'.* has no mae"):
        resolved({"expression": {}, "pose": {}}, select="mae")


def test_a_task_of_the_users_own_says_what_selects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the run is gone on with, or handed to other processes, by its resolved recipe."""
    monkeypatch.setattr(Plain, "selects", {"f1": True})
    tasks: dict[str, object] = {"plain": {"type": "joint_steps:Plain"}}
    recipe = resolved(tasks)
    assert recipe.training.select == "f1"
    assert resolve_tasks(build_recipe(yaml.safe_load(recipe.to_yaml())))[0] == recipe
    with pytest.raises(UsageError, match=r"'plain'.* has no accuracy; take f1"):
        resolved(tasks, select="accuracy")


def test_classes_are_not_balanced_where_there_are_none() -> None:
    recipe = build_recipe(
        {
            "data": {"source": "drawn:40"},
            "tasks": {"pose": {}},
            "training": {"sampling": "balanced"},
        }
    )
    recipe, tasks = resolve_tasks(recipe)
    with pytest.raises(UsageError, match=r"training.sampling: task 'pose'.* has no classes"):
        refuse_early(recipe, tasks)


def test_turns_that_leave_no_label_are_refused() -> None:
    recipe, (task,) = resolve_tasks(
        build_recipe({"data": {"source": "drawn:40"}, "tasks": {"pose": {}}})
    )
    yaw_alone = torch.tensor([[10.0, math.nan, math.nan]] * 3)
    with pytest.raises(UsageError, match=r"augment.level: strong turns pictures.*level: none"):
        refuse_lost_labels(recipe, task, yaw_alone)
    arrows = yaw_alone.clone()
    arrows[1, 1] = 5.0
    refuse_lost_labels(recipe, task, arrows)
    still = recipe.model_copy(update={"augment": AugmentConfig(level="none")})
    refuse_lost_labels(still, task, yaw_alone)


@pytest.mark.usefixtures("hybridface_cache")
def test_age_and_gender_by_groups_of_people(
    tmp_path: Path, call: Call, write_picture: Callable[..., Path]
) -> None:
    for number in range(60):
        name = f"{5 + number}_{number % 2}_{number % 3}_2017{number:04d}.jpg"
        write_picture(tmp_path / "UTKFace" / name, number, 32)
    data = f"utkface:{tmp_path}"
    content = {**CONTENT, "run": str(tmp_path / "run"), "tasks": {"age": {}, "gender": {}}}
    content["data"] = {"source": data, "size": 32, "folds": {"count": 4}}
    content["training"] = {**CONTENT["training"], "epochs": 1}
    (tmp_path / "age.yaml").write_text(json.dumps(content))
    call("train", tmp_path / "age.yaml", "--quiet")
    val = metrics_of(tmp_path / "run")[-1]["val"]
    assert {"mae", "nll", "gender/accuracy"} <= set(val)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["val"]["mae"]["value"] == pytest.approx(val["mae"], rel=1e-3)
    assert 0 <= result["test"]["coverage"]["value"] <= 1
    found = json.loads(call("evaluate", tmp_path / "run", "--data", data, "--json"))["tasks"]
    age, gender = found["age"], found["gender"]
    assert (age["unit"], age["count"], gender["count"]) == ("years", 60, 60)
    assert list(age["by_group"]) == ["gender", "ethnicity", "age"]
    assert list(gender["by_group"]) == ["ethnicity", "age"]
    assert list(gender["by_group"]["ethnicity"]) == ["white", "black", "asian"]
    bands = age["by_group"]["age"]
    assert list(bands)[:2] == ["0 to 9", "10 to 19"]
    counts = [each["count"] for each in bands.values()]
    assert counts == [5, 10, 10, 10, 10, 10, 5]
    weighted = sum(each["mae"]["value"] * each["count"] for each in bands.values()) / 60
    assert weighted == pytest.approx(age["mae"]["value"])
    right = [
        each["accuracy"]["value"] * each["count"] for each in gender["by_group"]["age"].values()
    ]
    assert sum(right) / 60 == pytest.approx(gender["accuracy"]["value"])
    text = call("evaluate", tmp_path / "run", "--data", data)
    assert "within 1.96 deviations" in text
    assert "10 to 19" in text


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.usefixtures("hybridface_cache")
def test_real_poses(tmp_path: Path, call: Call, shared_data: Callable[[str, str], Path]) -> None:
    """A few epochs on AFLW2000 are better than always saying the mean pose of the training rows."""
    data = f"aflw2000:{shared_data('aflw2000.zip', 'AFLW2000')}"
    content = {**CONTENT, "run": str(tmp_path / "run"), "tasks": {"pose": {}}}
    content["data"] = {"source": data, "size": 32, "folds": {"count": 5}}
    content["augment"] = {"level": "weak"}
    content["training"] = {**CONTENT["training"], "epochs": 8, "learning_rate": 3e-3}
    (tmp_path / "pose.yaml").write_text(json.dumps(content))
    call("train", tmp_path / "pose.yaml", "--quiet")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    with np.load(tmp_path / "run" / "predictions.npz") as kept:
        truth = kept["test_labels"]
    report = json.loads((tmp_path / "run" / "data.json").read_text())["numbers"]["pose"]
    dull = np.abs(truth - np.array(report["train"]["mean"])).mean()
    assert result["test"]["mae"]["value"] < 0.9 * dull
    assert list(result["test"]["by_yaw"]) == ["0 to 30", "30 to 60", "60 to 99"]


@pytest.mark.usefixtures("hybridface_cache")
def test_training_learns_labels_that_follow_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    step = HybridStep.forward

    def flip_all(images: torch.Tensor, *_: object) -> tuple[torch.Tensor, Geometry]:
        count = len(images)
        done = Geometry(torch.zeros(count), torch.ones(count, dtype=torch.bool))
        return images.float().div(255).flip(-1), done

    def record(self: HybridStep, images: torch.Tensor, batch: Batch, *others: object) -> object:
        seen.append((images.clone(), batch.numeric["pose"].clone()))
        return step(self, images, batch, *others)  # type: ignore[arg-type]

    monkeypatch.setattr("hybridface.training.module.augment_and_tell", flip_all)
    monkeypatch.setattr(HybridStep, "forward", record)
    content = {**CONTENT, "run": str(tmp_path / "run"), "tasks": {"pose": {}}}
    content["training"] = {**CONTENT["training"], "epochs": 1}
    recipe = build_recipe(content)
    train(recipe)
    data = prepare_data(recipe.data, ["pose"], recipe.seed)
    pictures = np.asarray(data.images[data.splits["train"]])
    row_of = {picture.tobytes(): row for row, picture in enumerate(pictures)}
    poses = torch.from_numpy(data.numeric["pose"].values[data.splits["train"]])
    assert seen
    for images, labels in seen:
        upright = (images.flip(-1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        rows = [row_of[each.numpy().tobytes()] for each in upright]
        torch.testing.assert_close(labels, poses[rows] * torch.tensor([-1.0, 1.0, -1.0]))
