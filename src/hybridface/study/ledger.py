"""Which cells of a study are finished, and the rows and pages that are written of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hybridface.files import cache_folder
from hybridface.study.also_on import AlsoOn
from hybridface.study.cells import StudyCells
from hybridface.study.config import Cell, Content, StudyConfig
from hybridface.study.held_out import same_test_pictures
from hybridface.study.results import ResultStore, page_of

TRIAL_KEYS = ("epochs", "steps", "seconds", "seed", "revision", "machine", "cell")


class Ledger:
    """Knows what is finished of a study's cells, and writes it down.

    Args:
        config: The study.
        cells: Its cells.

    Raises:
        UsageError: The rows have another name than ``NAME.json``, or a data set of ``also_on`` is
            named wrongly.
        DataError: A results file is damaged, or holds something else.

    Attributes:
        folder: Where the run folders of its cells lie.
        store: Their rows and details.
        also_on: The same on its other data sets.
    """

    def __init__(self, config: StudyConfig, cells: StudyCells) -> None:
        self.config, self.cells = config, cells
        self.folder = cache_folder() / "studies" / config.name
        self.store = ResultStore(config.results)
        self.also_on = AlsoOn(config, self.folder_of)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only one to write rows, and know all that are written.

        Raises:
            HybridFaceError: Another process writes them, or they cannot be written here.
            DataError: They are damaged by now.
        """
        with self.store.held():
            self.also_on.read_again()
            yield

    def folder_of(self, cell: Cell) -> Path:
        """Return where a cell trains."""
        return self.folder / cell.key

    def finished(self, cell: Cell) -> bool:
        """Say whether a cell has its row, taking it over from its run folder where that is new."""
        if cell.key in self.store.rows:
            return True
        run = self.folder_of(cell)
        if not (run / "result.json").exists():
            return False
        self.store.take(cell, run)
        return True

    def rows(self) -> list[Content]:
        """Return the rows of the finished cells, seeds outermost."""
        return [
            self.store.rows[cell.key]
            | {"arm": self.config.row_name(cell.arm), "method": cell.method}
            for cell in self.cells.arms()
            if self.finished(cell)
        ]

    def tuning_rows(self) -> list[Content]:
        """Return what was tried in tuning, and the validation figure that it is chosen by."""
        rows = []
        for group, tuning in self.config.tuning.items():
            if not set(tuning.after) <= set(self.cells.chosen):
                continue  # its trials start from settings that are not known yet
            best = self.cells.chosen.get(group)
            for cell in self.cells.trials(group):
                if self.finished(cell):
                    row = self.store.rows[cell.key]
                    kept = {name: row[name] for name in (cell.chosen_by, *TRIAL_KEYS)}
                    chosen = cell.settings == best
                    rows.append({"arm": group, "settings": cell.settings, "chosen": chosen} | kept)
        return rows

    def best_settings(self, cells: Sequence[Cell]) -> Content:
        """Return the settings of the trial that is best on validation; the first of equals.

        Best is the highest accuracy or, where the first task learns numbers, the lowest error; of
        a figure that a task of the user's own brings, what the task says.
        """
        sign = 1 if cells[0].higher_is_better else -1
        best = max(cells, key=lambda cell: sign * float(self.store.rows[cell.key][cell.chosen_by]))
        return best.settings

    def refuse_other_rows(self) -> None:
        """Refuse results that hold rows of other settings, which writing would lose.

        Raises:
            UsageError: They do.
        """
        self.store.refuse_other_rows({row["cell"] for row in (*self.rows(), *self.tuning_rows())})
        self.also_on.refuse_other_rows(self.cells.arms())

    def write(self) -> bool:
        """Write rows, details and page; return whether that was done.

        It is not where rows may be of arms whose settings tuning has still to choose.

        Raises:
            UsageError: The results hold rows of other settings.
        """
        rows, tuning = self.rows(), self.tuning_rows()
        if self.cells.tuned:
            self.refuse_other_rows()
        elif not self.store.holds_only({row["cell"] for row in (*rows, *tuning)}):
            return False
        same = same_test_pictures(self.cells.arms())
        self.store.write(page_of(self.config, rows, self.store.details, tuning, same))
        return True
