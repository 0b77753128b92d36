"""Cells that train as processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hybridface.study.jobs import start_process
from tiny_runs import tiny_recipe

STUDY = """
import sys, time, yaml
from pathlib import Path
from hybridface.study.jobs import start_process
job = start_process(yaml.safe_load(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
print(job._process.pid, flush=True)
time.sleep(600)
"""


def _wait_until(there: Path, seconds: float = 100) -> None:
    end = time.monotonic() + seconds
    while not there.exists():
        assert time.monotonic() < end, f"{there} did not come"
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    """Say whether a process runs; a zombie, which nobody has asked for yet, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


WAITS = """
import signal, sys, time
from hybridface.training.started import end_with_starter
signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to save"))
end_with_starter()
print("waits", flush=True)
time.sleep(600)
"""


def test_the_end_of_what_started_a_training_is_a_sigterm() -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", WAITS], text=True, **pipes) as training:
        assert training.stdin and training.stdout and training.stderr
        assert training.stdout.readline() == "waits\n"
        assert training.poll() is None
        training.stdin.close()  # as the system does when its other end is killed
        assert training.wait(20) == 1
        said = training.stderr.read()
    assert "what started this training has gone; it saves and ends" in said
    assert "told to save" in said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for the process in /proc")
def test_a_training_ends_with_a_study_that_is_killed(tmp_path: Path, drawn_cache: Path) -> None:
    """Left alone it would train on for hours, and hold its folder against the next start."""
    file, run = tmp_path / "recipe.yaml", tmp_path / "cells" / "cell"
    run.parent.mkdir()
    recipe = tiny_recipe(run, training={"epochs": 10_000, "checkpoint_minutes": 60})
    file.write_text(recipe.to_yaml(), encoding="utf-8")
    command = [sys.executable, "-c", STUDY, str(file), str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as study:
        assert study.stdout is not None
        pid = int(study.stdout.readline())
        _wait_until(run / "metrics.jsonl")
        assert _runs(pid)
        study.kill()
    end = time.monotonic() + 30
    while _runs(pid):
        assert time.monotonic() < end, "the training went on"
        time.sleep(0.1)
    said = run.with_suffix(".log").read_text()
    assert "what started this training has gone; it saves and ends" in said
    assert "stopped by SIGTERM after step" in said
    assert (run / "checkpoint.ckpt").exists()


def test_a_training_that_is_told_to_end_is_waited_for(tmp_path: Path, drawn_cache: Path) -> None:
    run = tmp_path / "cell"
    job = start_process(tiny_recipe(run).model_dump(mode="json"), run)
    assert job.poll() is job.returncode is None
    job.terminate()
    job.wait()
    assert job.poll() == job.returncode == -signal.SIGTERM
