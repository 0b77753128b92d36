"""Real disks that fill up or are read-only: nothing is destroyed, and the error says what to do."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from pytorch_lightning.loggers import TensorBoardLogger

from disks import Mount, fill, small_disk
from hybridface.data.cache import open_cache
from hybridface.data.sources import open_source
from hybridface.errors import HybridFaceError
from hybridface.export.network import export_onnx
from hybridface.training.callbacks import RunKeeper
from hybridface.training.module import HybridModule
from hybridface.training.train import train
from tiny_runs import content_of, copy_run, same_weights, tiny_model

BUILD = """
from hybridface.data.cache import open_cache
from hybridface.data.sources import open_source
from hybridface.errors import HybridFaceError
source = open_source("drawn:40?pixels=64")
try:
    open_cache(source, source.read(), 64)
except HybridFaceError as error:
    print(error)
"""


def test_a_cache_that_does_not_fit(mount: Mount) -> None:
    """In a process of its own: a mapped file on a full disk would end it by SIGBUS."""
    disk = small_disk(mount, "256k")
    environment = os.environ | {
        "HYBRIDFACE_CACHE": str(disk), "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip
    command = [sys.executable, "-c", BUILD]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{disk / 'pictures'}")
    assert "cannot be written (No space left on device; " in done.stdout
    assert "MB are free)" in done.stdout and "set HYBRIDFACE_CACHE to a folder" in done.stdout
    assert list((disk / "pictures").iterdir()) == []


def test_a_read_only_cache_is_used_but_not_added_to(
    mount: Mount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_picture: Any
) -> None:
    for number in range(3):
        write_picture(tmp_path / "faces" / "x" / f"{number}.png", number)
    source = open_source(f"folder:{tmp_path / 'faces'}")
    (tmp_path / "cache").mkdir()
    cache = mount("cache", "--bind", str(tmp_path / "cache"))
    monkeypatch.setenv("HYBRIDFACE_CACHE", str(cache))
    expected = np.array(open_cache(source, source.read(), 16).images)
    subprocess.run(["mount", "-o", "remount,ro,bind", str(cache)], check=True)
    os.utime(tmp_path / "faces" / "x" / "0.png", (1, 1))  # its digest cannot be remembered
    before = content_of(cache)
    np.testing.assert_array_equal(open_cache(source, source.read(), 16).images, expected)
    with pytest.raises(HybridFaceError) as caught:
        open_cache(source, source.read(), 24)
    said = str(caught.value)
    assert said.startswith(f"{cache / 'pictures'}") and "(Read-only file system)" in said
    assert "set HYBRIDFACE_CACHE to a folder that can" in said
    assert content_of(cache) == before


@pytest.fixture(scope="module")
def gone_on(
    broken_run: Path, drawn_pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the broken run gone on with, on a disk with room."""
    recipe = copy_run(broken_run, tmp_path_factory.mktemp("room") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDFACE_CACHE", str(drawn_pictures))
        patch.setattr("hybridface.training.finish.export_onnx", lambda *_, **__: 0.0)
        return train(recipe, resume=True).folder


# When the disk fills up, and which file is then the first that does not fit.
FULL = [
    (RunKeeper, "on_train_start", "metrics.jsonl"),
    (RunKeeper, "_note", "metrics.jsonl"),
    (RunKeeper, "save", "checkpoint.ckpt"),
    (RunKeeper, "_log", "last.safetensors"),
    (sys.modules["hybridface.training.train"], "finish_run", "predictions.npz"),
]


@pytest.mark.parametrize(("owner", "method", "name"), FULL)
@pytest.mark.usefixtures("drawn_cache")
def test_a_run_on_a_disk_that_fills_up(
    owner: Any, method: str, name: str, mount: Mount, broken_run: Path, gone_on: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("hybridface.training.finish.export_onnx", lambda *_, **__: 0.0)
    disk = small_disk(mount, "32m")
    recipe = copy_run(broken_run, disk / "run")
    before: dict[str, bytes] = {}
    go, step = getattr(owner, method), HybridModule.training_step

    def full(*arguments: Any, **options: Any) -> Any:
        fill(disk)
        before.update(without_tensorboard(disk / "run"))
        return go(*arguments, **options)

    def stopped(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, full)
        if method == "save":  # after the last epoch there is no checkpoint, so it is told to stop
            patch.setattr(HybridModule, "training_step", stopped)
        with pytest.raises(HybridFaceError) as caught:
            train(recipe, resume=True)
    said = str(caught.value)
    assert said.startswith(f"{disk / 'run' / name}: cannot be written (No space left on device; 0")
    assert "make room, then give the same command again, a training with --resume" in said
    assert "Traceback" not in capfd.readouterr().err
    assert without_tensorboard(disk / "run") == before
    (disk / "ballast").unlink()
    train(recipe, resume=True)
    for weights in ("last.safetensors", "best.safetensors"):
        assert same_weights(disk / "run" / weights, gone_on / weights)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.usefixtures("drawn_cache")
def test_a_log_that_cannot_be_written(
    before: bool, broken_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log that cannot be closed at the end does not hide what was wrong before."""
    recipe = copy_run(broken_run, tmp_path / "run")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def broken(*_: object) -> None:
        raise HybridFaceError("this came first")

    monkeypatch.setattr(TensorBoardLogger, "finalize", full)
    monkeypatch.setattr(RunKeeper, "_note" if before else "_log", broken if before else full)
    first = (
        "this came first" if before else rf"{recipe.run}/tensorboard: cannot be written \(No space"
    )
    with pytest.raises(HybridFaceError, match=first):
        train(recipe, resume=True)


def without_tensorboard(run: Path) -> dict[str, bytes]:
    return {name: data for name, data in content_of(run).items() if "tensorboard" not in name}


def test_a_model_that_cannot_be_exported_to_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(proto: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    place = tmp_path / "model.onnx"
    place.write_bytes(b"old")
    model, tasks = tiny_model({"expression": {}})
    exported = SimpleNamespace(model_proto=onnx.ModelProto())
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: exported)
    monkeypatch.setattr(onnx, "save", full)
    with pytest.raises(HybridFaceError, match=r"model\.onnx: cannot be written \(No space left"):
        export_onnx(model, tasks, torch.rand(2, 3, 32, 32), place, trained_on="drawn")
    assert content_of(tmp_path) == {"model.onnx": b"old"}
