"""The other data sets of a study: which of its models are measured there, and which are left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridface.errors import HybridFaceError, UsageError
from hybridface.inference.shipped import MODEL_FILE, why_not_exported
from hybridface.study.config import Cell, StudyConfig
from hybridface.study.elsewhere import Elsewhere
from hybridface.study.results import ResultStore, Taken

NEEDED = ("result.json", "config.json", MODEL_FILE, "last.safetensors")


class AlsoOn:
    """Measures a study's finished cells on its other data sets.

    Args:
        config: The study.
        folder_of: Gives the run folder of a cell.

    Raises:
        UsageError: A data set is named wrongly.
        DataError: A results file is damaged.
    """

    def __init__(self, config: StudyConfig, folder_of: Callable[[Cell], Path]) -> None:
        self.config, self.folder_of = config, folder_of
        self._each = [Elsewhere(config, name, spec) for name, spec in config.also_on.items()]
        self._failed: set[tuple[str, str]] = set()

    def refuse_numbers(self, cells: Sequence[Cell]) -> None:
        """Refuse other data sets for models whose first task learns numbers.

        Raises:
            UsageError: A cell is of such a model.
        """
        named = next((cell.arm for cell in cells if cell.numeric), None)
        if self._each and named is not None:
            raise UsageError(
                f"study {self.config.name}, also_on: only models whose first task has classes are "
                f"measured on other data sets, and that of arm {named} learns numbers; leave it out"
            )

    def read_again(self) -> None:
        """Take over what the files of rows hold by now."""
        for each in self._each:
            each.store.read_again()

    def refuse_other_rows(self, cells: Sequence[Cell]) -> None:
        """Refuse files that hold rows of others than these cells, which writing would lose.

        Raises:
            UsageError: They do.
        """
        for each in self._each:
            each.refuse_other_rows(cells)

    def measure(self, cell: Cell, row: Mapping[str, Any], cells: Sequence[Cell]) -> list[str]:
        """Measure a finished cell wherever it is not measured yet, and write what is new.

        Args:
            cell: A finished cell of an arm.
            row: Its row in the study.
            cells: All cells of the arms.

        Returns:
            Why it was not measured, for each data set where that failed.
        """
        failures = []
        for each in self._each:
            if each.has(cell) or (each.name, cell.key) in self._failed:
                continue
            try:
                each.take(cell, self.folder_of(cell), row)
                each.write(cells)
            except HybridFaceError as error:
                self._failed.add((each.name, cell.key))
                failures.append(f"on {each.name}: not measured: {error}")
        return failures

    def measure_rest(
        self,
        cells: Sequence[Cell],
        rows: Mapping[str, Mapping[str, Any]],
        say: Callable[[str], None],
        between: Callable[[], None],
    ) -> None:
        """Measure every finished cell that is left, and write rows and pages.

        Args:
            cells: All cells of the arms.
            rows: The rows of those that are finished, by their keys.
            say: Called once for each reason why cells are not measured.
            between: Called before each cell.
        """
        left = {
            cell.key: cell
            for cell in cells
            if cell.key in rows and not all(each.has(cell) for each in self._each)
        }
        here = [cell for cell in left.values() if _is_whole(self.folder_of(cell))]
        failures: Counter[str] = Counter()
        for cell in here:
            between()
            failures.update(self.measure(cell, rows[cell.key], cells))
        for why, count in failures.items():
            say(f"{count} finished cells {why}")
        if len(left) > len(here):
            names = ", ".join(each.name for each in self._each)
            say(
                f"{len(left) - len(here)} finished cells have no run folder here, so they are not "
                f"measured on {names}; measure them where they were trained"
            )
        for each in self._each:
            each.write(cells)

    def take(self, results: Path, cells: Sequence[Cell]) -> dict[str, Taken]:
        """Take over what another machine measured, where its files lie beside a study's rows.

        Args:
            results: The rows of the study there.
            cells: All cells of the arms.

        Returns:
            How many rows of each file, by its name.

        Raises:
            UsageError: A file of rows has no details beside it, or is of another data set.
            DataError: A file is damaged.
        """
        found = {}
        for each in self._each:
            file = results.with_name(f"{results.stem}-{each.name}.json")
            if file.exists():
                before, other = set(each.store.rows), ResultStore.of_another_machine(file)
                each.refuse_other_data(other)
                each.store.add(other)
                found[file.name] = each.store.keep_known(other, each.keys(cells), before)
        return found


def _is_whole(run: Path) -> bool:
    """Say whether a run can be measured here, or can say why it has no model."""
    missing = [name for name in NEEDED if not (run / name).exists()]
    return not missing or (missing == [MODEL_FILE] and why_not_exported(run) is not None)
