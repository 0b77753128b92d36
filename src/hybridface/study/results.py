"""Rows of a study's cells, kept where they can be committed, so that no cell is lost or rerun."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from filelock import FileLock, Timeout

from hybridface.errors import DataError, HybridFaceError, UsageError
from hybridface.files import cannot_write, read_json, read_json_object, write_atomically
from hybridface.study.config import Cell, Content, StudyConfig
from hybridface.study.rows import detail_of, row_of

if TYPE_CHECKING:
    from hybridface.report.cells import StudyResult


class Taken(NamedTuple):
    """What came of rows that another machine wrote.

    Attributes:
        new: How many were taken over.
        left_out: How many are of no cell of the study.
    """

    new: int
    left_out: int

    def __str__(self) -> str:
        return f"{self.new} new rows, {self.left_out} left out as no cells of this study"


class ResultStore:
    """The rows and details of finished cells, by the cell's key.

    ``NAME.json`` holds the rows of the arms, as a list; ``NAME.details.json`` beside it the
    curves, per-picture outcomes and tuning trials, so that the page can be made again from what
    is committed, and a finished cell is known on another machine too.

    Args:
        results: Where the rows go; its name ends in ``.json``.

    Raises:
        UsageError: It has another name, or is no file.
        DataError: A results file is damaged, or holds something else.
    """

    def __init__(self, results: Path) -> None:
        if results.suffix != ".json":
            raise UsageError(f"{results}: the rows of a study go into a file NAME.json")
        self.results = results
        self.details_file = results.with_suffix(".details.json")
        rows, extra = _load(results, []), _load(self.details_file, {})
        try:
            self.rows = {row["cell"]: row for row in [*rows, *extra.get("trials", [])]}
            self.details: dict[str, Content] = extra.get("details", {})
        except (AttributeError, KeyError, TypeError) as error:
            raise DataError(
                f"{results}: this, or the details beside it, holds no rows of a study; name the "
                "rows that a study wrote, NAME.json"
            ) from error
        self.stored = set(self.rows)

    @classmethod
    def of_another_machine(cls, results: Path) -> Self:
        """Read rows that another machine wrote, which need their details.

        Raises:
            UsageError: A file is not there.
            DataError: A file is damaged.
        """
        if not results.exists():
            raise UsageError(f"{results}: no such file; name the rows of a study, NAME.json")
        store = cls(results)
        if not store.details_file.exists():
            raise UsageError(
                f"{store.details_file}: no such file; put the details of {results.name} beside it, "
                "which hold the curves, the outcome of each picture and the trials"
            )
        return store

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other study from writing these rows, of which each would lose the other's.

        What was written since they were read is read now.

        Raises:
            HybridFaceError: Another process writes them, or they cannot be written here.
            DataError: They are damaged by now.
        """
        lock = FileLock(self.results.with_name(f".{self.results.name}.lock"), timeout=0)
        try:
            self.results.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            raise HybridFaceError(
                f"{self.results}: another study is writing these rows; wait for its end, or name "
                "another file by --results"
            ) from error
        except OSError as error:
            raise cannot_write(self.results, error) from error
        try:
            self.read_again()
            yield
        finally:
            lock.release()

    def read_again(self) -> None:
        """Take over what the files hold by now."""
        now = ResultStore(self.results)
        self.add(now)
        self.stored |= now.stored

    def keep_known(self, other: ResultStore, known: Collection[str], before: Set[str]) -> Taken:
        """Drop what came of another store and is of no known cell.

        Args:
            other: What was added.
            known: The cells of the study.
            before: The cells whose rows were here before it was added, which stay.
        """
        new = other.rows.keys() - before
        strange = new - set(known)
        for key in strange:
            del self.rows[key]
        return Taken(len(new) - len(strange), len(strange))

    def add(self, other: ResultStore) -> None:
        """Take over the rows and details of another store, but for those that are here."""
        self.rows = other.rows | self.rows
        self.details = other.details | self.details

    def holds_only(self, cells: Set[str]) -> bool:
        """Say whether writing just these cells loses none that the files held at the start."""
        return self.stored <= cells

    def refuse_other_rows(self, cells: Set[str]) -> None:
        """Refuse files that hold others than these cells, which writing would lose.

        Raises:
            UsageError: They do.
        """
        if not self.holds_only(cells):
            raise UsageError(
                f"{self.results} holds rows of other settings; name another file by --results, or "
                "take the settings back that they were made with"
            )

    def take(self, cell: Cell, run: Path) -> None:
        """Take over a finished run.

        Raises:
            UsageError: It is of an arm, and has no test figures.
        """
        result = read_json_object(run / "result.json")
        if result["test"] is None and not cell.is_trial:
            raise UsageError(
                f"arm {cell.arm} seed {cell.seed}: no test picture has a label of its first task, "
                "and arms are compared by test figures; cut a test split by data.folds, or by "
                f"data.test_part ({run})"
            )
        self.rows[cell.key] = row_of(cell, run, result)
        self.details[cell.key] = detail_of(cell, run, result) | {
            "recipe": cell.recipe.model_dump(mode="json", exclude={"run": True})
        }

    def write(self, page: StudyResult) -> None:
        """Write the rows and details of a page and, where there are rows, the page."""
        trials = [self.rows[row["cell"]] for row in page.tuning]
        cells = [row["cell"] for row in (*page.rows, *page.tuning)]
        details = {cell: self.details[cell] for cell in cells if cell in self.details}
        extra = {"tuning": list(page.tuning), "trials": trials, "details": details}
        # A row says that its cell is finished, so what belongs to it is there first.
        write_atomically(self.details_file, json.dumps(extra, indent=None) + "\n")
        write_atomically(self.results, _json_lines(page.rows))
        if page.rows:
            from hybridface.report.study import write_study_page

            write_study_page(
                page, self.results.with_suffix(".md"), self.results.with_suffix(".html")
            )


def page_of(
    study: StudyConfig,
    rows: Sequence[Content],
    details: Mapping[str, Content],
    tuning: Sequence[Content],
    same_test_pictures: bool,
) -> StudyResult:
    """Return what the page of a study shows of some rows.

    Args:
        study: The study.
        rows: Its rows.
        details: By the names of the cells.
        tuning: What was tried in tuning.
        same_test_pictures: Whether all seeds were tested on the same pictures.
    """
    from hybridface.report.cells import StudyResult

    return StudyResult(
        name=study.name,
        title=study.title,
        description=study.description,
        rows=rows,
        details=details,
        tuning=tuning,
        baseline=study.row_name(next(iter(study.arms))),
        same_test_pictures=same_test_pictures,
        command=study.command,
    )


def _load(path: Path, empty: Any) -> Any:
    if not path.exists():
        return empty
    try:
        return read_json(path)
    except DataError as error:
        raise DataError(f"{error}; restore or remove these results") from error


def _json_lines(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a JSON list with a row a line, so that a diff shows what came."""
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"
