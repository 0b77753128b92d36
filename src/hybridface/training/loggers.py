"""Loggers beside TensorBoard's: MLflow's, that of Weights & Biases, or one of a user's own."""

from __future__ import annotations

import importlib.util
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger

from hybridface.config import Recipe
from hybridface.errors import HybridFaceError, UsageError, unknown
from hybridface.files import read_json_object
from hybridface.plugins import load_class
from hybridface.training.runs import RunFolder

PROJECT = "hybridface"


@dataclass(frozen=True)
class KnownLogger:
    """One of Lightning's loggers that is known by a short name.

    Attributes:
        place: Its class, as ``pkg.module:Class``.
        package: What has to be installed.
        install: How to install it.
        run: The option that names a run to go on with; the run's name is under ``version``.
        defaults: Options for a run folder that a recipe does not give.
    """

    place: str
    package: str
    install: str
    run: str
    defaults: Callable[[Path], dict[str, Any]]


def _mlflow_store() -> str:
    """Return where MLflow keeps runs; Lightning's own default is one that MLflow 3 refuses."""
    import mlflow

    return str(mlflow.get_tracking_uri())


KNOWN = {
    "mlflow": KnownLogger(
        place="pytorch_lightning.loggers:MLFlowLogger",
        package="mlflow",
        install='pip install "hybridface[mlflow]"',
        run="run_id",
        defaults=lambda run: {
            "experiment_name": PROJECT,
            "run_name": run.name,
            "tracking_uri": _mlflow_store(),
        },
    ),
    "wandb": KnownLogger(
        place="pytorch_lightning.loggers:WandbLogger",
        package="wandb",
        install="pip install wandb",
        run="id",
        defaults=lambda run: {"project": PROJECT, "name": run.name, "save_dir": str(run)},
    ),
}


class OutsideLogger(Logger):
    """Passes on what another logger is to keep; where that fails, the training goes on.

    The run folder has every figure, so a server that is gone costs nothing but its own page. The
    first failure is said, and the logger is left alone from then on.

    Args:
        name: What the recipe calls it.
        logger: The other logger.
    """

    def __init__(self, name: str, logger: Logger) -> None:
        super().__init__()
        self._name = name
        self.logger = logger
        self.failed = False

    @property
    def name(self) -> str:
        """Return what the recipe calls it."""
        return self._name

    @property
    def version(self) -> str:
        """Return nothing: a run's name is the other logger's affair."""
        return ""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Pass on figures."""
        self._pass_on(self.logger.log_metrics, dict(metrics), step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Pass on the recipe."""
        self._pass_on(self.logger.log_hyperparams, params, *args, **kwargs)

    def save(self) -> None:
        """Have it written."""
        self._pass_on(self.logger.save)

    def finalize(self, status: str) -> None:
        """Pass on that the training has ended, and how."""
        self._pass_on(self.logger.finalize, status)

    def close(self) -> None:
        """End a run of Weights & Biases, which a later training here would go on with."""
        finish = getattr(getattr(self.logger, "experiment", None), "finish", None)
        if callable(finish):
            self._pass_on(finish)

    def _pass_on(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        if self.failed:
            return
        try:
            method(*args, **kwargs)
        except Exception as error:  # whatever another's server or class does
            self.failed = True
            logging.getLogger(__name__).warning(
                f"training.loggers.{self.name}: {_said(error)}; it is told nothing more, and the "
                "run folder keeps every figure"
            )


def refuse_loggers(recipe: Recipe) -> None:
    """Refuse loggers that are not known, not installed, or told what they do not take.

    Raises:
        UsageError: Says which, and what it could be.
    """
    for name, options in recipe.training.loggers.items():
        place = f"training.loggers.{name}"
        kind = _find(name, place)
        known = KNOWN.get(name)
        given = known.defaults(recipe.run) | options if known else options
        try:
            inspect.signature(kind).bind(**given)
        except TypeError as error:
            takes = [each for each in inspect.signature(kind).parameters if each != "kwargs"]
            raise UsageError(f"{place}: {error}; it takes {', '.join(takes)}") from error


def _find(name: str, place: str) -> type[Logger]:
    if ":" in name:
        return load_class(name, Logger, {}, place)  # type: ignore[type-abstract]
    if name not in KNOWN:
        raise unknown("logger in training.loggers", name, [*KNOWN, "pkg.module:Class"])
    known = KNOWN[name]
    if importlib.util.find_spec(known.package) is None:
        raise UsageError(f"{place}: {known.package} is not installed: {known.install}")
    return load_class(known.place, Logger, {}, place)  # type: ignore[type-abstract]


def start_loggers(recipe: Recipe, folder: RunFolder, *, go_on: bool) -> list[OutsideLogger]:
    """Start the loggers of a recipe, and tell them the recipe.

    Args:
        recipe: The recipe.
        folder: The run folder; it keeps what the loggers call the run, so that a run that is gone
            on with goes on there too.
        go_on: Whether the run is gone on with.

    Raises:
        UsageError: See :func:`refuse_loggers`.
        HybridFaceError: One cannot be started, as where its server cannot be reached.
    """
    before = _read_runs(folder.loggers) if go_on else {}
    runs: dict[str, str] = {}
    started = []
    for name, options in recipe.training.loggers.items():
        place = f"training.loggers.{name}"
        kind, known = _find(name, place), KNOWN.get(name)
        given = dict(options)
        if known is not None:
            again = {known.run: before[name]} if name in before else {}
            given = known.defaults(folder.path) | again | options
        try:
            logger = kind(**given)
            if name not in before:
                logger.log_hyperparams(recipe.model_dump(mode="json"))
            if known is not None:
                _ = logger.experiment  # type: ignore[attr-defined]  # the run has no name before
                runs[name] = str(logger.version)
        except Exception as error:  # whatever another's server or class does
            raise HybridFaceError(f"{place}: cannot be started: {_said(error)}") from error
        started.append(OutsideLogger(name, logger))
    if runs:
        folder.write_json(folder.loggers, runs)
    return started


def end_loggers(loggers: list[OutsideLogger], result: Mapping[str, Any]) -> None:
    """Tell loggers the figures of the test split, and close them.

    Args:
        loggers: See :func:`start_loggers`.
        result: What ``result.json`` holds.
    """
    figures = _test_figures(result)
    for logger in loggers:
        if figures:
            logger.log_metrics(figures, result["steps"])
        logger.close()


def _test_figures(result: Mapping[str, Any]) -> dict[str, float]:
    """Return single figures of the test split, by names as validation's have: no task's first."""
    figures = {}
    for number, (task, parts) in enumerate(result.get("tasks", {}).items()):
        for part in ("test", "test_last"):
            for name, figure in (parts.get(part) or {}).items():
                value = figure.get("value") if isinstance(figure, Mapping) else None
                if value is not None:
                    figures["/".join((part, *([task] if number else []), name))] = float(value)
    return figures


def _read_runs(path: Path) -> dict[str, str]:
    return read_json_object(path) if path.exists() else {}


def _said(error: Exception) -> str:
    """Return what an error says, its first line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
