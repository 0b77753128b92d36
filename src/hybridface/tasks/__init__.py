"""Tasks, one file each; a new file here is a new task."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any

from hybridface.config import validate
from hybridface.errors import UsageError, unknown
from hybridface.tasks.base import SelfSupervisedConfig, Task


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


def build_tasks(options: Mapping[str, Mapping[str, Any]]) -> list[Task]:
    """Build the tasks of a recipe, in its order.

    Raises:
        UsageError: A task or option is unknown, or more than one task takes the shared view.
    """
    types = task_types()
    tasks: list[Task] = []
    for name, given in options.items():
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
