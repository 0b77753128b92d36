"""What a study would train, and about how long that takes on this machine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hybridface.config import Recipe
from hybridface.data.prepare import PreparedData, prepare_data
from hybridface.study.config import Cell
from hybridface.study.progress import cell_progress
from hybridface.study.runner import Study
from hybridface.tasks import build_tasks
from hybridface.training.pretraining import first_stage
from hybridface.training.timing import seconds_a_batch, training_batches

# What takes no part in how long a step takes.
FREE = {"learning_rate", "warmup", "final_learning_rate", "weight_decay", "epochs", "test"}


@dataclass(frozen=True)
class PlannedCell:
    """A cell, and what is left of it.

    Attributes:
        cell: The cell.
        finished: Whether its row is there.
        part: The part of its training that is done, from 0 to 1.
        seconds: About how long the rest takes, from a timed step.
    """

    cell: Cell
    finished: bool
    part: float
    seconds: float

    def __str__(self) -> str:
        name = f"{self.cell.arm} seed {self.cell.seed} ({self.cell.key}): "
        if self.finished:
            return f"{name}finished"
        begun = f"{self.part:.0%} trained, " if self.part else ""
        return f"{name}{begun}about {_in_words(self.seconds)}"


def plan(study: Study) -> list[PlannedCell]:
    """List every cell of a study once, in the order in which they would train.

    One step of each kind is timed, alone; validations and exports come on top.

    Args:
        study: The study.

    Raises:
        HybridFaceError: A recipe is wrong, or its data cannot be read.
    """
    cells = {cell.key: cell for cell in study.planned_cells()}
    clock = _Clock()
    planned = []
    for cell in cells.values():
        if study.finished(cell):
            planned.append(PlannedCell(cell, finished=True, part=1.0, seconds=0.0))
            continue
        part = cell_progress(study.folder_of(cell), cell).part
        planned.append(PlannedCell(cell, False, part, (1 - part) * clock.seconds(cell.recipe)))
    return planned


def describe(planned: list[PlannedCell], guessed: list[str], jobs: int) -> list[str]:
    """Return the lines that a dry run prints.

    Args:
        planned: What :func:`plan` returned.
        guessed: Tuning groups whose best settings are not known yet.
        jobs: How many cells would train at once.
    """
    left = [each for each in planned if not each.finished]
    seconds = sum(each.seconds for each in left)
    lines = [str(each) for each in planned]
    for group in guessed:
        lines.append(f"tuning group {group} is not finished: its first trial stands for its best")
    lines.append(
        f"{len(planned)} cells, {len(planned) - len(left)} finished; the steps of the other "
        f"{len(left)} take about {_in_words(seconds)} one after the other here"
        + (f", with --jobs {jobs} at best {_in_words(seconds / jobs)}" if jobs > 1 else "")
    )
    return lines


def _in_words(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class _Clock:
    """Times a step of each kind once, and reads each data set once."""

    def __init__(self) -> None:
        self._steps: dict[str, float] = {}
        self._data: dict[str, PreparedData] = {}

    def seconds(self, recipe: Recipe) -> float:
        """Return how long a training takes, in both stages where it has two."""
        data, first = self._read(recipe), first_stage(recipe)
        seconds = self._stage(recipe, data)
        return seconds if first is None else seconds + self._stage(first, data)

    def _stage(self, recipe: Recipe, data: PreparedData) -> float:
        said = recipe.model_dump(mode="json", exclude={"run", "seed", "data", "pretrain"})
        for option in FREE:
            del said["training"][option]
        kind = json.dumps([said, recipe.data.size, recipe.data.unlabelled])
        if kind not in self._steps:
            self._steps[kind] = seconds_a_batch(recipe, build_tasks(recipe.tasks), data)
        return self._steps[kind] * training_batches(recipe, data)

    def _read(self, recipe: Recipe) -> PreparedData:
        said: dict[str, Any] = recipe.data.model_dump(mode="json", exclude={"seed", "folds"})
        columns = [task.label for task in build_tasks(recipe.tasks) if task.label is not None]
        kind = json.dumps([said, columns, recipe.data.folds is None])
        if kind not in self._data:
            self._data[kind] = prepare_data(recipe.data, columns, recipe.seed)
        return self._data[kind]
