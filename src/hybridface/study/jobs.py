"""What trains a cell: a process of this machine, or a task of a Ray cluster."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import yaml

from hybridface.files import write_atomically


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


def start_process(content: dict[str, Any], folder: Path) -> subprocess.Popen[bytes]:
    """Train a cell in a process of its own, which goes on with what is there.

    Args:
        content: Its resolved recipe.
        folder: Its run folder; recipe and log lie beside it.
    """
    recipe = folder.with_suffix(".yaml")
    write_atomically(recipe, yaml.safe_dump(content, sort_keys=False))
    command = [sys.executable, "-m", "hybridface", "train", str(recipe), "--resume", "--quiet"]
    with folder.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


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
