"""Run folders as training writes them, read defensively."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hybridface.errors import HybridFaceError, UsageError
from hybridface.evaluation.number_text import decimals_of
from hybridface.evaluation.predictions import UNREADABLE
from hybridface.files import read_json, read_json_object

Content = TypeVar("Content")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Score(_Record):
    """A measured value with its 95% interval over pictures or persons, where there is one."""

    value: float | None
    ci95: tuple[float, float] | None = None


class ClassScore(_Record):
    """How well one class was found: fractions of 1, and its number of pictures."""

    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    count: int | None = None


class Confusion(_Record):
    """Counts of pictures; row is the true class, column the predicted one."""

    classes: list[str]
    counts: list[list[int]]

    @model_validator(mode="after")
    def _is_square(self) -> Confusion:
        sizes = {len(self.classes), len(self.counts), *(len(row) for row in self.counts)}
        if len(sizes) != 1:
            raise ValueError("counts is not one row and one column for each class")
        return self


class Metrics(_Record):
    """One evaluation: every entry that has a ``value`` is a score."""

    scores: dict[str, Score] = Field(default_factory=dict)
    per_class: dict[str, ClassScore] = Field(default_factory=dict)
    confusion: Confusion | None = None
    count: int | None = None
    by_yaw: dict[str, Metrics] = Field(default_factory=dict)
    by_source: dict[str, Metrics] = Field(default_factory=dict)

    @property
    def digits(self) -> int:
        """How many decimals figures have that are no fractions: more where errors are small."""
        error = self.scores.get("mae")
        return max(3, decimals_of([error.value if error else None], ""))

    @model_validator(mode="before")
    @classmethod
    def _gather_scores(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        scores = {
            name: entry
            for name, entry in content.items()
            if name not in cls.model_fields and isinstance(entry, dict) and "value" in entry
        }
        return {**content, "scores": scores}


class Result(_Record):
    """What ``result.json`` says of a finished run."""

    name: str
    label: str | None
    best_epoch: int | None = None
    epochs: int | None = None
    steps: int | None = None
    seconds: float | None = None
    train_rows: int | None = None
    parameters: int | None = None
    val: Metrics | None = None
    test: Metrics | None = None
    test_last: Metrics | None = None
    tasks: dict[str, dict[str, Metrics | None]] = Field(default_factory=dict)
    not_exported: str | None = None

    @property
    def first_task(self) -> str:
        """The supervised task that chose the weights; of an older run, its label."""
        return next(iter(self.tasks), self.label or "")


class Validation(_Record):
    """One line of ``metrics.jsonl``: training means since the last line, and a validation."""

    epoch: float
    train: dict[str, float | None] = Field(default_factory=dict)
    val: dict[str, float | None] = Field(default_factory=dict)


class Problem(_Record):
    """Something wrong in the data, and where."""

    where: str
    what: str


class _BySplit(_Record):
    """Figures of what has names, by split; every key beside the fields is a split."""

    names: list[str]

    @model_validator(mode="before")
    @classmethod
    def _gather_splits(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            raise ValueError("expected names, and figures for each split")
        said = {name: content[name] for name in cls.model_fields if name in content}
        splits = {name: figures for name, figures in content.items() if name not in said}
        return {**said, "splits": splits}


class ClassCounts(_BySplit):
    """How many pictures each class of a label column has, by split, in the order of ``names``."""

    splits: dict[str, list[int]]

    @model_validator(mode="after")
    def _fits(self) -> ClassCounts:
        if any(len(counts) != len(self.names) for counts in self.splits.values()):
            raise ValueError("not one count for each name")
        return self


class NumberCounts(_BySplit):
    """How the numbers of a label column lie, by split: a list of one value a number each."""

    unit: str = ""
    splits: dict[str, dict[str, list[float | None]]]


class UnlabelledSummary(_Record):
    """The pictures without labels: how many, by data set as the recipe names it."""

    sources: dict[str, int] = Field(default_factory=dict)


class DataSummary(_Record):
    """What ``data.json`` says of the data; ``classes`` holds counts by label column."""

    source: str = ""
    rows: dict[str, int] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    dropped_duplicates: list[str] = Field(default_factory=list)
    dropped_from_validation: list[str] = Field(default_factory=list)
    problems: list[Problem] = Field(default_factory=list)
    classes: dict[str, ClassCounts] = Field(default_factory=dict)
    numbers: dict[str, NumberCounts] = Field(default_factory=dict)
    unlabelled: UnlabelledSummary | None = None


@dataclass(frozen=True)
class RunContent:
    """The content of a run folder; what is missing is None or empty.

    Attributes:
        path: The folder.
        result: ``result.json``, None while the run goes on.
        history: ``metrics.jsonl``.
        data: ``data.json``.
        config: The text of ``config.yaml``.
        environment: ``environment.json``.
        samples: ``samples.npz``, ``(B, H, W, 3)`` uint8 by ``"<task>/<caption>"``.
    """

    path: Path
    result: Result | None
    history: list[Validation]
    data: DataSummary | None
    config: str
    environment: dict[str, Any]
    samples: Mapping[str, NDArray[np.uint8]]

    @property
    def name(self) -> str:
        """The name of the run, or of its folder while the run goes on."""
        return self.result.name if self.result else self.path.name


def read_run(folder: Path) -> RunContent:
    """Read a run folder.

    Args:
        folder: What training wrote.

    Returns:
        Its content.

    Raises:
        UsageError: The folder has neither ``result.json`` nor ``metrics.jsonl``.
        HybridFaceError: One of its files is broken; the message names it.
    """
    result = _read(folder / "result.json", lambda path: Result.model_validate(read_json(path)))
    history = _read(folder / "metrics.jsonl", _parse_history)
    config = _read(folder / "config.yaml", _check_yaml)
    if result is None and history is None and config is None:
        raise UsageError(
            f"{folder}: not a run folder, it has neither result.json nor metrics.jsonl"
        )
    return RunContent(
        path=folder,
        result=result,
        history=history or [],
        data=_read(folder / "data.json", lambda path: DataSummary.model_validate(read_json(path))),
        config=config or "",
        environment=_read(folder / "environment.json", read_json_object) or {},
        samples=_read_samples(folder / "samples.npz"),
    )


def _read(path: Path, parse: Callable[[Path], Content]) -> Content | None:
    if not path.exists():
        return None
    try:
        return parse(path)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "content"
        raise HybridFaceError(f"{path}: {place}: {first['msg']}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise HybridFaceError(f"{path}: cannot be read ({error})") from error


def _parse_history(path: Path) -> list[Validation]:
    history = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            history.append(Validation.model_validate(json.loads(line)))
        except ValueError as error:  # also pydantic's
            raise ValueError(f"line {number}: {error}") from error
    return history


def _check_yaml(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    yaml.safe_load(text)
    return text


def _read_samples(path: Path) -> dict[str, NDArray[np.uint8]]:
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            samples = {name: file[name] for name in file.files}
    except UNREADABLE as error:
        raise HybridFaceError(f"{path}: cannot be read ({error})") from error
    for name, pictures in samples.items():
        shape: tuple[int, ...] = getattr(pictures, "shape", ())
        kind = getattr(pictures, "dtype", "no array")
        if kind != np.uint8 or len(shape) != 4 or shape[-1] != 3:
            raise HybridFaceError(
                f"{path}: {name}: expected (B, H, W, 3) uint8, found {shape} {kind}"
            )
    return samples
