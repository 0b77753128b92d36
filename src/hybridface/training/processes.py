"""The processes that train one model together: joining them, and acting as one."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.callbacks import Callback
from torch import distributed as dist

from hybridface.config import Recipe, TrainingConfig
from hybridface.errors import HybridFaceError, UsageError

# How long one may wait for another that does something alone, as decoding a large data set.
LONGEST_WAIT = timedelta(hours=6)
# How long one may wait within a training. gloo notices by itself that a process is gone, NCCL does
# not; the longest that one does alone there is to look at the training rows, on a GPU.
LONGEST_STEP = {"gloo": LONGEST_WAIT, "nccl": timedelta(minutes=30)}
Result = TypeVar("Result")


@dataclass(frozen=True)
class Processes:
    """This process among those that train the model.

    Attributes:
        rank: Number of this process.
        on_machine: Number of this process among those of its machine.
        count: How many there are.
        environment: What started them; null where there is one.
        group: In which they wait for what one does alone; null where there is one.
    """

    rank: int = 0
    on_machine: int = 0
    count: int = 1
    environment: ClusterEnvironment | None = None
    group: dist.ProcessGroup | None = None

    @property
    def first(self) -> bool:
        """Say whether this is the process that writes the run folder."""
        return self.rank == 0

    def first_does(self, action: Callable[[], Result]) -> Result:
        """Let the first process do something and return its result in all.

        Raises:
            HybridFaceError: It failed; raised in all.
        """
        result: Result = self._agree(action if self.first else None)[0]
        return result

    def first_on_each_machine_does(self, action: Callable[[], Any]) -> None:
        """Let a process of each machine do something while the others wait.

        Raises:
            HybridFaceError: One failed; raised in all.
        """
        self._agree((lambda: action() and None) if self.on_machine == 0 else None)

    def _agree(self, action: Callable[[], Any] | None) -> list[Any]:
        """Do something where there is something to do; return all results, in the order of ranks.

        What fails in one process is raised in all.
        """
        result: Any = None
        error: Exception | None = None
        try:
            result = None if action is None else action()
        except Exception as problem:  # raised below, when the others know of it
            error = problem
        if self.count == 1:
            every = [(result, error)]
        else:
            every = [(None, None)] * self.count
            dist.all_gather_object(every, (result, _shareable(error)), self.group)
        errors = [each for _, each in every if each is not None]
        if errors:
            raise error or errors[0]
        return [each for each, _ in every]


def _shareable(error: Exception | None) -> HybridFaceError | None:
    """Return an error as the other processes are told of it."""
    if error is None or isinstance(error, HybridFaceError):
        return error
    return HybridFaceError(f"another process failed: {type(error).__name__}: {error}")


@contextmanager
def joined(training: TrainingConfig) -> Iterator[Processes]:
    """Join the other processes of a training, where there are any, and leave them in the end.

    Raises:
        UsageError: This process was started as one of another number of processes.
    """
    if training.processes == 1:
        yield Processes()
        return
    environment = surroundings()
    assert environment is not None
    backend = "nccl" if on_gpu(training) else "gloo"
    if backend == "nccl":
        torch.cuda.set_device(environment.local_rank())
    os.environ["MASTER_ADDR"] = environment.main_address
    os.environ["MASTER_PORT"] = str(environment.main_port)
    rank, count = environment.global_rank(), environment.world_size()
    patience = LONGEST_STEP[backend]
    dist.init_process_group(backend, rank=rank, world_size=count, timeout=patience)
    try:
        group = dist.new_group(backend="gloo", timeout=LONGEST_WAIT)
        assert not isinstance(group, int)  # which those have that are not in it
        yield Processes(rank, environment.local_rank(), count, environment, group)
    finally:
        dist.destroy_process_group()


def on_gpu(training: TrainingConfig) -> bool:
    """Say whether a training runs on a GPU here."""
    return training.device != "cpu" and torch.cuda.is_available()


def surroundings() -> ClusterEnvironment | None:
    """Return what started this process as one of several; null where nothing did.

    Raises:
        UsageError: SLURM did, but not as Lightning wants it.
    """
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    try:
        return SLURMEnvironment(auto_requeue=False) if SLURMEnvironment.detect() else None
    except RuntimeError as error:
        raise UsageError(f"SLURM: {error}") from error


def has_to_start_others(training: TrainingConfig) -> bool:
    """Say whether the processes of a training have to be started, as none was by anyone else.

    Raises:
        UsageError: Another number was started than the recipe asks for, or it asks for several
            machines and this was started on one, or for several processes on Windows.
    """
    environment = surroundings() if training.processes > 1 else _torchrun()
    there = 1 if environment is None else environment.world_size()
    if there == training.processes:
        if environment is not None:
            _check_machines(environment, training)
        return False
    if there > 1:
        raise UsageError(
            f"training.devices x training.nodes is {training.processes}, but {there} processes "
            "were started; make the two equal"
        )
    if training.nodes > 1:
        raise UsageError(
            f"training.nodes is {training.nodes}: start the command on each machine, by torchrun "
            f"--nnodes={training.nodes} --nproc-per-node={training.devices} or by SLURM's srun"
        )
    if sys.platform == "win32":
        raise UsageError(
            f"training.devices is {training.devices}: several processes do not find each other on "
            "Windows; take 1, or train under WSL"
        )
    return True


def _check_machines(environment: ClusterEnvironment, training: TrainingConfig) -> None:
    try:
        environment.validate_settings(training.devices, training.nodes)
    except ValueError as error:
        raise UsageError(f"training.devices, training.nodes: {error}") from error


def _torchrun() -> ClusterEnvironment | None:
    return TorchElasticEnvironment() if TorchElasticEnvironment.detect() else None


def refuse_unequal_shares(recipe: Recipe) -> None:
    """Refuse batches and devices that the processes cannot share equally.

    Raises:
        UsageError: Says which.
    """
    training = recipe.training
    shared = {"training.batch_size": training.batch_size}
    if recipe.data.unlabelled:
        shared["the pictures without labels of a step"] = recipe.unlabelled_a_step
    for name, count in shared.items():
        if count % training.processes:
            raise UsageError(
                f"{name}: {count} pictures cannot be shared equally by {training.processes} "
                "processes (training.devices x training.nodes); take a multiple of that"
            )
    if on_gpu(training) and training.devices > torch.cuda.device_count():
        raise UsageError(
            f"training.devices is {training.devices}, but PyTorch sees "
            f"{torch.cuda.device_count()} CUDA devices here"
        )


class EndAtOnce(Callback):
    """Lets SIGTERM end a process of several at once.

    Lightning would talk to the others from within the handler, and wait for ever for those that
    are elsewhere. What has been kept of the run is whole at every moment.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the handler back that Lightning has set."""
        with suppress(ValueError):  # only the main thread can be told of signals
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
