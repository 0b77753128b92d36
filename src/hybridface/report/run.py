"""The report of one run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hybridface.data.source import is_file
from hybridface.errors import HybridFaceError
from hybridface.evaluation.metrics import check_probabilities
from hybridface.evaluation.predictions import SPLITS_OF_RUN, Predictions
from hybridface.evaluation.run_predictions import RUN_FILE, load_run_predictions
from hybridface.files import write_atomically
from hybridface.report.calibration import calibration_parts
from hybridface.report.curves import run_figures
from hybridface.report.document import (
    Callout,
    Gallery,
    Page,
    Paragraph,
    Part,
    Section,
    Tile,
    render_html,
)
from hybridface.report.folders import Result, RunContent, read_run
from hybridface.report.mistakes import mistake_parts
from hybridface.report.numbers import error_parts, yaw_table
from hybridface.report.sections import (
    WHERE,
    best_known,
    class_table,
    confusion_figure,
    data_section,
    leading_measure,
    optional_section,
    picture_notices,
    recipe_parts,
    samples_section,
    score_table,
    score_value,
    units_of,
)
from hybridface.report.task_scores import task_table
from hybridface.report.text import counted, duration, first_line, measure_title


def write_run_report(
    folder: Path, out: Path | None = None, *, pictures: bool = True, mistakes: int = 24
) -> Path:
    """Write the report of one run as a self-contained HTML file.

    Args:
        folder: A run folder. Sections whose files are missing are left out; predictions that are
            damaged, or pictures that are no longer there, are said to be so on the page.
        out: Where to write; ``report.html`` in the run folder by default.
        pictures: Whether to show pictures of the data set, and to name its pictures.
        mistakes: How many of the worst mistakes to show.

    Returns:
        The path of the page.

    Raises:
        HybridFaceError: The folder is no run folder, or another of its files is broken.
    """
    run = read_run(folder)
    found = [
        _results(run),
        optional_section("Learning curves", run_figures(run)),
        _classes(run),
        *_predicted(run, mistakes, pictures),
        samples_section({"": run}) if pictures else None,
        data_section(run.data, named=pictures) if run.data else None,
        Section("How it was made", parts) if (parts := recipe_parts(run)) else None,
    ]
    sections = [section for section in found if section is not None]
    sources = [run.data.source] if run.data and run.data.source else []
    page = Page(
        title=f"Training run {run.name}",
        lead=_lead(run),
        notices=[*_missing(run), *picture_notices(sections, sources)],
        tiles=_tiles(run, run.result) if run.result else [],
        sections=sections,
    )
    out = out or folder / "report.html"
    write_atomically(out, render_html(page))
    return out


def _missing(run: RunContent) -> list[str]:
    """Say which of a run's files are not there, and why."""
    if run.result is None:
        return ["This run has not finished: there is no result.json yet."]
    why = run.result.not_exported
    made_since = is_file(run.path / "model.onnx")
    return [] if why is None or made_since else [f"There is no model.onnx: {why}"]


def _lead(run: RunContent) -> str:
    if run.result is None:
        return f"{counted(len(run.history), 'validation')} so far."
    source = f" on {run.data.source}" if run.data and run.data.source else ""
    if run.result.label is None:
        return f"Self-supervised tasks alone{source}, the weights of the last epoch."
    return f"{run.result.label}{source}, the checkpoint that did best on the validation set."


def _tiles(run: RunContent, result: Result) -> list[Tile]:
    main = result.test or result.val
    measure = leading_measure(main)
    name = measure_title(measure, units_of(run, result.first_task))
    name = name[:1].lower() + name[1:]
    tiles = []
    for where, metrics in (("Test", result.test), ("Validation", result.val)):
        if metrics and measure in metrics.scores:
            pictures = f"of {metrics.count:,} pictures" if metrics.count is not None else ""
            tiles.append(Tile(f"{where} {name}", score_value(metrics, measure), pictures))
    if main and "mean_class_accuracy" in main.scores:
        value = score_value(main, "mean_class_accuracy")
        tiles.append(Tile(measure_title("mean_class_accuracy"), value, "every class counts alike"))
    if result.epochs is not None:
        remark = f"best at {result.best_epoch}" if result.best_epoch is not None else ""
        tiles.append(Tile("Epochs", str(result.epochs), remark))
    if result.seconds is not None:
        tiles.append(Tile("Training time", duration(result.seconds)))
    if result.parameters is not None:
        tiles.append(Tile("Parameters at inference", f"{result.parameters:,}"))
    return tiles


def _results(run: RunContent) -> Section | None:
    if run.result is None:
        return None
    columns = {
        "Validation": run.result.val,
        "Test": run.result.test,
        "Test, last epoch": run.result.test_last,
    }
    parts: list[Part] = []
    if any(columns.values()):
        parts.append(score_table(columns, units_of(run, run.result.first_task)))
    if (table := task_table(run)) is not None:
        parts.append(table)
    if run.result.train_rows is not None:
        parts.append(Paragraph(f"Trained on {run.result.train_rows:,} pictures."))
    return Section("Results", parts) if parts else None


def _classes(run: RunContent) -> Section | None:
    known = best_known(run)
    if known is None:
        return None
    metrics, where = known
    drawn = confusion_figure(metrics, run.name, where)
    parts: list[Part] = [Gallery([drawn])] if drawn else []
    if metrics.per_class:
        parts.append(class_table(metrics, where))
    if metrics.by_yaw:
        return Section("Errors by pose", [yaw_table(metrics, where)])
    return Section("Which classes are mistaken for which", parts) if parts else None


def _predicted(run: RunContent, mistakes: int, pictures: bool) -> list[Section]:
    """Show what the kept predictions tell: calibration and the worst mistakes of each task."""
    if not is_file(run.path / RUN_FILE):
        return []
    try:
        kept = _load(run.path)
    except HybridFaceError as error:
        broken = f"Neither can be shown: {first_line(error)}"
        return [Section("Calibration and worst mistakes", [Callout(broken, "warning")])]
    where = WHERE[kept.split]
    notes = [Paragraph(f"Note: {note}.") for note in kept.notes]
    sections = []
    for name, task in kept.tasks.items():
        suffix = f": {name}" if len(kept.tasks) + len(kept.numbers) > 1 else ""
        believed = [*calibration_parts(task, f"{run.name}{suffix}", where), *notes]
        wrong = mistake_parts(kept, task, where, mistakes, pictures)
        sections.append(Section(f"Calibration{suffix}", believed))
        sections.append(Section(f"Worst mistakes{suffix}", wrong))
    for name, numbers in kept.numbers.items():
        parts = error_parts(numbers, run.name, where)
        sections.append(Section(f"Errors of {name} by what is true", [*parts, *notes]))
    return sections


def _load(folder: Path) -> Predictions:
    """Return a run's predictions of the split that its page reports: test, else validation.

    Raises:
        HybridFaceError: They cannot be read, or are none.
    """
    found = load_run_predictions(folder)
    kept = next(found[split] for split in SPLITS_OF_RUN if split in found)
    for task in kept.tasks.values():
        probabilities = task.probabilities.astype(np.float64)
        check_probabilities(probabilities, task.targets, len(task.classes))
    return kept
