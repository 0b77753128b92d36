"""Tasks, one file each; a new file here is a new task."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from torch.nn import ModuleDict

from hybridface.config import Recipe, validate
from hybridface.errors import UsageError, unknown
from hybridface.tasks.base import SelfSupervisedConfig, Task

NAME = re.compile(r"[A-Za-z]\w*")


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
    options = {task.name: task.config.model_dump(mode="json") for task in tasks}
    return recipe.model_copy(update={"tasks": options}), tasks


def build_tasks(options: Mapping[str, Mapping[str, Any]]) -> list[Task]:
    """Build the tasks of a recipe, in its order.

    Raises:
        UsageError: A task or option is unknown, a name cannot be one, or more than one task takes
            the shared view.
    """
    types = task_types()
    tasks: list[Task] = []
    for name, given in options.items():
        if not NAME.fullmatch(name) or hasattr(ModuleDict, name):
            raise UsageError(
                f"tasks.{name}: not a name that a task can have; take letters, digits and _, "
                "and say the kind by type"
            )
        kind = str(given.get("type") or name)
        if kind not in types:
            raise unknown("task", kind, types)
        chosen = types[kind]
        tasks.append(chosen(name, validate(chosen.Config, given, f"tasks.{name}")))
    shared = [task.name for task in tasks if takes_shared_view(task)]
    if len(shared) > 1:
        raise UsageError(
            f"tasks {' and '.join(shared)} all take the shared view; only one picture can be "
            "shared, so give all but one of them view: own"
        )
    return tasks


def takes_shared_view(task: Task) -> bool:
    """Say whether a task corrupts the picture that all heads see."""
    return isinstance(task.config, SelfSupervisedConfig) and task.config.view == "shared"
