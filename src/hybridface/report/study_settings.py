"""What the arms of a study were trained with, and how that was found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from hybridface.report.cells import Arm, Setting, StudyResult
from hybridface.report.document import Paragraph, Part, Table
from hybridface.report.measures import Measure
from hybridface.report.text import MISSING, joined, number

Recipe = Mapping[str, Any]


def recipe_table(setting: Setting) -> Table | None:
    """Lay out by arm the settings that were tuned or make arms differ, where recipes are known."""
    arms = [arm for arm in setting.arms if any(_recipes(arm))]
    if not arms:
        return None
    columns: dict[str, Callable[[Recipe], str]] = {
        "Learning rate": lambda recipe: _trained(recipe, "learning_rate"),
        "Weight decay": lambda recipe: _trained(recipe, "weight_decay"),
        "Average of weights (EMA)": lambda recipe: _trained(recipe, "ema"),
        "Batch norm": lambda recipe: _trained(recipe, "batch_norm"),
        "Dropout": lambda recipe: _of_tasks(recipe, "dropout"),
        "Supervised views": lambda recipe: _of_tasks(recipe, "supervise"),
    }
    return Table(
        "What each arm was trained with; several values where its seeds differ, and a dash where "
        "its recipe does not say.",
        ["Arm", *columns],
        [[arm.name, *(_values(arm, read) for read in columns.values())] for arm in arms],
        text_columns=1 + len(columns),
    )


def tuning_parts(study: StudyResult, measure: Measure) -> list[Part]:
    """Say what tuning looked at, and lay out every trial.

    Args:
        study: The study.
        measure: What its arms are compared by.
    """
    seeds = sorted({str(trial["seed"]) for trial in study.tuning if "seed" in trial})
    compared = {str(row["seed"]) for row in study.rows}
    said = "Tuning chose by validation pictures alone; of which seed was not recorded."
    if seeds:
        both = [seed for seed in seeds if seed in compared]
        own = f"of which {joined(both)} is also compared" if both else "a seed of its own"
        said = f"Tuning chose by the validation pictures of seed {joined(seeds)} alone, {own}."
    said += (
        " Whether any of its pictures can be test pictures of the seeds compared is for the study "
        "to say under what was compared, and how; where it says nothing, take it that they can."
    )
    return [Paragraph(said), _tuning_table(study.tuning, measure)]


def _tuning_table(trials: Sequence[Mapping[str, Any]], measure: Measure) -> Table:
    """Lay out every tuning trial."""
    head = measure.head(f"Validation {measure.name}")
    write: Callable[[float | None], str] = measure.value
    by = next(key for key in trials[0] if key.startswith("val_"))
    if by == "val_geodesic":
        head, write = "Validation, angle between rotations (degrees)", number
    elif by not in ("val_accuracy", "val_mae"):  # of a task of the user's own
        head, write = f"Validation, {by.removeprefix('val_')}", partial(number, digits=4)
    rows = [
        [
            str(trial["arm"]),
            ", ".join(_dotted(trial["settings"])),
            "yes" if trial.get("chosen") else "",
            write(float(trial[by])),
            MISSING if trial.get("epochs") is None else str(trial["epochs"]),
            number(trial.get("seconds"), 0),
        ]
        for trial in trials
    ]
    return Table(
        "Every tuning trial, on validation pictures only, and which of each group was taken.",
        ["Group", "Settings", "Taken", head, "Epochs", "Seconds"],
        rows,
        text_columns=3,
        strong=frozenset(place for place, row in enumerate(rows) if row[2]),
    )


def _dotted(settings: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Give settings as they are written on a command line, ``training.learning_rate=0.004``."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _dotted(value, f"{before}{key}.")
        else:
            yield f"{before}{key}={value if isinstance(value, str) else json.dumps(value)}"


def _recipes(arm: Arm) -> list[Recipe]:
    return [cell.details.recipe for cell in arm.cells.values()]


def _values(arm: Arm, read: Callable[[Recipe], str]) -> str:
    """Join the different values of an arm's recipes, or a dash where none says one."""
    said = dict.fromkeys(read(recipe) for recipe in _recipes(arm) if recipe)
    return " / ".join(value for value in said if value) or MISSING


def _trained(recipe: Recipe, key: str) -> str:
    training = _mapping(recipe.get("training"))
    return _shown(training[key]) if key in training else ""


def _of_tasks(recipe: Recipe, key: str) -> str:
    """Return an option of the tasks that say it, with their names where several do."""
    tasks = _mapping(recipe.get("tasks"))
    said = {
        name: _mapping(options)[key] for name, options in tasks.items() if key in _mapping(options)
    }
    if len(said) == 1:
        return _shown(*said.values())
    return ", ".join(f"{name} {_shown(value)}" for name, value in said.items())


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
