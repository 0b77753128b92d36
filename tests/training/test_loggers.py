from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning.loggers import Logger

from hybridface import train
from hybridface.errors import HybridFaceError, UsageError
from hybridface.study.config import Cell
from hybridface.training.loggers import KNOWN, OutsideLogger
from hybridface.training.runs import RunFolder
from hybridface.training.train import TrainedRun
from tiny_runs import BrokenOffError, assert_same_run, break_at_step, tiny_recipe

pytestmark = pytest.mark.usefixtures("drawn_cache", "quick_end")


class Notes(Logger):
    """Keeps what it is told, for the tests."""

    told: list[Any] = []

    def __init__(self, place: str = "", fails_at: int = 1_000_000) -> None:
        super().__init__()
        self.place, self.fails_at = place, fails_at
        Notes.told = []
        if place == "nowhere":
            raise ConnectionError("no server at nowhere\nand more of that")

    @property
    def name(self) -> str:
        return "notes"

    @property
    def version(self) -> str:
        return "1"

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        Notes.told.append((step, dict(metrics)))
        if len(Notes.told) >= self.fails_at:
            raise ConnectionError("the server is gone")

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        Notes.told.append(params)


HERE = f"{__name__}:Notes"


def logged(run: Path, loggers: Mapping[str, Any], *, resume: bool = False) -> TrainedRun:
    return train(tiny_recipe(run, training={"loggers": dict(loggers)}), resume=resume)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a place for MLflow's runs without a database, which its small package lacks."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return (tmp_path / "store").as_uri()


def test_a_logger_of_ones_own_is_told_everything(tmp_path: Path, tiny_run: TrainedRun) -> None:
    run = logged(tmp_path / "run", {HERE: {"place": "here"}})
    recipe, *epochs, (step, last) = Notes.told
    assert recipe["training"]["loggers"] == {HERE: {"place": "here"}}
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [step for step, _ in epochs] == [line["step"] for line in lines]
    for (_, figures), line in zip(epochs, lines, strict=True):
        assert {n: v for n, v in figures.items() if n.startswith("val/")} == {
            f"val/{name}": value for name, value in line["val"].items()
        }
    assert step == run.result["steps"]
    assert last["test/accuracy"] == run.result["test"]["accuracy"]["value"]
    assert last["test_last/nll"] == run.result["test_last"]["nll"]["value"]
    assert_same_run(tiny_run.folder, run.folder)  # it changes nothing


def test_a_logger_that_fails_costs_nothing_else(
    tmp_path: Path, tiny_run: TrainedRun, caplog: pytest.LogCaptureFixture
) -> None:
    run = logged(tmp_path / "run", {HERE: {"fails_at": 3}})
    assert len(Notes.told) == 3
    said = [each.message for each in caplog.records if "training.loggers" in each.message]
    assert said == [
        f"training.loggers.{HERE}: ConnectionError: the server is gone; it is told nothing more, "
        "and the run folder keeps every figure"
    ]
    assert_same_run(tiny_run.folder, run.folder)


def test_a_logger_that_cannot_start_is_said_before_the_training(tmp_path: Path) -> None:
    with pytest.raises(HybridFaceError, match="cannot be started: ConnectionError: no server at"):
        logged(tmp_path / "run", {HERE: {"place": "nowhere"}})
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    logged(tmp_path / "run", {}, resume=True)  # loggers are no part of what is trained


def test_mlflow_has_the_run_once_though_it_was_broken_off(tmp_path: Path, store: str) -> None:
    from mlflow import MlflowClient

    options = {"mlflow": {"tracking_uri": store, "tags": {"data": "drawn"}}}
    with pytest.MonkeyPatch.context() as patch, pytest.raises(BrokenOffError):
        break_at_step(patch, 10)
        logged(tmp_path / "run", options)
    run = logged(tmp_path / "run", options, resume=True)
    client = MlflowClient(store)
    (experiment,) = [e for e in client.search_experiments() if e.name == "hybridface"]
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.run_name, found.info.status) == ("run", "FINISHED")
    assert found.data.tags["data"] == "drawn"
    assert found.data.params["tasks/puzzle/grid"] == "2"
    assert found.data.metrics["test/accuracy"] == run.result["test"]["accuracy"]["value"]
    curve = client.get_metric_history(found.info.run_id, "val/accuracy")
    assert {each.step for each in curve} == {4, 8, 12, 16}


@pytest.mark.parametrize(
    ("loggers", "said"),
    [
        ({"mlflw": {}}, "did you mean 'mlflow'"),
        ({"mlflow": {"uri": "x"}}, "training.loggers.mlflow: .*'uri'.*it takes experiment_name"),
        ({f"{__name__}:tiny_recipe": {}}, "is no class"),
        ({f"{__name__}:Path": {}}, "is not a subclass of pytorch_lightning.*Logger"),
        ({"no_such_module:Logger": {}}, "there is no module 'no_such_module'"),
    ],
)
def test_loggers_that_cannot_be_are_refused(
    tmp_path: Path, loggers: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        logged(tmp_path / "run", loggers)
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_a_logger_that_is_not_installed_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="wandb is not installed: pip install wandb"):
        logged(tmp_path / "run", {"wandb": {}})


def test_loggers_make_no_other_cell_of_a_study(tmp_path: Path) -> None:
    keys = {
        Cell("arm", "puzzle", 0, tiny_recipe(tmp_path, training={"loggers": each}), {}).key
        for each in ({}, {"mlflow": {"experiment_name": "faces"}})
    }
    assert len(keys) == 1


def test_a_run_of_weights_and_biases_is_ended() -> None:
    """Else the next training of a process would be logged as the same run."""
    ended = []

    class Experiment:
        def finish(self) -> None:
            ended.append(True)

    notes = Notes()
    notes.experiment = Experiment()  # type: ignore[attr-defined]
    OutsideLogger("wandb", notes).close()
    assert ended == [True]


def test_a_run_has_its_name_before_the_folder_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of Weights & Biases has none until it is begun."""

    class Lazy(Notes):
        begun = None

        @property
        def version(self) -> str:
            return str(self.begun)

        @property
        def experiment(self) -> None:
            Lazy.begun = "7"

    lazy = replace(KNOWN["wandb"], package="json", place="json:Lazy", defaults=lambda run: {})
    monkeypatch.setattr(json, "Lazy", Lazy, raising=False)
    monkeypatch.setitem(KNOWN, "lazy", lazy)
    run = logged(tmp_path / "run", {"lazy": {}})
    assert json.loads(RunFolder(run.folder).loggers.read_text()) == {"lazy": "7"}


def test_the_run_folder_keeps_what_a_logger_calls_the_run(tmp_path: Path, store: str) -> None:
    run = logged(tmp_path / "run", {"mlflow": {"tracking_uri": store}, HERE: {}})
    assert json.loads(RunFolder(run.folder).loggers.read_text()).keys() == {"mlflow"}
