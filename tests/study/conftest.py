"""Studies that are quick to run: what trains is replaced by a finished run."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hybridface.study import Cell, Study, StudyConfig, load_study
from hybridface.training.train import TrainedRun, train
from study.helpers import rate, study_content
from tiny_runs import tiny_recipe

StudyFile = Callable[..., Path]


@pytest.fixture
def study_file(tmp_path: Path, drawn_cache: Path) -> StudyFile:
    """Return a function that writes the study, with changes."""
    shutil.rmtree(drawn_cache / "studies", ignore_errors=True)

    def write(**changes: Any) -> Path:
        file = tmp_path / "study.yaml"
        said = study_content(tmp_path / "results" / "tiny.json", **changes)
        file.write_text(yaml.safe_dump(said, sort_keys=False))
        return file

    return write


class Ended:
    """A process that has ended."""

    def __init__(self, returncode: int) -> None:
        self.returncode = returncode

    def poll(self) -> int:
        return self.returncode


class StubbedStudy(Study):
    """Instead of training, takes a finished run and changes its figures.

    ``accuracy`` gives the mean absolute error of a task of numbers. Cells for which it gives None
    fail.
    """

    def __init__(
        self, config: StudyConfig, run: Path, accuracy: Callable[[Cell], float | None], **rest: Any
    ) -> None:
        self.said: list[str] = []
        super().__init__(config, say=self.said.append, **rest)
        self.run_folder, self.accuracy = run, accuracy
        self.started: list[Cell] = []

    def _start(self, cell: Cell) -> subprocess.Popen[bytes]:
        self.started.append(cell)
        accuracy = self.accuracy(cell)
        folder = self.folder / cell.key
        folder.parent.mkdir(parents=True, exist_ok=True)
        if accuracy is None:
            folder.with_suffix(".log").write_text("Traceback\nhybridface: no such thing\n")
            return Ended(1)  # type: ignore[return-value]
        shutil.copytree(self.run_folder, folder)
        result = json.loads((folder / "result.json").read_text())
        if cell.numeric:  # the two figures of a pose say the opposite of trials
            result["val"]["mae"]["value"] = accuracy
            result["val"]["geodesic"]["value"] = 1 / accuracy
        else:
            result["val"]["accuracy"]["value"] = accuracy
        result["epochs"] = cell.recipe.training.epochs
        (folder / "result.json").write_text(json.dumps(result))
        return Ended(0)  # type: ignore[return-value]


Stub = Callable[..., StubbedStudy]


@pytest.fixture(scope="session")
def tiny_pose_run(drawn_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """Return a finished run that learned poses; not to be changed."""
    tasks = {"expression": None, "inpaint": None, "puzzle": None, "pose": {}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDFACE_CACHE", str(drawn_pictures))
        run = tmp_path_factory.mktemp("pose") / "run"
        return train(tiny_recipe(run, tasks=tasks, training={"epochs": 2}))


@pytest.fixture
def stub(study_file: StudyFile, tiny_run: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """Return a function that makes a stubbed study: accuracy by cell, changes of its file."""
    return _stub(study_file, tiny_run, monkeypatch)


@pytest.fixture
def pose_stub(
    study_file: StudyFile, tiny_pose_run: TrainedRun, monkeypatch: pytest.MonkeyPatch
) -> Stub:
    """Return the same for poses: their mean absolute error by cell."""
    return _stub(study_file, tiny_pose_run, monkeypatch)


def _stub(study_file: StudyFile, run: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> Stub:
    monkeypatch.setattr("hybridface.study.jobs.POLL_SECONDS", 0)
    monkeypatch.setattr("hybridface.report.study.write_study_page", lambda *_: None)

    def make(
        accuracy: Callable[[Cell], float | None] = rate,
        jobs: int = 1,
        overrides: Any = (),
        **changes: Any,
    ) -> StubbedStudy:
        config = load_study(study_file(**changes))
        return StubbedStudy(config, run.folder, accuracy, jobs=jobs, overrides=overrides)

    return make
