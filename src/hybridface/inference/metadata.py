"""What an exported model says about itself, read and held against its graph. No torch here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybridface.errors import HybridFaceError

METADATA_KEY = "hybridface"
FORMAT = 1
KINDS = ("classification", "pose", "regression")
COLUMNS = {"pose": ("yaw", "pitch", "roll"), "regression": ("mean", "deviation")}
FIXED = {"channels": "RGB", "range": [0, 1], "normalised_in_graph": True}


@dataclass(frozen=True)
class ModelTask:
    """One output of a model.

    Attributes:
        kind: What the output means: ``classification``, one probability a class; ``pose``, yaw,
            pitch and roll in degrees; ``regression``, a mean and a standard deviation.
        classes: Class names in the order of the output's columns; none but for a classification.
        unit: What the numbers of a pose or a regression are counted in, such as ``degrees``; empty
            where they have no unit.
    """

    kind: str
    classes: tuple[str, ...] = ()
    unit: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Return what the columns of the output are called."""
        return COLUMNS.get(self.kind, self.classes)


def unfit(path: Path, what: str) -> HybridFaceError:
    """Build the error for a model whose metadata this version cannot use."""
    return HybridFaceError(f"{path}: metadata property '{METADATA_KEY}': {what}; export it again")


def read_metadata(text: str, path: Path) -> dict[str, Any]:
    """Parse the JSON of a model's metadata.

    Raises:
        HybridFaceError: It is damaged, of a newer format, or asks for what is never fed.
    """
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:  # brackets in brackets without end
        raise unfit(path, f"not JSON ({error})") from error
    if not isinstance(metadata, dict) or not isinstance(metadata.get("format"), int):
        raise unfit(path, "expected a JSON object with a whole number 'format'")
    if metadata["format"] > FORMAT:
        writer = metadata.get("version", "unknown")
        raise HybridFaceError(
            f"{path}: model format {metadata['format']}, written by hybridface {writer}, is newer "
            f"than format {FORMAT} that this version reads: pip install --upgrade hybridface"
        )
    for key, value in FIXED.items():
        if metadata.get(key, value) != value:
            raise unfit(path, f"'{key}' is {metadata[key]!r}, expected {value!r}")
    return metadata


def read_tasks(metadata: dict[str, Any], path: Path) -> tuple[int, dict[str, ModelTask]]:
    """Return the side of the pictures that a model takes, and its tasks.

    Raises:
        HybridFaceError: They are missing, or of a kind that this version does not know.
    """
    size, tasks = metadata.get("size"), metadata.get("tasks")
    if not isinstance(size, int) or size < 1:
        raise unfit(path, f"'size' is {size!r}, expected a number of pixels")
    if not isinstance(tasks, dict) or not tasks:
        raise unfit(path, f"'tasks' is {tasks!r}, expected at least one task by name")
    found = {}
    for name, task in tasks.items():
        about = task if isinstance(task, dict) else {}
        kind, classes, unit = about.get("kind"), about.get("classes"), about.get("unit", "")
        if kind not in KINDS:
            raise unfit(path, f"task '{name}' is of kind {kind!r}, known: {', '.join(KINDS)}")
        if kind in COLUMNS:
            found[name] = ModelTask(kind, unit=str(unit))
            continue
        named = isinstance(classes, list) and all(isinstance(each, str) for each in classes)
        if not named or not classes or len(set(classes)) != len(classes):
            raise unfit(path, f"task '{name}' has classes {classes!r}, expected different names")
        found[name] = ModelTask(kind, tuple(classes))
    return size, found


def check_graph(session: Any, size: int, tasks: dict[str, ModelTask], path: Path) -> None:
    """Hold what the graph takes and gives against what the metadata says.

    Raises:
        HybridFaceError: It is something else.
    """
    inputs = [(each.name, each.type, list(each.shape)) for each in session.get_inputs()]
    fits = len(inputs) == 1 and inputs[0][:2] == ("images", "tensor(float)")
    shape = inputs[0][2] if fits else []
    if not fits or len(shape) != 4 or isinstance(shape[0], int) or shape[1:] != [3, size, size]:
        raise unfit(
            path,
            f"the model takes {inputs}, expected one input 'images', tensor(float), "
            f"['batch', 3, {size}, {size}]",
        )
    outputs = {each.name: list(each.shape) for each in session.get_outputs()}
    for name, task in tasks.items():
        shape, columns = outputs.get(name, []), len(task.columns)
        if len(shape) != 2 or (isinstance(shape[1], int) and shape[1] != columns):
            raise unfit(
                path,
                f"the model gives {outputs}, expected an output '{name}' ['batch', {columns}] "
                "for the task of that name",
            )
