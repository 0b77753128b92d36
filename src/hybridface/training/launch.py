"""Starts the processes of a training on this machine, and ends them all when one ends."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from hybridface.config import Recipe
from hybridface.errors import HybridFaceError, StoppedError, UsageError

HANDLED = tuple(
    signal.Signals[name]
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
    if name in signal.Signals.__members__
)
# PyTorch would warn in every process that no parameter is unused, which is as it should be.
WORK = """
import os, sys
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
sys.path[:] = {path!r}
from hybridface.training.launched import work
work({file!r}, {parent!r}, resume={resume!r}, show_progress={show_progress!r})
"""


def train_in_processes(recipe: Recipe, *, resume: bool, show_progress: bool) -> None:
    """Train in ``training.devices`` processes on this machine, until all have ended.

    Args:
        recipe: The recipe.
        resume: Go on with the run in ``recipe.run`` where there is one.
        show_progress: Show the first process's progress bars on the terminal.

    Raises:
        HybridFaceError: One of them failed or was killed; the others were ended.
        KeyboardInterrupt: All were ended, by Ctrl-C.
    """
    for name in list(logging.Logger.manager.loggerDict):
        if name.startswith("torch.distributed.elastic"):  # the errors raised here say all
            logging.getLogger(name).setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="hybridface-") as folder, _handlers_kept():
        file = Path(folder) / "recipe.yaml"
        file.write_text(recipe.to_yaml(), encoding="utf-8")
        program = WORK.format(
            path=sys.path, file=str(file), parent=os.getpid(), resume=resume,
            show_progress=show_progress,
        )  # fmt: skip
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=recipe.training.devices,
            run_id=Path(folder).name,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        try:
            elastic_launch(config, sys.executable)("-c", program)
        except ChildFailedError as error:
            raise cause(recipe, error.failures) from error
        except SignalException as stop:
            if stop.sigval == signal.SIGINT:
                raise KeyboardInterrupt from stop
            raise StoppedError(
                f"{recipe.run}: training was told to stop; it goes on from its last checkpoint by "
                "--resume"
            ) from stop


def cause(recipe: Recipe, failures: Mapping[int, ProcessFailure]) -> HybridFaceError:
    """Return what went wrong first in processes that ended each other.

    One that loses another fails too, and the rest are ended by SIGTERM; so an error that is meant
    for the user comes before a kill, and that before any other error.
    """
    for _, failure in sorted(failures.items()):
        code = failure.error_file_data.get("exit_code")
        if code is not None:
            kind = UsageError if code == UsageError.exit_code else HybridFaceError
            return kind(failure.message)

    def order(item: tuple[int, ProcessFailure]) -> tuple[int, int, int]:
        rank, failure = item
        by_agent = failure.exitcode == -signal.SIGTERM
        return (2 if by_agent else 0 if failure.exitcode < 0 else 1, failure.timestamp, rank)

    rank, failure = min(failures.items(), key=order)
    ended = failure.exitcode < 0
    what = f"was killed by {failure.signal_name()}" if ended else f"failed: {failure.message}"
    return HybridFaceError(
        f"{recipe.run}: process {rank} of {recipe.training.devices} {what}; the others were ended. "
        "Go on with the run by --resume"
    )


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Set the signal handlers back that PyTorch's launcher replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in HANDLED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
