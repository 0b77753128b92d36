"""Several processes train what one trains, and end together."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.multiprocessing import start_processes

import joint_steps
from hybridface import Recipe
from hybridface.config.content import merge
from hybridface.errors import UsageError
from hybridface.training.runs import RunFolder
from hybridface.training.train import train
from joint_steps import CASES, PROCESSES
from tiny_runs import same_weights, tiny_recipe

DYING = """
import os, signal
from hybridface.tasks.puzzle import Puzzle

class Dying(Puzzle):
    steps = 0
    def make_view(self, images, batch, generator):
        self.steps += 1
        if os.environ.get("RANK") == "1" and str(self.steps) == os.environ.get("DIE_AT_STEP"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().make_view(images, batch, generator)
"""
# All that draws random numbers or counts pictures, but no dropout.
CHANGES: dict[str, Any] = {
    "data": {"unlabelled": "drawn:40?pixels=32&seed=9", "unlabelled_per_labelled": 0.5},
    "backbone": {"drop_path": 0.0},
    "augment": {"mixup": 0.4},
    "tasks": {
        "expression": {"dropout": 0.0, "class_weights": "root"},
        "puzzle": {"type": "mine.dying:Dying"},
    },
    "training": {"epochs": 3, "sampling": "balanced", "threads": 1},
}
REESTIMATED = {"batch_norm": "reestimated", "loss_balance": "uncertainty", "epochs": 1}
STEPS_AN_EPOCH = 4
BOUND = 300  # seconds, for machines that do much else; a hang is for ever
pytestmark = pytest.mark.ddp


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, drawn_pictures: Path) -> Iterator[Path]:
    """Return a folder with a module of a user's own in it, where Python looks for modules."""
    folder = tmp_path_factory.mktemp("several")
    (folder / "mine").mkdir()
    (folder / "mine" / "dying.py").write_text(DYING)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("HYBRIDFACE_CACHE", str(drawn_pictures))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setattr("hybridface.training.finish.export_onnx", lambda *_, **__: 0.0)
        # What a shell runs in the background ignores Ctrl-C, and so would what is started here.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield folder
        signal.signal(signal.SIGINT, before)


def recipe_for(run: Path, devices: int, **changes: Any) -> Recipe:
    training = CHANGES["training"] | {"devices": devices} | changes
    return tiny_recipe(run, **(CHANGES | {"training": training}))


@pytest.fixture(scope="module")
def two(work: Path) -> Path:
    """Return the folder of what two processes left: of single steps, and of a whole training."""
    recipes = [
        recipe_for(work / "two", PROCESSES),
        recipe_for(work / "two reestimated", PROCESSES, **REESTIMATED),
        recipe_for(work / "two", PROCESSES),  # which is refused, by the first alone
    ]
    ports = [free_port() for _ in range(1 + len(recipes))]
    start_processes(
        joint_steps.be_a_process, (work, recipes, ports), nprocs=PROCESSES, start_method="spawn"
    )
    return work


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port: int = free.getsockname()[1]
        return port


def read(folder: Path, name: str) -> list[Any]:
    return [torch.load(folder / f"{name} {rank}.pt") for rank in range(PROCESSES)]


@pytest.mark.parametrize("case", CASES)
def test_a_step_of_two_is_the_step_of_one(case: str, two: Path) -> None:
    expected = joint_steps.take_step(CASES[case], None)
    parts = read(two, case)
    for part in parts:
        assert part.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(part[name], value, rtol=1e-7, atol=1e-9, msg=name)
    # Losses are each process's own plus what is missing to the mean, so rounding may differ.
    same = [name for name in expected if not name.endswith("loss")]
    assert not [name for name in same if not torch.equal(parts[0][name], parts[1][name])]


def test_batch_norm_of_two_is_that_of_the_whole_batch(two: Path) -> None:
    norm = torch.nn.BatchNorm2d(3).double()
    expected = joint_steps.normalise(norm, *joint_steps.normalised_values())
    parts = read(two, "norm")
    for name in ("output", "gradient"):
        joined = torch.cat([part.pop(name) for part in parts])
        torch.testing.assert_close(joined, expected.pop(name), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(sum(part.pop("weight") for part in parts), expected.pop("weight"))
    for part in parts:
        torch.testing.assert_close(part, expected)


def test_what_one_does_alone_may_take_longer_than_a_step(two: Path) -> None:
    assert read(two, "waited") == [42, 42]


@pytest.mark.parametrize("run", ["two", "two reestimated"])
def test_both_have_the_same_weights_buffers_and_average(run: str, two: Path) -> None:
    first, second = read(two, f"state of {run}")
    assert any(name.startswith("ema.") for name in first)
    assert any("running_var" in name for name in first)
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert len({json.dumps(each) for each in read(two, f"validation of {run}")}) == 1


@pytest.mark.parametrize("kind", ["", " reestimated"])
def test_two_train_the_model_that_one_trains(kind: str, two: Path) -> None:
    changes = REESTIMATED if kind else {}
    one = train(recipe_for(two / f"one{kind}", 1, **changes))
    both = two / f"two{kind}"
    ours, theirs = ((run / "metrics.jsonl").read_text() for run in (one.folder, both))
    for mine, other in zip(ours.splitlines(), theirs.splitlines(), strict=True):
        expected, found = json.loads(mine), json.loads(other)
        assert found["val"] == pytest.approx(expected["val"], abs=1e-3)
        for name, value in expected["train"].items():
            if name.endswith("loss"):
                assert found["train"][name] == pytest.approx(value, rel=1e-4)
    result = json.loads((both / "result.json").read_text())
    for name in ("steps", "pictures", "train_rows"):
        assert result[name] == one.result[name]
    # Adam makes a whole step of a gradient that is 0 but for float error; few weights have one.
    weights, others = _weights(one.folder), _weights(both)
    apart = torch.cat([(value - others[name]).abs().flatten() for name, value in weights.items()])
    assert apart.quantile(0.99) < 1e-4
    assert apart.max() < 5e-3


def _weights(run: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return {name: value.float() for name, value in load_file(run / "last.safetensors").items()}


def command_line(recipe: Recipe, work: Path, *more: str, **environment: str) -> subprocess.Popen:
    file = recipe.run.with_suffix(".yaml")
    file.write_text(recipe.to_yaml())
    paths = os.pathsep.join([str(work), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", "hybridface", "train", str(file), "--quiet", *more],
        env=os.environ | environment | {"PYTHONPATH": paths},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_process_ends_all_and_the_run_goes_on(two: Path) -> None:
    recipe = recipe_for(two / "killed", PROCESSES)
    process = command_line(recipe, two, DIE_AT_STEP=str(STEPS_AN_EPOCH + 2))
    try:
        _, said = process.communicate(timeout=BOUND)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "process 1 of 2 was killed by SIGKILL; the others were ended" in said
    assert len(said.splitlines()) == 1  # of the command alone
    assert (recipe.run / "checkpoint.ckpt").exists()
    train(recipe, resume=True)
    assert same_weights(two / "two" / "last.safetensors", recipe.run / "last.safetensors")
    assert same_weights(two / "two" / "best.safetensors", recipe.run / "best.safetensors")


def test_what_the_first_refuses_ends_all(two: Path) -> None:
    said = [(two / f"refused {rank}.txt").read_text() for rank in range(PROCESSES)]
    assert said == [f"{two / 'two'} already holds a run; name another with run=FOLDER, go on with "
                    "it by --resume, or remove it"] * PROCESSES  # fmt: skip


@contextmanager
def training_for_long(run: Path, work: Path) -> Iterator[tuple[subprocess.Popen, list[int]]]:
    """Start a training of many epochs; gives it and its processes when there is a checkpoint.

    None of them outlives the block.
    """
    children: list[int] = []
    with command_line(recipe_for(run, PROCESSES, epochs=500), work) as process:
        try:
            while not (run / "checkpoint.ckpt").exists():
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.05)
            children = children_of(process.pid)
            assert len(children) == PROCESSES
            yield process, children
        finally:
            for each in (process.pid, *children):
                if alive(each):
                    os.kill(each, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_end_when_stopped(number: signal.Signals, work: Path) -> None:
    run = work / f"stopped {number}"
    with training_for_long(run, work) as (process, children):
        process.send_signal(number)
        _, said = process.communicate(timeout=BOUND)
        assert process.returncode == 128 + number
        assert ("--resume" in said) == (number == signal.SIGTERM)
        assert len(said.splitlines()) <= 1
        assert not any(alive(child) for child in children)
    with RunFolder(run).locked():  # by nobody else
        pass


@pytest.mark.slow
def test_processes_do_not_outlive_the_one_that_started_them(work: Path) -> None:
    with training_for_long(work / "orphans", work) as (process, children):
        process.kill()
        deadline = time.monotonic() + BOUND
        while any(alive(child) for child in children):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def alive(process: int) -> bool:
    """Say whether a process has not ended, be it waited for or not."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes() != b""
    except OSError:
        return False


def children_of(parent: int) -> list[int]:
    """Return the processes that one has started and that train."""
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="utf-8").split()
    training = [pid for pid in listed if b"launch" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return [int(pid) for pid in training]


def test_a_batch_that_cannot_be_shared_is_refused(work: Path) -> None:
    for changes, said in (
        ({"training": {"devices": 3}}, r"training.batch_size: 16 pictures .* by 3 processes"),
        (
            {
                "training": {"devices": 2},
                "data": {"unlabelled": "drawn:40?pixels=32", "unlabelled_per_labelled": 0.7},
            },
            "pictures without labels of a step: 11",
        ),
        ({"training": {"devices": 2, "batch_size": 5000}}, "cannot share them equally"),
    ):
        data = {"source": "drawn:121?pixels=32"}
        with pytest.raises(UsageError, match=said):
            train(tiny_recipe(work / "refused", **merge({"data": data}, changes)))
    assert not (work / "refused").exists()
