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
from hybridface.study.ray_cluster import RayCluster
from study.helpers import study_content

TESTS = Path(__file__).parents[1]


def test_without_ray_it_says_what_to_install(
    study_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    ran = CliRunner().invoke(app, ["study", str(study_file()), "--ray", "local"])
    assert isinstance(ran.exception, UsageError)
    assert 'pip install "hybridface[ray]"' in str(ran.exception)


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
