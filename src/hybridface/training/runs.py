"""Run folders: what a training leaves behind, and the weights in it (never pickled)."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import nn

import hybridface
from hybridface.config import BackboneConfig, Recipe, build_recipe
from hybridface.config.content import read_yaml, validate
from hybridface.errors import DataError, HybridFaceError, UsageError
from hybridface.files import (
    at_home,
    cannot_write,
    read_json_object,
    remove_unfinished,
    write_atomically,
)
from hybridface.network.model import HybridModel
from hybridface.tasks import build_tasks, resolve_tasks
from hybridface.tasks.base import Task

FORMAT = 1
LOCK = ".lock"
# Recipe keys that may change where a run is gone on with: they do not change what is trained.
FREE_KEYS = (
    "run", "training.threads", "training.device", "training.checkpoint_minutes",
    "training.measure_training_rows", "training.loggers", "data.cache_limit_gib", "data.workers",
)  # fmt: skip
PACKAGES = ("hybridface", "torch", "timm", "pytorch-lightning", "torchmetrics", "numpy", "onnx")


class RunFolder:
    """The files of a run.

    Attributes:
        path: The folder.
        recipe: ``config.yaml``, the resolved recipe.
        metrics: ``metrics.jsonl``, a line each time the validation split was looked at.
        checkpoint: ``checkpoint.ckpt``, to go on with the run.
        best: ``best.safetensors``, weights chosen by validation.
        last: ``last.safetensors``, weights after the last epoch.
        model: ``model.onnx``, the best weights for use.
        result: ``result.json``, figures of the finished run; a run without it is not finished.
    """

    def __init__(self, path: Path) -> None:
        self.path = path = at_home(path)
        self.recipe = path / "config.yaml"
        self.metrics = path / "metrics.jsonl"
        self.checkpoint = path / "checkpoint.ckpt"
        self.best = path / "best.safetensors"
        self.last = path / "last.safetensors"
        self.architecture = path / "config.json"
        self.model = path / "model.onnx"
        self.result = path / "result.json"
        self.data = path / "data.json"
        self.environment = path / "environment.json"
        self.predictions = path / "predictions.npz"
        self.samples = path / "samples.npz"
        self.report = path / "report.html"
        self.tensorboard = path / "tensorboard"
        self.loggers = path / "loggers.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process out of the run while it is trained.

        Where no run is begun meanwhile, as the folder or the data is refused, nothing is left of
        it: neither the lock nor a folder that was made for it.

        Raises:
            HybridFaceError: Another process trains it, or the folder cannot be written.
        """
        place = self.path / LOCK
        try:
            folder_is_new = not self.path.exists()
            lock_is_new, begun = not place.exists(), self.recipe.exists()
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be a run folder ({error.strerror})") from error
        lock = FileLock(place, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise HybridFaceError(f"{self.path}: another process is training this run") from error
        except OSError as error:
            raise cannot_write(place, error) from error
        try:
            yield
        finally:
            unused = lock_is_new and self.recipe.exists() == begun
            if unused:
                with suppress(OSError):  # Windows removes no file that is open
                    place.unlink()  # while it is held, so that nobody has just taken it
            lock.release()
            if unused and folder_is_new:
                with suppress(OSError):  # something lies in it
                    self.path.rmdir()

    def read_result(self) -> dict[str, Any]:
        """Return what ``result.json`` holds.

        Raises:
            DataError: It is missing or damaged.
        """
        return read_json_object(self.result)

    def check(self, recipe: Recipe, *, resume: bool) -> None:
        """Refuse a folder that a run cannot be kept in.

        Args:
            recipe: What will be trained.
            resume: Whether to go on with the run that lies there.

        Raises:
            UsageError: The folder holds a run and ``resume`` is off, or another recipe's run, or
                files that are none of a run's.
        """
        if self.path.is_dir():
            # Of a run that was killed while it wrote its first file, half of that may be left.
            begun = f".{self.recipe.name}."
            names = [entry.name for entry in self.path.iterdir()]
            there = any(name != LOCK and not name.startswith(begun) for name in names)
        else:
            there = self.path.exists()
        if there and not self.recipe.exists():  # what a run writes first
            found = "holds files but no run" if self.path.is_dir() else "is no folder"
            raise UsageError(f"{self.path} {found}; name another with run=FOLDER")
        if there and not resume:
            raise UsageError(
                f"{self.path} already holds a run; name another with run=FOLDER, go on with it "
                "by --resume, or remove it"
            )
        if there:
            # Options that came since that run was begun are filled in, at their defaults.
            before, _ = resolve_tasks(build_recipe(read_yaml(self.recipe), str(self.recipe)))
            now, _ = resolve_tasks(recipe)
            ours, theirs = (each.model_dump(mode="json") for each in (now, before))
            changed = [
                f"{key} ({one!r} there, {other!r} now)"
                for key, (one, other) in differing_keys(theirs, ours).items()
                if not any(f"{key}.".startswith(f"{free}.") for free in FREE_KEYS)
            ]
            if changed:
                raise UsageError(
                    f"{self.path} was made by another recipe; it differs in {', '.join(changed)}. "
                    "Give the same recipe to go on, or name another run folder"
                )

    def open(self, recipe: Recipe) -> None:
        """Write what is known of a run before it starts."""
        self.remove_unfinished()
        write_atomically(self.recipe, recipe.to_yaml())
        write_atomically(self.environment, json.dumps(describe_environment(), indent=2))

    def remove_unfinished(self) -> None:
        """Remove what kills left half written."""
        remove_unfinished(path for path in vars(self).values() if path != self.path)

    def write_json(self, path: Path, content: Any) -> None:
        """Write JSON, whole or not at all."""
        write_atomically(path, json.dumps(content, indent=1))


def differing_keys(
    one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = ""
) -> dict[str, tuple[Any, Any]]:
    """Return both values for each dotted key in which two nested mappings differ, and each order.

    The order of tasks decides what is drawn, what selects, and which weight is which.
    """
    keys: dict[str, tuple[Any, Any]] = {}
    orders = [k for k in one if k in other], [k for k in other if k in one]
    if orders[0] != orders[1]:
        keys[f"the order of {prefix.removesuffix('.') or 'keys'}"] = orders
    for key in [*one, *(key for key in other if key not in one)]:
        a, b = one.get(key), other.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            keys |= differing_keys(a, b, f"{prefix}{key}.")
        elif a != b:
            keys[f"{prefix}{key}"] = (a, b)
    return keys


def describe_machine() -> str:
    """Return the class of the machine: processor, cores, accelerator."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        names = [line for line in lines if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{os.cpu_count()} cores {model}{gpu}"


def revision() -> str | None:
    """Return the git revision of the package's checkout, with ``+`` where files were changed."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "--short=12", "HEAD"],
            capture_output=True, encoding="utf-8", check=True,
        ).stdout.strip()  # fmt: skip
        changed = subprocess.run(
            ["git", "-C", str(here), "status", "--porcelain", "--untracked-files=no", "--", "."],
            capture_output=True, encoding="utf-8", check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")


def describe_environment() -> dict[str, Any]:
    """Return versions, machine and revision, to reproduce a run by."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "machine": describe_machine(),
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "versions": versions,
        "revision": revision(),
    }


def save_weights(module: nn.Module, path: Path) -> None:
    """Write a module's parameters and buffers as safetensors, whole or not at all.

    Raises:
        HybridFaceError: They cannot be written; what was there before is kept.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    write_atomically(path, to_bytes(state))


def load_weights(module: nn.Module, path: Path) -> None:
    """Read safetensors into a module.

    Raises:
        DataError: The file is missing, damaged, or of another architecture.
    """
    try:
        module.load_state_dict(load_file(path))
    except FileNotFoundError as error:
        raise DataError(f"{path}: there are no weights") from error
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: not a whole safetensors file ({error})") from error
    except RuntimeError as error:
        raise DataError(f"{path}: weights of another architecture: {error}") from error


def architecture(recipe: Recipe, tasks: Sequence[Task]) -> dict[str, Any]:
    """Return what it takes to build the model again without its data, for ``config.json``."""
    return {
        "format": FORMAT,
        "size": recipe.data.size,
        "backbone": recipe.backbone.model_dump(mode="json"),
        "tasks": {
            task.name: {"options": task.config.model_dump(mode="json")} | task.describe()
            for task in tasks
        },
    }


def load_model(run: Path, which: str = "best") -> tuple[HybridModel, list[Task]]:
    """Build a run's model again and load its weights.

    Args:
        run: The run folder.
        which: ``best`` or ``last``.

    Returns:
        The model in evaluation mode, and its tasks.

    Raises:
        DataError: The run has no such weights, they are damaged, or of a format that this version
            does not know.
    """
    folder = RunFolder(run)
    try:
        content = read_json_object(folder.architecture)
    except DataError as error:
        raise DataError(f"{error}; is {run} a run?") from error
    try:
        _check_format(content, folder.architecture)
        size, described, network = content["size"], content["tasks"], content["backbone"]
        options = {name: entry["options"] for name, entry in described.items()}
    except (KeyError, TypeError, AttributeError) as error:
        what = f"damaged ({type(error).__name__}: {error})"
        raise DataError(f"{folder.architecture}: {what}; is {run} a run?") from error
    tasks = build_tasks(options)
    for task in tasks:
        task.restore(described[task.name], size)
    backbone = validate(BackboneConfig, network, str(folder.architecture))
    model = HybridModel(backbone.model_copy(update={"init": "random"}), tasks, size)
    load_weights(model, folder.best if which == "best" else folder.last)
    return model.eval(), tasks


def _check_format(content: Mapping[str, Any], path: Path) -> None:
    found = content["format"]
    if found != FORMAT:
        raise DataError(
            f"{path}: weights of format {found}; this is hybridface {hybridface.__version__}, "
            f"which reads format {FORMAT}. Use the version that wrote them (see environment.json "
            "beside it); model.onnx may still be read"
        )
