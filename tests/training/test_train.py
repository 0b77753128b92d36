from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hybridface.augment import Geometry
from hybridface.data.batches import Batch
from hybridface.errors import DataError, HybridFaceError, UsageError
from hybridface.tasks.figures import classification_figures
from hybridface.training.module import HybridModule, step_seed
from hybridface.training.runs import LOCK, RunFolder
from hybridface.training.train import TrainedRun, train
from tiny_runs import (
    BACKBONE,
    CLASSES,
    CONTENT,
    labelled_batch,
    same_weights,
    tiny_model,
    tiny_recipe,
)

pytestmark = pytest.mark.usefixtures("drawn_cache")

EPOCHS = CONTENT["training"]["epochs"]
FILES = {
    "best.safetensors", "config.json", "config.yaml", "data.json", "environment.json",
    "last.safetensors", "metrics.jsonl", "model.onnx", "predictions.npz", "result.json",
    "samples.npz", "tensorboard",
}  # fmt: skip


def test_a_run_leaves_its_files_and_no_others(tiny_run: TrainedRun) -> None:
    assert {path.name for path in tiny_run.folder.iterdir()} - {LOCK} == FILES
    recipe = yaml.safe_load((tiny_run.folder / "config.yaml").read_text())
    assert recipe["training"]["warmup"] == 0.1  # defaults are filled in


def test_the_result_says_what_there_is_to_say(tiny_run: TrainedRun) -> None:
    result = json.loads((tiny_run.folder / "result.json").read_text())
    assert result == tiny_run.result
    assert result["epochs"] == EPOCHS
    assert result["steps"] == EPOCHS * 4
    assert result["seconds"] > 0
    assert result["label"] == "expression"
    assert len(result["classes"]) == 7
    data = json.loads((tiny_run.folder / "data.json").read_text())
    assert result["train_rows"] == data["rows"]["train"]
    for split in ("val", "test", "val_last", "test_last"):
        assert result[split]["count"] == data["rows"][split.partition("_")[0]]
        for name in ("accuracy", "mean_class_accuracy", "macro_f1", "ece", "nll"):
            assert result[split][name]["value"] >= 0


def test_metrics_have_a_line_an_epoch(tiny_run: TrainedRun) -> None:
    lines = [json.loads(x) for x in (tiny_run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, EPOCHS + 1))
    assert [line["step"] for line in lines] == [4 * epoch for epoch in range(1, EPOCHS + 1)]
    train_keys = {
        "loss", "expression/loss", "expression/accuracy", "puzzle/loss", "puzzle/slot_accuracy",
        "inpaint/loss", "inpaint/hole_psnr", "inpaint/mean_fill_psnr",
    }  # fmt: skip
    for line in lines:
        assert set(line["train"]) == train_keys
        assert set(line["val"]) == {"accuracy", "mean_class_accuracy", "nll"}
        parts = sum(line["train"][f"{task}/loss"] for task in ("expression", "puzzle", "inpaint"))
        assert line["train"]["loss"] == pytest.approx(parts, rel=1e-5)
    best = max(lines, key=lambda line: line["val"]["accuracy"])
    assert tiny_run.result["best_epoch"] == best["epoch"]
    assert tiny_run.result["val"]["accuracy"]["value"] == pytest.approx(best["val"]["accuracy"])
    last = lines[-1]["val"]
    assert tiny_run.result["val_last"]["accuracy"]["value"] == pytest.approx(last["accuracy"])
    assert tiny_run.result["val_last"]["nll"]["value"] == pytest.approx(last["nll"], rel=1e-4)
    assert lines[-1]["lr"] == pytest.approx(1e-5)


def test_tensorboard_has_the_same_figures(tiny_run: TrainedRun) -> None:
    events = EventAccumulator(str(tiny_run.folder / "tensorboard")).Reload()
    assert {"train/loss", "val/accuracy", "train/puzzle/slot_accuracy"} <= set(
        events.Tags()["scalars"]
    )
    assert len(events.Scalars("val/accuracy")) == EPOCHS


def test_tensorboard_shows_the_tasks_at_work(tiny_run: TrainedRun) -> None:
    events = EventAccumulator(str(tiny_run.folder / "tensorboard"), {"images": 0}).Reload()
    tags = set(events.Tags()["images"])
    with np.load(tiny_run.folder / "samples.npz") as samples:
        assert tags == set(samples.files)
    steps = {event.step for event in events.Images(events.Tags()["images"][0])}
    assert steps == {4 * epoch for epoch in range(1, EPOCHS + 1)}


def test_predictions_and_samples(tiny_run: TrainedRun) -> None:
    with np.load(tiny_run.folder / "predictions.npz", allow_pickle=False) as kept:
        arrays = dict(kept)
    for split in ("val", "test"):
        for suffix in ("", "_last"):
            probabilities = arrays[f"{split}_probabilities{suffix}"]
            np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
            right = (probabilities.argmax(1) == arrays[f"{split}_labels"]).mean()
            said = tiny_run.result[split + suffix]["accuracy"]["value"]
            assert said == pytest.approx(right)
        assert len(arrays[f"{split}_rows"]) == len(arrays[f"{split}_labels"])
    with np.load(tiny_run.folder / "samples.npz", allow_pickle=False) as samples:
        shown = {
            f"{task}/{what}"
            for task in ("puzzle", "inpaint")
            for what in ("intact", "dealt", "answered")
        }
        assert set(samples) == shown
        for pictures in samples.values():
            assert pictures.shape == (6, 32, 32, 3)
            assert pictures.dtype == np.uint8
        assert not np.array_equal(samples["puzzle/intact"], samples["puzzle/dealt"])


@pytest.mark.usefixtures("quick_end")
def test_the_same_seed_gives_the_same_weights(tiny_run: TrainedRun, tmp_path: Path) -> None:
    again = train(tiny_recipe(tmp_path / "again"))
    other = train(tiny_recipe(tmp_path / "other", seed=1))
    for which in ("best.safetensors", "last.safetensors"):
        assert same_weights(tiny_run.folder / which, again.folder / which)
        assert not same_weights(tiny_run.folder / which, other.folder / which)


@pytest.mark.parametrize("batch_norm", ["joined", "reestimated"])
@pytest.mark.usefixtures("quick_end")
def test_batch_norm_modes_train(batch_norm: str, tiny_run: TrainedRun, tmp_path: Path) -> None:
    run = train(tiny_recipe(tmp_path / "run", training={"batch_norm": batch_norm, "epochs": 2}))
    assert run.result["best_epoch"] in (1, 2)
    line = json.loads((run.folder / "metrics.jsonl").read_text().splitlines()[-1])
    # What is kept is what was validated, re-estimated statistics included.
    assert run.result["val_last"]["nll"]["value"] == pytest.approx(line["val"]["nll"], rel=1e-5)


@pytest.mark.usefixtures("quick_end")
def test_selection_by_loss(tmp_path: Path) -> None:
    run = train(tiny_recipe(tmp_path / "run", training={"select": "nll", "learning_rate": 0.03}))
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    best = min(lines, key=lambda line: line["val"]["nll"])
    assert run.result["best_epoch"] == best["epoch"]
    assert run.result["val"]["nll"]["value"] == pytest.approx(best["val"]["nll"], rel=1e-4)


@pytest.mark.usefixtures("quick_end")
def test_the_last_epoch_is_validated_whatever_the_rhythm(tmp_path: Path) -> None:
    run = train(tiny_recipe(tmp_path / "run", training={"validate_every": 3, "epochs": 5}))
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [3, 5]


class Follower:
    """Trains a module step by step by hand, as Lightning would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **training: Any) -> None:
        recipe = tiny_recipe(Path("none"), training=training)
        model, tasks = tiny_model({"expression": {}, "puzzle": {"grid": 2}}, drop_path=0.2)
        self.module = HybridModule(recipe, model, tasks, 5, lambda: [])  # type: ignore[arg-type, return-value]
        self.steps = 0
        monkeypatch.setattr(HybridModule, "global_step", property(lambda _: self.steps))
        monkeypatch.setattr(HybridModule, "global_rank", property(lambda _: 0))
        self.optimizer = self.module.configure_optimizers()["optimizer"]

    def step(self, batch: Batch) -> None:
        loss = self.module.training_step(batch, 0)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.steps += 1
        self.module.on_train_batch_end(None, batch, 0)


def test_the_average_is_of_weights_and_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Follower(monkeypatch, ema=0.9)
    module = follower.module
    assert module.ema is not None
    mine = {name: value.clone() for name, value in module.model.state_dict().items()}
    for step in range(1, 8):
        follower.step(labelled_batch(8, seed=step))
        decay = min(0.9, 1 - step ** (-2 / 3))  # as timm warms it up
        for name, value in module.model.state_dict().items():
            if value.is_floating_point():
                mine[name] = decay * mine[name] + (1 - decay) * value
            else:
                mine[name] = value.clone()
    theirs = module.ema.module.state_dict()
    assert {name for name in theirs if "running_mean" in name}
    for name, value in mine.items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-4, atol=1e-6)
    assert module.evaluated_model() is module.ema.module


def test_without_an_average_training_goes_on_in_training_mode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    follower = Follower(monkeypatch, ema=None)
    assert follower.module.evaluated_model() is follower.module.model
    assert follower.module.model.training


def test_norms_and_biases_are_not_decayed(monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Follower(monkeypatch, weight_decay=0.3)
    decayed = {
        id(p)
        for g in follower.optimizer.param_groups
        if g["weight_decay"] == 0.3
        for p in g["params"]
    }
    parameters = dict(follower.module.model.named_parameters())
    assert {name for name, p in parameters.items() if id(p) in decayed} == {
        name for name, p in parameters.items() if p.ndim > 1
    }
    assert sum(len(group["params"]) for group in follower.optimizer.param_groups) == len(parameters)


def test_what_timm_lets_not_decay_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Follower(monkeypatch, weight_decay=0.3).module
    named = dict(module.model.backbone.named_parameters())
    kept = next(name for name, value in named.items() if value.ndim > 1)
    monkeypatch.setattr(module.model.backbone, "without_weight_decay", lambda: {kept})
    groups = module.configure_optimizers()["optimizer"].param_groups
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert {name for name, value in named.items() if decays[id(value)] == 0} == {
        name for name, value in named.items() if value.ndim <= 1 or name == kept
    }


def test_the_schedule_warms_up_and_falls_as_a_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Follower(monkeypatch, warmup=0.2, final_learning_rate=0.1, learning_rate=1.0)
    schedule = follower.module.configure_optimizers()["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(21):
        rates.append(schedule.get_last_lr()[0])
        schedule.optimizer.step()
        schedule.step()
    np.testing.assert_allclose(rates[:5], [0.25, 0.5, 0.75, 1.0, 1.0])
    middle = 4 + 16 // 2
    assert rates[middle] == pytest.approx(0.55)
    assert rates[20] == pytest.approx(0.1)
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_the_warm_up_is_a_part_of_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Follower(monkeypatch, warmup=0.25, epochs=8, learning_rate=1.0).module
    assert module.total_steps == 40
    (factor, *_) = module.configure_optimizers()["lr_scheduler"]["scheduler"].lr_lambdas
    assert [factor(step) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1])


def test_the_balance_of_the_losses_is_learned_and_not_decayed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    follower = Follower(monkeypatch, loss_balance="uncertainty", weight_decay=0.3)
    learned = follower.module.step.balance.log_variances
    decays = {
        id(p): g["weight_decay"] for g in follower.optimizer.param_groups for p in g["params"]
    }
    assert [decays[id(each)] for each in learned.values()] == [0, 0]
    follower.step(labelled_batch(8))
    assert all(each.item() != 0 for each in learned.values())


def test_step_seeds_never_meet() -> None:
    seeds = {step_seed(s, r, n) for s in range(10) for r in range(4) for n in range(250)}
    assert len(seeds) == 10_000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_validation_figures_by_hand() -> None:
    logits = torch.tensor([[2.0, 0, 0], [0, 2.0, 0], [0, 2.0, 0], [2.0, 0, 0], [0, 0, 2.0]])
    labels = torch.tensor([0, 0, 1, 0, -1])
    figures = classification_figures(logits, labels)
    assert figures["accuracy"].item() == pytest.approx(3 / 4)
    assert figures["mean_class_accuracy"].item() == pytest.approx((2 / 3 + 1) / 2)
    right, wrong = -np.log(np.exp(2) / (np.exp(2) + 2)), -np.log(1 / (np.exp(2) + 2))
    assert figures["nll"].item() == pytest.approx((3 * right + wrong) / 4)


def test_ten_lines_of_python(tmp_path: Path, drawn_cache: Path) -> None:
    from hybridface import FaceModel, build_recipe, evaluate, train

    recipe = build_recipe(
        {
            "run": str(tmp_path / "run"),
            "data": {"source": "drawn:120?pixels=32", "size": 32},
            "backbone": {"name": BACKBONE},
            "tasks": {"expression": {}, "puzzle": {"grid": 2, "weight": 0.1}},
            "training": {"epochs": 1, "batch_size": 16, "device": "cpu", "threads": 1},
        }
    )
    run = train(recipe)
    figures = evaluate(run.folder, "drawn:40?seed=1&pixels=32")["tasks"]["expression"]
    probabilities = FaceModel.load(run.folder)(np.zeros((1, 3, 32, 32), np.float32))["expression"]
    assert 0 <= figures["accuracy"]["value"] <= 1
    assert probabilities.shape == (1, 7)


@pytest.mark.usefixtures("quick_end")
def test_without_a_test_split_there_is_no_test_figure(tmp_path: Path, write_picture: Any) -> None:
    for number in range(40):
        write_picture(tmp_path / "faces" / CLASSES[number % 3] / f"{number}.png", number)
    changes = {"data": {"source": f"folder:{tmp_path / 'faces'}"}, "training": {"epochs": 1}}
    run = train(tiny_recipe(tmp_path / "run", **changes))
    assert run.result["test"] is None
    assert run.result["val"]["count"] > 0
    assert run.result["classes"] == list(CLASSES)


def test_nothing_is_written_for_a_recipe_that_cannot_be(tmp_path: Path) -> None:
    for changes, error in (
        ({"data": {"size": 33}}, UsageError),
        ({"data": {"source": f"folder:{tmp_path / 'none'}"}}, DataError),
        ({"backbone": {"name": "no_such"}}, UsageError),
    ):
        with pytest.raises(error):
            train(tiny_recipe(tmp_path / "run", **changes))
        assert not (tmp_path / "run").exists()


def test_nothing_is_left_in_a_folder_that_is_refused(tmp_path: Path, tiny_run: TrainedRun) -> None:
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "1.png").touch()
    (tmp_path / "copy").mkdir()
    shutil.copy(tiny_run.folder / "config.yaml", tmp_path / "copy")
    for folder, said in (("faces", "holds files but no run"), ("copy", "already holds a run")):
        before = sorted((tmp_path / folder).iterdir())
        with pytest.raises(UsageError, match=said):
            train(tiny_recipe(tmp_path / folder))
        assert sorted((tmp_path / folder).iterdir()) == before


def test_an_empty_folder_stays_where_its_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(DataError):
        train(tiny_recipe(tmp_path / "run", data={"source": f"folder:{tmp_path / 'none'}"}))
    assert list((tmp_path / "run").iterdir()) == []


def test_two_processes_do_not_train_one_run(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "run")
    with RunFolder(recipe.run).locked():
        for resume in (False, True):
            with pytest.raises(HybridFaceError, match="another process is training this run"):
                train(recipe, resume=resume)


def test_another_recipe_does_not_pass_for_a_finished_run(tiny_run: TrainedRun) -> None:
    with pytest.raises(UsageError, match=r"differs in training\.epochs"):
        train(tiny_recipe(tiny_run.folder, training={"epochs": 99}), resume=True)
    with pytest.raises(UsageError, match="already holds a run"):
        train(tiny_recipe(tiny_run.folder))


def test_the_bar_shows_the_validation_figures(
    tmp_path: Path, drawn_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny_recipe(tmp_path / "run", training={"epochs": 1, "batch_size": 100})
    train(recipe, show_progress=True)
    said = "".join(capsys.readouterr())
    assert "val_accuracy=" in said
    assert "v_num" not in said


def test_pictures_are_counted_as_they_were_shown(tmp_path: Path, drawn_cache: Path) -> None:
    """A batch that is larger than the split shows the split."""
    recipe = tiny_recipe(tmp_path / "run", tasks={"puzzle": None, "inpaint": None},
                         training={"epochs": 2, "batch_size": 100})  # fmt: skip
    result = train(recipe).result
    assert (result["pictures"], result["steps"]) == (2 * result["train_rows"], 2)


@pytest.mark.parametrize("ema", [None, 0.9])
def test_accumulated_batches_train_like_one_of_their_size(
    ema: float | None, tmp_path: Path, drawn_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is drawn and nothing normalises over a batch."""

    def intact(images: torch.Tensor, *_: object) -> tuple[torch.Tensor, Geometry]:
        still = torch.zeros(len(images))
        return images.float() / 255, Geometry(still, still > 0)

    monkeypatch.setattr("hybridface.training.module.augment_and_tell", intact)
    weights = []
    for size, accumulate in ((24, 1), (12, 2), (8, 3)):
        run = tmp_path / f"of {size}"
        recipe = tiny_recipe(
            run,
            data={"source": "drawn:120?pixels=32", "size": 32},
            backbone={"name": "test_convnext", "drop_path": 0.0, "zero_init_residual": False},
            tasks={"expression": {"dropout": 0.0}, "puzzle": None, "inpaint": None},
            training={"epochs": 2, "batch_size": size, "accumulate": accumulate, "ema": ema},
        )
        result = train(recipe).result
        assert (result["pictures"], result["steps"]) == (2 * 72, 2 * 3)
        weights.append(load_file(run / "last.safetensors"))
    for other in weights[1:]:
        for name, value in weights[0].items():
            torch.testing.assert_close(other[name], value, rtol=1e-3, atol=1e-5)
