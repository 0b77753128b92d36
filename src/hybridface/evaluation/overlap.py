"""Whether a measurement reuses what the model was trained on: said plainly beside its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.config.content import read_yaml
from hybridface.data.source import Rows, Source
from hybridface.data.sources import open_source, split_spec
from hybridface.errors import HybridFaceError
from hybridface.files import at_home


def overlap_notes(
    model_file: Path, source: Source, rows: Rows, measured: NDArray[np.int64]
) -> list[str]:
    """Say how many of the measured rows the model may have been trained on.

    Args:
        model_file: The model; where it lies in a run folder, the run's own recipe is looked at.
        source: The data set that it is measured on.
        rows: What ``source.read()`` gave.
        measured: Indices of the rows that are measured.

    Returns:
        At most one note.
    """
    total = f"{len(measured)} measured pictures"
    split = rows.split[measured]
    for recipe in _sections_of_run(model_file):
        if not is_same_data(str(recipe.get("source", "")), source):
            continue
        folds = bool(recipe.get("folds"))
        used = len(measured) if folds else int((split != "test").sum())
        among = "folds of its own from all rows" if folds else "those outside the test split"
        if used:
            return [
                f"this model was trained on this very data set ({recipe['source']} in its "
                f"config.yaml): {used} of the {total} are rows that its training and validation "
                f"were taken from ({among}), so these figures are no test of it"
            ]
    trained = int((split == "train").sum())
    if not trained:
        return []
    return [
        f"{trained} of the {total} are of the data set's own training split: figures of a model "
        "that was trained on them are flattered"
    ]


def _sections_of_run(model_file: Path) -> list[dict[str, Any]]:
    """Return what the recipe beside a model says of each of its data sets; none without one."""
    try:
        data = read_yaml(model_file.parent / "config.yaml").get("data")
    except HybridFaceError:  # a model file by itself
        return []
    if not isinstance(data, dict):
        return []
    several = data.get("sources")
    if not isinstance(several, dict) or not several:
        return [data]
    return [{**data, **_given(each)} for each in several.values() if isinstance(each, dict)]


def _given(section: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if value is not None}


def is_same_data(spec: str, source: Source) -> bool:
    """Say whether a recipe's source is the same kind at the same place as another one.

    Args:
        spec: ``KIND:PATH`` as the recipe has it.
        source: The other one.
    """
    if split_spec(spec).kind != source.kind:  # and no module that only the recipe names is run
        return False
    try:
        other = open_source(spec)
    except HybridFaceError:  # options that this version does not know
        return False
    theirs, ours = (at_home(each.path) for each in (other, source))
    if ours.exists():
        return theirs.resolve() == ours.resolve()
    # Nothing lies on disk, so that the options decide the pictures.
    return (other.path, other.options) == (source.path, source.options)
