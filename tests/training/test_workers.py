"""A run whose pictures are decoded by workers is the run that has them from the cache."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridface import evaluate
from hybridface.config import Recipe
from hybridface.data.decoding import DecodedPictures
from hybridface.data.workers import WorkerLoader
from hybridface.errors import DataError, HybridFaceError
from hybridface.training import train as train_module
from hybridface.training.train import TrainedRun, train
from tiny_runs import (
    BrokenOffError,
    assert_same_run,
    break_at_step,
    merge,
    tiny_recipe,
    write_recipe,
)
from written_faces import write_faces

UNCACHED: dict[str, Any] = {"data": {"cache_limit_gib": 0, "workers": 2}}
STEPS_AN_EPOCH = 3


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces(tmp_path_factory.mktemp("faces"), 90)


@pytest.fixture(scope="module")
def changes(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What takes batches of every kind: mixed ones, repeated rows, another look at the intact."""
    others = write_faces(tmp_path_factory.mktemp("others"), 20, seed=1)
    return {
        "data": {
            "source": f"folder:{faces}",
            "folds": {"count": 4},
            "fraction": 0.8,
            "unlabelled": ["rest", f"folder:{others}?unlabelled=true"],
            "unlabelled_per_labelled": 0.7,
        },
        "training": {
            "epochs": 3,
            "batch_size": 12,
            "batch_norm": "reestimated",
            "sampling": "balanced",
        },
    }


@pytest.fixture(scope="module")
def cached(changes: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    place = tmp_path_factory.mktemp("cached")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDFACE_CACHE", str(place / "cache"))
        patch.setattr("hybridface.training.finish.export_onnx", lambda *_, **__: 0.0)
        run = train(tiny_recipe(place / "run", **changes))
    assert run.result["steps"] == 3 * STEPS_AN_EPOCH
    return run


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    assert not multiprocessing.active_children()


def uncached_recipe(run: Path, changes: dict[str, Any]) -> Recipe:
    return tiny_recipe(run, **merge(changes, UNCACHED))


@pytest.fixture(scope="module")
def decoded(changes: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the same run without a cache, trained by the command line."""
    place = tmp_path_factory.mktemp("decoded")
    file = write_recipe(place / "run.yaml", **changes)
    command = ["-m", "hybridface", "train", str(file), "data.cache_limit_gib=0", "data.workers=2"]
    environment = {"OMP_NUM_THREADS": "1", "HYBRIDFACE_CACHE": str(place / "cache")}
    done = subprocess.run(
        [sys.executable, *command],
        check=False, capture_output=True, text=True, env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("not cached, as") == 2
    assert sorted(path.name for path in (place / "cache").iterdir()) == ["digests", "outcomes"]
    return place / "run"


def test_by_the_command_line(cached: TrainedRun, decoded: Path) -> None:
    assert_same_run(cached.folder, decoded)
    ours, theirs = (json.loads((run / "data.json").read_text()) for run in (decoded, cached.folder))
    assert "not cached" in ours.pop("notes")[-1]
    assert theirs.pop("notes") == []
    assert ours == theirs
    assert len(ours["problems"]) == len(ours["unlabelled"]["problems"]) == 2


def test_resumed_with_workers_and_without(
    cached: TrainedRun,
    changes: dict[str, Any],
    tmp_path: Path,
    hybridface_cache: Path,
    quick_end: None,
) -> None:
    recipes = [uncached_recipe(tmp_path / "run", changes), tiny_recipe(tmp_path / "run", **changes)]
    for number, step in enumerate((STEPS_AN_EPOCH + 2, 2 * STEPS_AN_EPOCH + 1)):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(BrokenOffError):
            break_at_step(patch, step)
            train(recipes[number], resume=number > 0)
    assert_same_run(cached.folder, train(recipes[0], resume=True).folder)


def test_by_workers_that_are_not_forked(
    cached: TrainedRun,
    changes: dict[str, Any],
    tmp_path: Path,
    hybridface_cache: Path,
    quick_end: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on macOS and Windows: all that a worker needs goes to it pickled."""
    monkeypatch.setattr("hybridface.data.workers.START_METHOD", "spawn")
    recipe = uncached_recipe(tmp_path / "run", changes)
    assert_same_run(cached.folder, train(recipe).folder)


def after_the_first_look(
    patch: pytest.MonkeyPatch, change: Callable[[DecodedPictures, np.ndarray], object]
) -> None:
    """Let something happen between the first look at the pictures and the training."""
    go = train_module.build_module

    def build(recipe: Any, tasks: Any, data: Any, start: Any) -> Any:
        change(data.images, data.splits["train"])
        return go(recipe, tasks, data, start)

    patch.setattr(train_module, "build_module", build)


def test_a_file_that_is_gone_ends_a_run_until_it_is_back(
    cached: TrainedRun,
    changes: dict[str, Any],
    faces: Path,
    tmp_path: Path,
    hybridface_cache: Path,
    quick_end: None,
) -> None:
    moved: list[Path] = []

    def move(pictures: DecodedPictures, rows: np.ndarray) -> None:
        moved.append(faces / pictures.rows.keys[rows[0]])
        shutil.move(moved[0], tmp_path / "kept")

    recipe = uncached_recipe(tmp_path / "run", changes)
    try:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(DataError) as caught:
            after_the_first_look(patch, move)
            train(recipe)
    finally:
        shutil.move(tmp_path / "kept", moved[0])
    said = str(caught.value)
    assert f"{moved[0].relative_to(faces)}: cannot be read (No such file or directory)" in said
    assert "--resume" in said and "Traceback" not in said
    assert not (recipe.run / "result.json").exists()
    assert_same_run(cached.folder, train(recipe, resume=True).folder)


def test_a_worker_that_is_killed_ends_a_run(
    changes: dict[str, Any], tmp_path: Path, hybridface_cache: Path, quick_end: None
) -> None:
    def kill(pictures: DecodedPictures, rows: np.ndarray) -> None:
        class Killing(DecodedPictures):
            def __getitem__(self, index: np.ndarray) -> Any:
                if multiprocessing.parent_process() is not None and rows[0] in index:
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().__getitem__(index)

        pictures.__class__ = Killing

    with pytest.MonkeyPatch.context() as patch:
        after_the_first_look(patch, kill)
        with pytest.raises(HybridFaceError, match=r"Killed.*data\.workers.*--resume"):
            train(uncached_recipe(tmp_path / "run", changes))


def test_evaluation_decodes_too(
    decoded: Path, faces: Path, tmp_path: Path, hybridface_cache: Path
) -> None:
    results = [
        evaluate(decoded, f"folder:{faces}", out=tmp_path / f"{workers}.npz", **options)
        for workers, options in enumerate(
            [{}, {"cache_limit_gib": 0, "workers": 1, "batch_size": 16}]
        )
    ]
    assert "not cached" in results[1].pop("notes")[-1]
    results[0].pop("notes")
    assert results[0] == results[1]
    assert results[0]["skipped"]["unreadable"] == 2
    with np.load(tmp_path / "0.npz") as one, np.load(tmp_path / "1.npz") as other:
        for name in one:
            if name.endswith("probabilities"):
                np.testing.assert_allclose(one[name], other[name], atol=1e-6)


def test_workers_leave_signals_to_the_process_that_loads() -> None:
    loader = WorkerLoader(range(100), range(100), 1)
    items = iter(loader)
    found = [next(items)]
    [worker] = multiprocessing.active_children()
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(worker.pid or 0, number)
    assert [*found, *items] == list(range(100))
    loader._iterator = None
