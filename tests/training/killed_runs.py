"""Trains, ends at given moments and goes on; run by test_killed.py as a process of its own.

It reads orders from standard input, a line of JSON each, and answers each by a line. Torch is
imported once; each training is a fork of a process that has started no thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import tensorboard.compat
import torch

import hybridface.files
import hybridface.report.run
from hybridface import cli
from hybridface.training import finish, train
from hybridface.training.callbacks import RunKeeper
from hybridface.training.module import HybridModule


class Moments:
    """Counts what a training passes, and does something at one moment of it."""

    def __init__(self, at: int | None, signals: list[int], log: Path) -> None:
        self.at, self.signals, self.log = at, signals, log
        self.passed: list[str] = []

    def come(self, name: str) -> None:
        """Note a moment; send this process its signals where it is the chosen one."""
        if len(self.passed) == self.at:
            for number in self.signals:
                os.kill(os.getpid(), number)
        self.passed.append(name)
        self.log.write_text(json.dumps(self.passed), encoding="utf-8")

    def before(self, owner: Any, method: str, name: str) -> None:
        """Let a moment come before each call of a method."""
        go = getattr(owner, method)

        def watched(*arguments: Any, **options: Any) -> Any:
            self.come(name)
            return go(*arguments, **options)

        setattr(owner, method, watched)

    def within_writes(self) -> None:
        """Let moments come when half of a file is written, when all is, and when it is in place."""
        go, replace = os.fdopen, Path.replace
        moments = self

        def fdopen(handle: int, *arguments: Any) -> Any:
            name = Path(f"/proc/self/fd/{handle}").readlink().stem
            file = go(handle, *arguments)
            write = file.write

            def by_halves(data: bytes) -> None:
                write(data[: len(data) // 2])
                file.flush()
                moments.come(f"half of {name}")
                write(data[len(data) // 2 :])

            return contextlib.closing(Watched(file, by_halves))

        def replaced(path: Path, target: Path) -> Path:
            moments.come(f"before the rename of {path.stem}")
            done = replace(path, target)
            moments.come(f"after the rename to {target.name}")
            return done

        hybridface.files.os = type("Os", (), {**vars(os), "fdopen": fdopen})  # type: ignore[assignment]
        Path.replace = replaced  # type: ignore[method-assign, assignment]


class Watched:
    """A file that is written by halves."""

    def __init__(self, file: Any, write: Any) -> None:
        self.flush, self.fileno, self.close, self.write = file.flush, file.fileno, file.close, write


def run(order: dict[str, Any]) -> None:
    """Train as an order says; in a fork."""
    with Path(order["log"]).open("w", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    moments = Moments(order["at"], order["signals"], Path(order["moments"]))
    moments.before(HybridModule, "training_step", "a batch")
    moments.before(HybridModule, "on_train_batch_end", "an average")
    moments.before(HybridModule, "validation_step", "a validation")
    moments.before(RunKeeper, "_note", "an epoch's figures")
    moments.before(train, "finish_run", "the end")
    moments.within_writes()
    # Both take longer than these trainings.
    finish.export_onnx = lambda *_, **__: 0.0
    hybridface.report.run.write_run_report = lambda run: run
    sys.argv = ["hybridface", "train", *order["command"]]
    cli.main()


def main() -> None:
    """Answer orders until there are no more."""
    torch.set_num_threads(1)
    assert tensorboard.compat.tf  # imports it
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                run(json.loads(line))
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(bool(end.code))
            finally:
                os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
