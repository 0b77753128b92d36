"""What trains cells, many at once: processes of this machine, or tasks of a Ray cluster."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import yaml

from hybridface.errors import StoppedError
from hybridface.files import write_atomically
from hybridface.study.config import Cell

POLL_SECONDS = 0.5


class Job(Protocol):
    """A cell that trains, as :class:`subprocess.Popen` is one."""

    @property
    def returncode(self) -> int | None:
        """Return 0 for a cell that has trained, another number for one that failed."""

    def poll(self) -> int | None:
        """Look whether it has ended; return :attr:`returncode`, None while it goes on."""

    def terminate(self) -> None:
        """Tell it to save and end."""

    def wait(self) -> Any:
        """Wait for its end."""


class CellProcess:
    """A cell that trains in a process of its own, which ends when this one has gone.

    Args:
        process: See :mod:`hybridface.training.started`; this is the other end of its standard
            input.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def returncode(self) -> int | None:
        """Return what it ended with; see :class:`Job`."""
        return self._process.returncode

    def poll(self) -> int | None:
        """Look whether it has ended; see :class:`Job`."""
        if self._process.poll() is not None:
            self._let_go()
        return self._process.returncode

    def terminate(self) -> None:
        """Tell it to save and end; on Windows no signal can, but letting go of it does."""
        if sys.platform == "win32":
            self._let_go()
        else:
            self._process.terminate()

    def wait(self) -> None:
        """Wait for its end."""
        self._process.wait()
        self._let_go()

    def _let_go(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()


def start_process(content: dict[str, Any], folder: Path) -> CellProcess:
    """Train a cell in a process of its own, which goes on with what is there.

    Args:
        content: Its resolved recipe.
        folder: Its run folder; recipe and log lie beside it.
    """
    recipe = folder.with_suffix(".yaml")
    write_atomically(recipe, yaml.safe_dump(content, sort_keys=False))
    train = ["train", str(recipe), "--resume", "--quiet"]
    command = [sys.executable, "-m", "hybridface.training.started", *train]
    with folder.with_suffix(".log").open("ab") as log:
        return CellProcess(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.PIPE))


def train_cells(
    cells: Sequence[Cell],
    start: Callable[[Cell], Job],
    room: Callable[[], int],
    stop: threading.Event,
    *,
    look: Callable[[Sequence[Cell], int], None],
    ended: Callable[[Cell, float], Sequence[Cell]],
) -> None:
    """Train cells in their order, as many at once as there is room for.

    Args:
        cells: The cells; those of one recipe are one cell, and train once.
        start: Starts one.
        room: Says how many may train at once.
        stop: Set where all are to end.
        look: Called again and again with the cells that train, and how many wait.
        ended: Called with each cell that has ended, and how many seconds after its start; returns
            the cells that had to wait for it.

    Raises:
        StoppedError: ``stop`` was set; every cell has saved what it had.
    """
    waiting: dict[str, Cell] = {}
    seen: set[str] = set()
    running: list[tuple[Cell, Job, float]] = []

    def wait(more: Sequence[Cell]) -> None:
        waiting.update({cell.key: cell for cell in more if cell.key not in seen})
        seen.update(waiting)

    wait(cells)
    try:
        while waiting or running:
            most = room()
            while waiting and len(running) < most:
                cell = waiting.pop(next(iter(waiting)))
                running.append((cell, start(cell), time.monotonic()))
            look([cell for cell, *_ in running], len(waiting))
            if stop.wait(POLL_SECONDS):
                raise told_to_stop()
            for entry in [entry for entry in running if entry[1].poll() is not None]:
                running.remove(entry)
                cell, _, started = entry
                wait(ended(cell, time.monotonic() - started))
    finally:
        for _, job, _ in running:
            job.terminate()
        for _, job, _ in running:
            job.wait()


def told_to_stop() -> StoppedError:
    """Build the error for a study that SIGTERM ended."""
    return StoppedError(
        "the study was told to stop, and what trained has saved where it was; the same command "
        "goes on with it"
    )


@contextmanager
def noticing_sigterm() -> Iterator[threading.Event]:
    """Give an event that SIGTERM sets, in place of what the signal does otherwise."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
