"""Runs a study's cells, each a process of its own, and keeps its rows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from hybridface.config.content import merge
from hybridface.errors import HybridFaceError, UsageError
from hybridface.inference.shipped import why_not_exported
from hybridface.study.cells import StudyCells
from hybridface.study.config import Cell, Content, StudyConfig
from hybridface.study.held_out import (
    refuse_other_pictures,
    refuse_repeated_folds,
)
from hybridface.study.jobs import (
    Job,
    noticing_sigterm,
    start_process,
    told_to_stop,
    train_cells,
)
from hybridface.study.ledger import Ledger
from hybridface.study.progress import CellProgress, cell_progress
from hybridface.study.ray_cluster import RayCluster
from hybridface.study.results import ResultStore, Taken


class Study:
    """Runs a study's cells and keeps its rows.

    Args:
        config: The study.
        overrides: ``key=value`` changes of the shared recipe.
        jobs: Cells that train at once.
        say: Called with a line for each thing that happens.
        show: Called again and again with the cells that train, how far each is, and how many
            wait.
        cluster: Where cells train, as many at once as it has room for; on this machine where null.

    Attributes:
        guessed: Tuning groups whose best trial was not known when cells were last planned.
    """

    def __init__(
        self,
        config: StudyConfig,
        overrides: Sequence[str] = (),
        jobs: int = 1,
        *,
        say: Callable[[str], None] = print,
        show: Callable[[Sequence[tuple[Cell, CellProgress]], int], None] | None = None,
        cluster: RayCluster | None = None,
    ) -> None:
        self.cluster = cluster
        config = config.changed_by(overrides)
        self.config, self.jobs, self.say, self.show = config, jobs, say, show
        self.cells = StudyCells(config, overrides)
        self.ledger = Ledger(config, self.cells)
        self.folder, self.store = self.ledger.folder, self.ledger.store
        self.also_on = self.ledger.also_on
        self.failed: list[str] = []
        self.guessed: list[str] = []
        self.stop = threading.Event()

    def run(self) -> list[Content]:
        """Run every cell that is not finished, and return all rows.

        Tuning comes first, each group once those before it have chosen; then seeds, outermost.
        Rows and page are written as each cell ends; one that fails is reported and the rest go on.
        Where a trial fails, the arms of its group are left out.

        Raises:
            UsageError: A recipe is wrong, of whatever arm; raised before anything is trained. Or
                the results hold rows of other settings; raised before an arm is trained.
            HybridFaceError: Another process writes these rows. Or cells failed; raised after the
                others ran.
        """
        with self.ledger.held():
            return self._run_all()

    def _run_all(self) -> list[Content]:
        cells = self.planned_cells()
        self._refuse_other_figures(cells)
        self.cells.refuse_backbones(cells)
        self.cells.forget(self.config.tuning)
        with noticing_sigterm() as self.stop:
            self._run()
        if self.failed:
            raise HybridFaceError(f"{len(self.failed)} cells failed: {'; '.join(self.failed)}")
        return self.rows()

    def _run(self) -> None:
        self._tune()
        if self.cells.tuned:
            self.ledger.refuse_other_rows()
        # One queue, so that no process waits for the last cell of a seed.
        self._train(self.cells.arms())
        self.ledger.write()
        self._measure_rest()

    def _tune(self) -> None:
        """Run the trials of every group, each as soon as the groups before it have chosen."""
        waiting = dict(self.config.tuning)
        tried: dict[str, list[Cell]] = {}

        def ready() -> list[Cell]:
            """Choose in the groups whose trials have ended; return the trials that can start."""
            found: list[Cell] = []
            while True:
                for name, cells in tried.items():
                    if name not in self.cells.chosen and all(map(self.finished, cells)):
                        self.cells.choose(name, self.ledger.best_settings(cells))
                new = [name for name in waiting if {*waiting[name].after} <= {*self.cells.chosen}]
                if not new:
                    return found
                for name in new:
                    del waiting[name]
                    tried[name] = self.cells.trials(name)
                    found += [cell for cell in tried[name] if not self.finished(cell)]

        self._train(ready(), ready)
        for name in self.config.tuning:
            if name not in self.cells.chosen:
                self.say(f"tuning group {name} chose nothing, so its arms are not trained")
        if tried:
            self._write_so_far()

    def take(self, results: Path) -> Taken:
        """Take over finished cells that were trained elsewhere, and say how many.

        What was measured on the other data sets comes with them, from the files beside theirs.

        Args:
            results: The rows that a run of this study wrote there, with its details beside them.

        Raises:
            UsageError: There is no such file, it has no details beside it, or none of its rows is
                a cell of this study.
            DataError: It is damaged.
        """
        before, other = set(self.store.rows), ResultStore.of_another_machine(results)
        self.store.add(other)
        cells = self.planned_cells()
        taken = self.store.keep_known(other, {cell.key for cell in cells}, before)
        if taken.left_out == len(other.rows):
            raise UsageError(f"{results}: none of its rows is a cell of study {self.config.name}")
        for file, found in self.also_on.take(results, self.cells.arms()).items():
            self.say(f"{results.with_name(file)}: {found}")
        return taken

    def write(self) -> int:
        """Write rows and pages of the finished cells, train none; return how many rows there are.

        What is finished and not measured yet on the other data sets is measured there.

        Raises:
            UsageError: The results hold rows of other settings.
            HybridFaceError: Another process writes these rows.
        """
        with self.ledger.held():
            return self._write_all()

    def _write_all(self) -> int:
        self.planned_cells()
        self.cells.forget(self.guessed)
        if not self.ledger.write():
            self.say(
                f"{self.config.results} is left as it was: its rows are of arms whose tuning is "
                "not finished here, or of other settings"
            )
        self._measure_rest()
        return len(self.rows())

    def _refuse_other_figures(self, cells: Sequence[Cell]) -> None:
        """Refuse cells that are not all measured by one figure, so that they do not compare."""
        first = next(cell for cell in cells if not cell.is_trial)
        for cell in cells:
            other_label = cell.numeric and cell.measured != first.measured
            if cell.numeric != first.numeric or cell.chosen_by != first.chosen_by or other_label:
                raise UsageError(
                    f"study {self.config.name}, arm {cell.arm}: is measured by "
                    f"{' of '.join(cell.measured)}, and {first.arm} by "
                    f"{' of '.join(first.measured)}; arms are compared by one figure: give all the "
                    "same first supervised task and training.select"
                )

    def planned_cells(self) -> list[Cell]:
        """Return every cell, trials first, whether or not it is finished.

        For a tuning group that is not finished its first trial stands for its best; ``guessed``
        then names it.

        Raises:
            UsageError: A recipe is wrong, seeds repeat a test fold, arms that are compared are
                tested on other pictures, or ``also_on`` names data sets for models of numbers.
        """
        planned: list[Cell] = []
        self.guessed = []
        for name, group in self.config.tuning.items():
            trials = self.cells.trials(name)
            planned += trials
            if all(self.finished(cell) for cell in trials):
                self.cells.choose(name, self.ledger.best_settings(trials))
            else:
                self.guessed.append(name)
                self.cells.choose(name, group.trials[0])
        refuse_repeated_folds(self.config, self.cells.arms())
        refuse_other_pictures(self.config, self.cells.arms())
        self.also_on.refuse_numbers(self.cells.arms())
        return planned + self.cells.arms()

    def rows(self) -> list[Content]:
        """Return the rows of the finished cells, seeds outermost."""
        return self.ledger.rows()

    def folder_of(self, cell: Cell) -> Path:
        """Return where a cell trains."""
        return self.ledger.folder_of(cell)

    def finished(self, cell: Cell) -> bool:
        """Say whether a cell has its row, taking it over from its run folder where that is new."""
        return self.ledger.finished(cell)

    def _train(self, cells: Sequence[Cell], more: Callable[[], Sequence[Cell]] = list) -> None:
        """Train the unfinished of some cells, ``jobs`` at once.

        Args:
            cells: The cells.
            more: Returns those that had to wait for a cell which has ended.
        """
        room = (lambda: self.jobs) if self.cluster is None else self.cluster.capacity

        def ended(cell: Cell, seconds: float) -> Sequence[Cell]:
            self._ended(cell, seconds)
            return more()

        unfinished = [cell for cell in cells if not self.finished(cell)]
        train_cells(unfinished, self._begin, room, self.stop, look=self._show, ended=ended)

    def _begin(self, cell: Cell) -> Job:
        self.say(f"{cell.arm} seed {cell.seed}: started ({cell.key})")
        return self._start(cell)

    def _start(self, cell: Cell) -> Job:
        folder = self.folder_of(cell)
        content = merge(cell.recipe.model_dump(mode="json"), {"run": str(folder)})
        start = start_process if self.cluster is None else self.cluster.start
        return start(content, folder)

    def _show(self, running: Sequence[Cell], waiting: int) -> None:
        if self.show is not None:
            progress = (cell_progress(self.folder_of(cell), cell) for cell in running)
            self.show(list(zip(running, progress, strict=True)), waiting)

    def _ended(self, cell: Cell, seconds: float) -> None:
        name = f"{cell.arm} seed {cell.seed}"
        if not self.finished(cell):
            log = self.folder_of(cell).with_suffix(".log")
            lines = log.read_text("utf-8", errors="replace").strip().splitlines()
            last = (lines or ["no output"])[-1]
            self.failed.append(f"{name}: {last} (see {log})")
            self.say(f"{name}: failed: {last}")
            return
        if why := why_not_exported(self.folder_of(cell)):
            self.say(f"{name}: {why}; its figures count")
        self._measure_elsewhere(cell)
        figure = self.store.rows[cell.key][cell.chosen_by]
        self.say(f"{name}: validation {cell.figure_name} {figure:.4f} after {seconds:.0f} s")
        self._write_so_far()

    def _measure_elsewhere(self, cell: Cell) -> None:
        """Measure a finished arm on the study's other data sets; a failure is only reported.

        Where a tuning group chose nothing, none is: rows of its arms may be there already.
        """
        if cell.is_trial or not self.cells.tuned:
            return
        for why in self.also_on.measure(cell, self.store.rows[cell.key], self.cells.arms()):
            self.say(f"{cell.arm} seed {cell.seed} {why}")

    def _measure_rest(self) -> None:
        """Measure the finished arms there that are left: of other runs, or taken over."""

        def between() -> None:
            if self.stop.is_set():
                raise told_to_stop()

        if self.config.also_on and self.cells.tuned:
            rows = {row["cell"]: row for row in self.rows()}
            self.also_on.measure_rest(self.cells.arms(), rows, self.say, between)

    def _write_so_far(self) -> None:
        """Write rows and page; where that fails, which must not end what trains, say so."""
        try:
            self.ledger.write()
        except Exception as error:
            self.say(f"rows and page are not written yet, which the end tries again: {error!r}")
