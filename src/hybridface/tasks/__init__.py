"""Tasks, one file each; a new file here is a new task.

A recipe may also take a task from a module of the user's own, by ``type: pkg.module:Class``. The
name of a task here holds neither dot nor colon.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from torch.nn import ModuleDict

from hybridface.config import Recipe
from hybridface.config.content import validate
from hybridface.errors import UsageError, unknown
from hybridface.plugins import load_class
from hybridface.tasks.base import SelfSupervisedConfig, Task, TaskConfig

NAME = re.compile(r"[A-Za-z]\w*")
TAKEN = {  # what predictions say of a face beside the answers of the tasks
    "image", "frame", "time", "track", "box", "left", "top", "right", "bottom", "score", "landmarks"
}  # fmt: skip


@cache
def task_types() -> dict[str, type[Task]]:
    """Return every kind of task by name, found by looking through this folder."""
    types: dict[str, type[Task]] = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Task) and hasattr(value, "type_name"):
                types[value.type_name] = value
    return dict(sorted(types.items()))


def resolve_tasks(recipe: Recipe) -> tuple[Recipe, list[Task]]:
    """Build the tasks of a recipe, and return the recipe with every task option filled in."""
    tasks = build_tasks(recipe.tasks)
    filled: dict[str, Any] = {"tasks": _options(tasks)}
    if recipe.pretrain is not None:
        first = [task for task in tasks if not task.supervised]
        if recipe.pretrain.tasks:
            first = build_tasks(recipe.pretrain.tasks, "pretrain.tasks")
        filled["pretrain"] = recipe.pretrain.model_copy(update={"tasks": _options(first)})
    recipe = recipe.model_copy(update=filled)
    return choose_selection(recipe, tasks), tasks


def choose_selection(recipe: Recipe, tasks: Sequence[Task]) -> Recipe:
    """Return the recipe with a figure of its first supervised task under ``training.select``.

    The default, accuracy, gives way to the task's own default where that has no accuracy.

    Raises:
        UsageError: The recipe names a figure that the task does not have.
    """
    first = next((task for task in tasks if task.supervised), None)
    training = recipe.training
    if first is None or training.select in first.selects:
        return recipe
    if "select" in training.model_fields_set:
        raise UsageError(
            f"training.select: task '{first.name}', the first that is supervised, has no "
            f"{training.select}; take {' or '.join(first.selects)}, or leave it out"
        )
    chosen = training.model_copy(update={"select": next(iter(first.selects))})
    return recipe.model_copy(update={"training": chosen})


def _options(tasks: Sequence[Task]) -> dict[str, dict[str, Any]]:
    return {task.name: task.config.model_dump(mode="json") for task in tasks}


def build_tasks(options: Mapping[str, Mapping[str, Any]], where: str = "tasks") -> list[Task]:
    """Build the tasks of a recipe, in its order.

    Args:
        options: The options of each, by name.
        where: What errors call the place in the recipe.

    Raises:
        UsageError: A task or option is unknown, a name cannot be one, a class of the user's own
            cannot be loaded or is no task, more than one task takes the shared view, or one task
            destroys what another has to tell from its picture.
    """
    types = task_types()
    tasks: list[Task] = []
    for name, given in options.items():
        if not NAME.fullmatch(name) or hasattr(ModuleDict, name):
            raise UsageError(
                f"{where}.{name}: not a name that a task can have; take letters, digits and _, "
                "and say the kind by type"
            )
        if name in TAKEN:
            raise UsageError(
                f"{where}.{name}: not a name that a task can have, as predictions have a {name} of "
                "their own; take another, and say the kind by type"
            )
        kind = str(given.get("type") or name)
        if re.search("[.:]", kind):
            needs, place = {"Config": TaskConfig}, f"{where}.{name}.type"
            chosen = load_class(kind, Task, needs, place)  # type: ignore[type-abstract]
        elif kind in types:
            chosen = types[kind]
        else:
            raise unknown("task", kind, types)
        tasks.append(chosen(name, validate(chosen.Config, given, f"{where}.{name}")))
    shared = [task.name for task in tasks if takes_shared_view(task)]
    if len(shared) > 1:
        raise UsageError(
            f"tasks {' and '.join(shared)} all take the shared view; only one picture can be "
            "shared, so give all but one of them view: own"
        )
    _refuse_fights(tasks)
    return tasks


def label_columns(tasks: Sequence[Task]) -> list[str]:
    """Return the label columns that some tasks need, each once, those of the first task first."""
    return list(dict.fromkeys(task.label for task in tasks if task.label is not None))


def _refuse_fights(tasks: Sequence[Task]) -> None:
    for task in tasks:
        corrupts = isinstance(task.config, SelfSupervisedConfig)
        if corrupts and task.config.supervise == "intact":
            continue
        for other in tasks:
            why = task.fights.get(getattr(other, "type_name", ""))
            if why is not None:
                own = "give it a view: own and supervise: intact, or " if corrupts else ""
                raise UsageError(
                    f"tasks {task.name} and {other.name} fight each other: {why}; "
                    f"{own}take one of them out, as by tasks.{task.name}=null"
                )


def takes_shared_view(task: Task) -> bool:
    """Say whether a task corrupts the picture that all heads see."""
    return isinstance(task.config, SelfSupervisedConfig) and task.config.view == "shared"
