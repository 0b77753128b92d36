"""Cells of a study as tasks of a Ray cluster; what they find is written by the study alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hybridface.errors import HybridFaceError, UsageError
from hybridface.files import write_atomically

LOCAL = "local"
RESULT = "result.json"
# What rows and details are made of, the run's report, and what its model is measured elsewhere by.
FILES = (
    "config.yaml", "config.json", "data.json", "environment.json", "metrics.jsonl", "samples.npz",
    "predictions.npz", "best.safetensors", "last.safetensors", "model.onnx", RESULT,
)  # fmt: skip
RETRIES = 3
SECONDS_TO_SAVE = 60


def train_cell(content: dict[str, Any]) -> dict[str, bytes]:
    """Train a cell, or go on with it where the run folder is there; called in a worker.

    Args:
        content: Its resolved recipe.

    Returns:
        The files of the finished run, for a study that does not see this machine's.

    Raises:
        RuntimeError: It failed; says why. An error of a worker must be one that Ray can send.
    """
    from hybridface.config import build_recipe
    from hybridface.training.train import train

    try:
        run = train(build_recipe(content), resume=True).folder
    except HybridFaceError as error:
        raise RuntimeError(str(error)) from error
    return {name: (run / name).read_bytes() for name in FILES if (run / name).exists()}


class RayJob:
    """A cell that trains on the cluster.

    Args:
        ray: The module.
        task: What Ray gave for the task.
        folder: Where its files belong.
    """

    def __init__(self, ray: Any, task: Any, folder: Path) -> None:
        self._ray, self._task, self._folder = ray, task, folder
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Look whether it has ended, and take over its files; see :class:`Job`."""
        if self.returncode is None and self._ray.wait([self._task], timeout=0)[0]:
            self.returncode = self._collect()
        return self.returncode

    def terminate(self) -> None:
        """Interrupt it, as Ctrl-C does: it saves the step it is at."""
        if self.returncode is None:
            self._ray.cancel(self._task)

    def wait(self) -> None:
        """Wait for its end; a worker that does not answer is not waited for."""
        if self.returncode is None:
            self._ray.wait([self._task], timeout=SECONDS_TO_SAVE)

    def _collect(self) -> int:
        try:
            files = self._ray.get(self._task)
        except self._ray.exceptions.RayError as error:
            said = str(getattr(error, "cause", None) or error).strip()
            write_atomically(self._folder.with_suffix(".log"), said + "\n")
            return 1
        if not (self._folder / RESULT).exists():  # the worker's folder is not seen from here
            self._write_run(files)
        return 0

    def _write_run(self, files: Mapping[str, bytes]) -> None:
        """Put a worker's run in the place of what may have been begun here."""
        (self._folder / "checkpoint.ckpt").unlink(missing_ok=True)
        for name in sorted(files, key=RESULT.__eq__):  # the result last: it makes a run finished
            write_atomically(self._folder / name, files[name])


class RayCluster:
    """A Ray cluster on which cells train.

    A worker that is killed, or whose machine is gone, is replaced, up to three times a cell; the
    cell goes on where its run folder is seen (a shared ``HYBRIDFACE_CACHE``), or begins anew. A
    cell that fails by an error of its own does not come again.

    Args:
        address: ``local`` to start one on this machine, ``auto`` for the one that runs here, or
            its address.
        cpus: CPUs that a cell takes.
        gpus: GPUs that a cell takes.

    Raises:
        UsageError: Ray is not installed, or no cell fits the cluster.
        HybridFaceError: There is no such cluster.
    """

    def __init__(self, address: str = LOCAL, cpus: float = 1, gpus: float = 0) -> None:
        try:
            import ray
        except ModuleNotFoundError as error:
            raise UsageError(
                '--ray needs Ray, which is missing: pip install "hybridface[ray]"'
            ) from error
        self._ray: Any = ray
        self.cpus, self.gpus = cpus, gpus
        try:
            # Ray takes no word for one on this machine that it starts, but its absence.
            where = {} if address == LOCAL else {"address": address}
            ray.init(**where, include_dashboard=False if address == LOCAL else None,
                     log_to_driver=False, logging_level="error")  # fmt: skip
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise HybridFaceError(
                f"--ray {address}: there is no Ray cluster ({error}); start one by 'ray start "
                f"--head', or take --ray {LOCAL}"
            ) from error
        # A process for each cell, so that none sees what another left behind.
        self._train = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES, max_calls=1)(
            train_cell
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ray.shutdown()

    def capacity(self) -> int:
        """Return how many cells the cluster trains at once, as it is now.

        Raises:
            UsageError: Not a single one.
        """
        there = self._ray.cluster_resources()
        wanted = {"CPU": self.cpus, "GPU": self.gpus}
        fits = [int(there.get(name, 0) // count) for name, count in wanted.items() if count]
        if not min(fits, default=1):
            raise UsageError(
                f"--ray: a cell takes {self.cpus:g} CPUs and {self.gpus:g} GPUs, the cluster has "
                f"{there.get('CPU', 0):g} and {there.get('GPU', 0):g}; take a smaller --cell-cpus "
                "or --cell-gpus"
            )
        return min(fits, default=1)

    def start(self, content: dict[str, Any], folder: Path) -> RayJob:
        """Train a cell; see :func:`hybridface.study.jobs.start_process`."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        return RayJob(self._ray, self._train.remote(content), folder)
