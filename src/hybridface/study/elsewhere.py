"""The models of a study on other data sets: what they gained where they were not trained."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.config import REST
from hybridface.data.sources import open_source
from hybridface.errors import UsageError
from hybridface.evaluation.evaluate import ALL, measure
from hybridface.evaluation.overlap import is_same_data
from hybridface.evaluation.predictions import TaskPredictions
from hybridface.files import read_json_object
from hybridface.study.config import Cell, StudyConfig, known_as
from hybridface.study.results import ResultStore, page_of
from hybridface.study.rows import numbered, packed

SHARED = "its own classes"
NOTE = (
    "The models of study {study}, which have seen nothing of {name}, on all of its pictures whose "
    "class they have. Once a model answers with any of its classes, so that one that the data set "
    "lacks is an error; where it lacks any, once more, under '{shared}', with the likeliest of "
    "those that it has. Intervals over pictures draw persons where these are known. Validation "
    "accuracy is that of the study."
)


class Elsewhere:
    """Keeps rows of a study's finished cells on another data set, with a page of their own.

    They go to ``STUDY-NAME.json`` beside the rows of the study.

    Args:
        config: The study.
        name: What the data set is called.
        spec: ``KIND:PATH`` of it.

    Raises:
        UsageError: The data set is named wrongly, or its file holds rows of another one.
        DataError: A results file is damaged.
    """

    def __init__(self, config: StudyConfig, name: str, spec: str) -> None:
        results = config.results
        self.config, self.name, self.spec = config, name, spec
        open_source(spec)  # a name that is wrong is not found after hours
        self.store = ResultStore(results.with_name(f"{results.stem}-{name}.json"))
        self.refuse_other_data(self.store)

    def refuse_other_data(self, store: ResultStore) -> None:
        """Refuse rows that were measured on another data set, which went by the same name.

        Raises:
            UsageError: There are some; rows of a version that did not say pass.
        """
        ours = known_as(self.spec)
        for key in store.rows:
            found = store.details.get(key, {}).get("measured_on", ours)
            if found != ours:
                raise UsageError(
                    f"{store.results}: holds rows that were measured on {_shown(found)}, and "
                    f"also_on.{self.name} is {_shown(ours)}; give it another name, or remove the "
                    "file and its details"
                )

    def has(self, cell: Cell) -> bool:
        """Say whether a cell is measured there."""
        return self._key(cell, "") in self.store.rows

    def keys(self, cells: Sequence[Cell]) -> list[str]:
        """Return what the rows of some cells are called there."""
        return [self._key(cell, among) for cell in cells for among in ("", SHARED)]

    def take(self, cell: Cell, run: Path, row: Mapping[str, Any]) -> None:
        """Measure a finished run there.

        Args:
            cell: Its cell.
            run: The run folder.
            row: Its row in the study.

        Raises:
            HybridFaceError: The data set cannot be read, has no class of the model's, or is what
                the model was trained on.
        """
        source, data = open_source(self.spec), cell.recipe.data
        learned = [*data.specs.values(), *(spec for spec in data.unlabelled if spec != REST)]
        if any(is_same_data(spec, source) for spec in learned):
            raise UsageError(f"{self.spec} is what the model was trained on")
        task = _first_task(run)
        kept = _predict(run, self.spec, task)  # the run, so that one without a model says why
        last = _predict_last(run, self.spec, task)
        lacking = len(np.unique(kept.targets)) < kept.probabilities.shape[1]
        for among in ("", SHARED) if lacking else ("",):  # else both are one comparison
            found = [_answered(each, shared=bool(among)) for each in (kept, last)]
            key = self._key(cell, among)
            self.store.rows[key] = {
                **row,
                "data": f"{self.name}, {among}" if among else self.name,
                "test_accuracy": float(np.mean(found[0] == kept.targets)),
                "test_accuracy_last": float(np.mean(found[1] == last.targets)),
                "mean_class_accuracy": _mean_class_accuracy(found[0], kept.targets),
                "cell": key,
            }
            self.store.details[key] = {
                "test_correct": packed(found[0] == kept.targets),
                "test_correct_last": packed(found[1] == last.targets),
                "test_count": len(kept.targets),
                "measured_on": known_as(self.spec),
                **({} if kept.groups is None else {"test_groups": numbered(kept.groups)}),
            }

    def refuse_other_rows(self, cells: Sequence[Cell]) -> None:
        """Refuse a file that holds rows of others than these cells; see :class:`ResultStore`."""
        self.store.refuse_other_rows(set(self.keys(cells)))

    def write(self, cells: Sequence[Cell]) -> None:
        """Write rows, details and page of the cells that were measured there."""
        # Two arms may be one cell; each row says whose it is.
        rows = [
            self.store.rows[key] | {"arm": self.config.row_name(cell.arm), "method": cell.method}
            for cell in cells
            for key in self.keys([cell])
            if key in self.store.rows
        ]
        if rows:
            title = f"{self.config.title}: on {self.name}"
            note = NOTE.format(study=self.config.name, name=self.name, shared=SHARED)
            page = replace(
                page_of(self.config, rows, self.store.details, [], same_test_pictures=True),
                name=f"{self.config.name}-{self.name}",
                title=title,
                description=[note],
            )
            self.store.write(page)

    @staticmethod
    def _key(cell: Cell, among: str) -> str:
        return f"{cell.key}-{'shared' if among else 'all'}"


def _shown(known: Sequence[str]) -> str:
    kind, name, query = known
    return f"{kind}:{name}" + (f"?{query}" if query else "")


def _first_task(run: Path) -> str:
    """Return the name of a run's first supervised task."""
    tasks = read_json_object(run / "result.json")["tasks"]
    return str(next(iter(tasks)))


def _predict(model: Path, spec: str, task: str) -> TaskPredictions:
    """Return what a model says of a whole data set."""
    _, found = measure(model, spec, ALL)
    return found.tasks[task]


def _predict_last(run: Path, spec: str, task: str) -> TaskPredictions:
    """Return the same of the weights of the last epoch, which no file for use holds."""
    import torch

    from hybridface.export.network import export_onnx
    from hybridface.training.runs import load_model

    model, tasks = load_model(run, "last")
    size = read_json_object(run / "config.json")["size"]
    examples = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "last.onnx"
        export_onnx(model, tasks, examples, file, trained_on="a study")
        return _predict(file, spec, task)


def _answered(kept: TaskPredictions, *, shared: bool) -> NDArray[np.int64]:
    """Return the likeliest class of each picture, of all or of those that the data set has."""
    if not shared:
        return kept.predicted
    there = np.unique(kept.targets)
    answered: NDArray[np.int64] = there[kept.probabilities[:, there].argmax(axis=1)]
    return answered


def _mean_class_accuracy(answered: NDArray[np.int64], targets: NDArray[np.int64]) -> float:
    each = [np.mean(answered[targets == number] == number) for number in np.unique(targets)]
    return float(np.mean(each))
