"""Cells on a Ray cluster: a killed worker's cell goes on, a failed one does not hold up others."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hybridface.cli import app
from hybridface.errors import HybridFaceError, UsageError
from hybridface.study import Study, StudyConfig
from hybridface.study.ray_cluster import RayCluster, RayJob, train_cell
from study.helpers import study_content

TESTS = Path(__file__).parents[1]


def test_without_ray_it_says_what_to_install(
    study_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    ran = CliRunner().invoke(app, ["study", str(study_file()), "--ray", "local"])
    assert isinstance(ran.exception, UsageError)
    assert 'pip install "hybridface[ray]"' in str(ran.exception)


class FarRay:
    """What a job asks of Ray, of a task that has ended on a machine with files of its own."""

    class exceptions:  # noqa: N801 - as Ray calls it
        RayError = RuntimeError

    @staticmethod
    def wait(tasks: list[dict[str, bytes]], timeout: float) -> tuple[list[Any], list[Any]]:
        return tasks, []

    @staticmethod
    def get(task: dict[str, bytes]) -> dict[str, bytes]:
        return task


class FarCluster:
    """Trains each cell in a folder that the study does not look into."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def capacity(self) -> int:
        return 1

    def start(self, content: dict[str, Any], folder: Path) -> RayJob:
        files = train_cell(content | {"run": str(self.place / folder.name)})
        return RayJob(FarRay, files, folder)


def written_files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_cell_that_was_begun_here_and_finished_elsewhere_is_one_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.yaml", "environment.json", "metrics.jsonl", "checkpoint.ckpt"):
        (run / name).write_text("begun here")
    there = {"result.json": b"far", "environment.json": b"far", "metrics.jsonl": b"far"}
    job = RayJob(FarRay, there | {"config.yaml": b"far"}, run)
    assert job.poll() == job.returncode == 0
    assert written_files(run) == dict.fromkeys((*there, "config.yaml"), "far")


def test_a_run_is_a_finished_one_when_all_of_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(
        "hybridface.study.ray_cluster.write_atomically", lambda path, _: written.append(path.name)
    )
    RayJob(FarRay, {"result.json": b"", "a": b"", "z": b""}, tmp_path / "run").poll()
    assert written == ["a", "z", "result.json"]


def test_a_run_that_the_worker_finished_in_this_folder_is_left_alone(tmp_path: Path) -> None:
    for name in ("result.json", "environment.json"):
        (tmp_path / name).write_text("here")
    RayJob(FarRay, {"result.json": b"far", "environment.json": b"far"}, tmp_path).poll()
    assert set(written_files(tmp_path).values()) == {"here"}


def test_a_model_that_was_trained_elsewhere_is_measured_on_further_data(
    tmp_path: Path, hybridface_cache: Path
) -> None:
    content = study_content(
        tmp_path / "rows.json", seeds=[0], also_on={"other": "drawn:30?pixels=32"}
    )
    content |= {"tuning": {}, "arms": {"supervised": {"method": "supervised"}}}
    said: list[str] = []
    config = StudyConfig.model_validate(content)
    cluster: Any = FarCluster(tmp_path / "far")
    study = Study(config, ["training.epochs=1"], say=said.append, cluster=cluster)
    rows = study.run()
    assert not [line for line in said if "not measured" in line]
    elsewhere = json.loads((tmp_path / "rows-other.json").read_text())
    assert [row["data"] for row in elsewhere] == ["other"]
    far, near = tmp_path / "far" / rows[0]["cell"], study.folder / rows[0]["cell"]
    files = {path.name for path in far.iterdir() if path.is_file()} - {".lock"}
    assert {path.name for path in near.iterdir()} == files


def arm(weight: float) -> dict[str, Any]:
    """Return an arm with a task that may die, which is told apart by its weight."""
    turn = {"type": "study.dying_task:Dying", "weight": weight}
    return {"method": "rotation", "change": {"tasks": {"turn": turn}}}


def two_workers(**options: Any) -> Any:
    import ray

    return ray._private.worker.init(num_cpus=2, **options)


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_the_rest_go_on(
    drawn_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), *sys.path]))
    monkeypatch.setenv("DYING_TASK", str(tmp_path / "batches"))
    monkeypatch.setattr("ray.init", two_workers)
    doomed = tmp_path / "batches.0.5"
    doomed.touch()
    failing = {"method": "bad", "change": {"backbone": {"name": "none_such"}}}
    arms = {"lives": arm(0.25), "dies": arm(0.5), "bad": failing}
    content = {"seeds": [0], "tuning": {}, "arms": arms}
    config = StudyConfig.model_validate(study_content(tmp_path / "rows.json") | content)
    said: list[str] = []
    with RayCluster() as cluster:
        assert cluster.capacity() == 2
        with pytest.raises(HybridFaceError, match=r"1 cells failed: bad seed 0: .*none_such"):
            Study(config, say=said.append, cluster=cluster).run()
    rows = json.loads(config.results.read_text())
    assert [row["arm"] for row in rows] == ["lives", "dies"]
    assert all(row["steps"] == 8 and row["val_accuracy"] is not None for row in rows)
    batches = doomed.read_text().splitlines()
    # An epoch of four batches and its pictures are done when it is killed at the next batch. The
    # second epoch begins once more, and has its pictures and those of the end.
    assert len(batches) == 4 + 1 + 1 + (4 + 1 + 1)
    assert len(set(batches)) == 2
    assert any(line.startswith("bad seed 0: failed: ") for line in said)
