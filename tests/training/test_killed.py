"""Whenever a training is killed or told to stop, going on gives the run that never was."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny_runs import same_weights, write_recipe

# Everything that keeps state between steps, at once.
EVERYTHING: dict[str, Any] = {
    "data": {
        "unlabelled": "drawn:40?pixels=32&seed=1",
        "unlabelled_per_labelled": 0.7,
    },
    "augment": {"mixup": 0.4},
    "tasks": {
        "puzzle": {"every": 2, "part": 0.5},
        "inpaint": {"view_size": 16, "until": 0.7, "final_weight": 0.0},
    },
    "training": {
        "epochs": 3,
        "validate_every": 2,
        "batch_size": 8,
        "accumulate": 2,
        "ema": 0.9,
        "loss_balance": "uncertainty",
        "sampling": "balanced",
    },
}
KILLS = 10
KILLS_IN_A_CHECKPOINT = 3


@dataclass(frozen=True)
class Ended:
    """How a training ended.

    Attributes:
        code: Exit code; negative where a signal ended it.
        moments: What it passed.
        said: What it printed.
    """

    code: int
    moments: list[str]
    said: str


class Trainings:
    """Trainings in a process that imports torch once and forks for each."""

    def __init__(self, place: Path, cache: Path) -> None:
        environment = os.environ | {
            "HYBRIDFACE_CACHE": str(cache),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        self.place = place
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("killed_runs.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def train(
        self,
        recipe: Path,
        at: int | None = None,
        signals: Sequence[int] = (signal.SIGKILL,),
        *,
        resume: bool = False,
    ) -> Ended:
        """Train until the end, or until the signals come at the moment of a number."""
        log, moments = self.place / "log", self.place / "moments"
        command = [str(recipe), "--quiet", *(["--resume"] if resume else [])]
        order = {
            "command": command, "at": at, "signals": [int(each) for each in signals],
            "log": str(log), "moments": str(moments),
        }  # fmt: skip
        moments.write_text("[]")
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        return Ended(code, json.loads(moments.read_text()), log.read_text())


@pytest.fixture(scope="module")
def trainings(
    tmp_path_factory: pytest.TempPathFactory, drawn_pictures: Path
) -> Iterator[Trainings]:
    trainings = Trainings(tmp_path_factory.mktemp("trainings"), drawn_pictures)
    yield trainings
    trainings.process.communicate(timeout=60)  # no more orders: it ends


@pytest.fixture(scope="module")
def unbroken(trainings: Trainings) -> tuple[Path, list[str]]:
    """Return the folder of a run that nothing happened to, and its moments."""
    ended = trainings.train(write_recipe(trainings.place / "unbroken.yaml", **EVERYTHING))
    assert ended.code == 0, ended.said
    return trainings.place / "unbroken", ended.moments


def assert_same_run(one: Path, other: Path) -> None:
    for name in ("last.safetensors", "best.safetensors"):
        assert same_weights(one / name, other / name)
    histories = []
    for run in (one, other):
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        histories.append([{**line, "seconds": 0} for line in lines])
    assert histories[0] == histories[1]
    assert {path.name for path in one.iterdir()} == {path.name for path in other.iterdir()}


def drawn_kills(moments: list[str]) -> list[int]:
    """Draw moments from a fixed seed, some of them within the writing of a checkpoint."""
    draw = random.Random(0)
    writing = [
        number
        for number, name in enumerate(moments)
        if name in ("half of .checkpoint.ckpt", "before the rename of .checkpoint.ckpt")
    ]
    chosen = draw.sample(writing, KILLS_IN_A_CHECKPOINT)
    others = [number for number in range(len(moments)) if number not in chosen]
    return chosen + draw.sample(others, KILLS - KILLS_IN_A_CHECKPOINT)


@pytest.mark.parametrize("number", range(KILLS))
def test_a_killed_run_goes_on_as_if_nothing_were(
    number: int, trainings: Trainings, unbroken: tuple[Path, list[str]], tmp_path: Path
) -> None:
    whole, moments = unbroken
    at = drawn_kills(moments)[number]
    recipe = write_recipe(tmp_path / "run.yaml", **EVERYTHING)
    killed = trainings.train(recipe, at)
    assert killed.code == -signal.SIGKILL
    assert killed.moments == moments[:at]
    resumed = trainings.train(recipe, resume=True)
    assert resumed.code == 0, resumed.said
    assert_same_run(whole, tmp_path / "run")


def place_of(moments: list[str], name: str, number: int) -> int:
    """Return the place of the nth moment of a name."""
    return [place for place, each in enumerate(moments) if each == name][number]


# Of 27 batches and 15 steps in 3 epochs, each of four steps of two batches and one of a single
# one: where the signal comes, and how many steps and batches are done when it is saved.
STOPS = [
    (signal.SIGTERM, "a batch", 0, 1, 2),
    (signal.SIGINT, "an average", 6, 4, 8),  # in the middle of a step and of an epoch
    (signal.SIGTERM, "a validation", 0, 10, 18),
    (signal.SIGINT, "a batch", 26, 15, 27),  # the last one
    pytest.param(signal.SIGINT, "a batch", 5, 3, 6, marks=pytest.mark.slow),
    pytest.param(signal.SIGTERM, "half of .checkpoint.ckpt", 1, 10, 18, marks=pytest.mark.slow),
    pytest.param(signal.SIGINT, "a batch", 9, 6, 11, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("told", "name", "number", "done", "batches"), STOPS)
def test_a_run_that_is_told_to_stop_saves_that_very_step(
    told: signal.Signals,
    name: str,
    number: int,
    done: int,
    batches: int,
    trainings: Trainings,
    unbroken: tuple[Path, list[str]],
    tmp_path: Path,
) -> None:
    whole, moments = unbroken
    recipe = write_recipe(tmp_path / "run.yaml", **EVERYTHING)
    stopped = trainings.train(recipe, place_of(moments, name, number), [told])
    assert stopped.code == 128 + told, stopped.said
    by = "Ctrl-C" if told == signal.SIGINT else "SIGTERM"
    said = f"hybridface: {tmp_path / 'run'}: stopped by {by} after step {done}, in epoch"
    assert stopped.said.startswith(said)
    assert "--resume" in stopped.said and "Traceback" not in stopped.said
    checkpoint = torch.load(tmp_path / "run" / "checkpoint.ckpt", weights_only=True)
    assert checkpoint["global_step"] == done
    resumed = trainings.train(recipe, resume=True)
    assert resumed.code == 0, resumed.said
    assert resumed.moments.count("a batch") == moments.count("a batch") - batches
    assert_same_run(whole, tmp_path / "run")


def test_a_second_ctrl_c_does_not_wait(
    trainings: Trainings, unbroken: tuple[Path, list[str]], tmp_path: Path
) -> None:
    whole, moments = unbroken
    recipe = write_recipe(tmp_path / "run.yaml", **EVERYTHING)
    stopped = trainings.train(recipe, place_of(moments, "a batch", 5), [signal.SIGINT] * 2)
    assert stopped.code == 130
    assert stopped.said == "hybridface: stopped without saving; go on with --resume\n"
    assert trainings.train(recipe, resume=True).code == 0
    assert_same_run(whole, tmp_path / "run")


TWO_STAGES: dict[str, Any] = {
    "tasks": {"puzzle": {"every": 3}, "inpaint": None},
    "training": {"epochs": 2, "batch_size": 16},
    "pretrain": {"epochs": 2, "tasks": {"puzzle": {"grid": 2, "part": 0.5}}},
}


@pytest.fixture(scope="module")
def unbroken_stages(trainings: Trainings) -> tuple[Path, list[str]]:
    """Return the folder of a run of two stages that nothing happened to, and its moments."""
    ended = trainings.train(write_recipe(trainings.place / "stages.yaml", **TWO_STAGES))
    assert ended.code == 0, ended.said
    return trainings.place / "stages", ended.moments


@pytest.mark.parametrize(
    ("number", "told"),
    [
        pytest.param(2, signal.SIGKILL, id="first stage"),
        pytest.param(6, signal.SIGTERM, id="first stage, told to stop"),
        pytest.param(11, signal.SIGKILL, id="second stage"),
        pytest.param(9, signal.SIGTERM, id="second stage, told to stop"),
    ],
)
def test_either_stage_goes_on_as_if_nothing_were(
    number: int,
    told: signal.Signals,
    trainings: Trainings,
    unbroken_stages: tuple[Path, list[str]],
    tmp_path: Path,
) -> None:
    whole, moments = unbroken_stages
    assert moments.count("a batch") == 16  # two stages of two epochs of four batches
    recipe = write_recipe(tmp_path / "run.yaml", **TWO_STAGES)
    broken = trainings.train(recipe, place_of(moments, "a batch", number), [told])
    assert broken.code == (-told if told == signal.SIGKILL else 128 + told)
    assert (tmp_path / "run" / "pretrain" / "result.json").exists() is (number >= 8)
    resumed = trainings.train(recipe, resume=True)
    assert resumed.code == 0, resumed.said
    assert resumed.moments.count("a batch") <= 16 - number + 4  # nothing is trained twice
    assert_same_run(whole, tmp_path / "run")
    for name in ("last.safetensors", "best.safetensors"):
        assert same_weights(whole / "pretrain" / name, tmp_path / "run" / "pretrain" / name)


def test_a_kill_between_the_stages_repeats_neither(
    trainings: Trainings, unbroken_stages: tuple[Path, list[str]], tmp_path: Path
) -> None:
    whole, moments = unbroken_stages
    recipe = write_recipe(tmp_path / "run.yaml", **TWO_STAGES)
    killed = trainings.train(recipe, moments.index("after the rename to result.json"))
    assert killed.code == -signal.SIGKILL
    resumed = trainings.train(recipe, resume=True)
    assert resumed.moments.count("a batch") == 8
    assert_same_run(whole, tmp_path / "run")
