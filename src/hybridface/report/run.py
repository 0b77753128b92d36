"""The report of one run, and the comparison of several runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hybridface.evaluation.statistics import Interval
from hybridface.files import write_atomically
from hybridface.report import figures
from hybridface.report.curves import comparison_figures, run_figures
from hybridface.report.document import (
    Figure,
    Gallery,
    Listing,
    Page,
    Paragraph,
    Part,
    Section,
    Table,
    Tile,
    render_html,
)
from hybridface.report.folders import Result, RunFolder, Score, read_run
from hybridface.report.pictures import contact_rows
from hybridface.report.sections import (
    best_known,
    class_table,
    confusion_figure,
    data_section,
    leading_measure,
    recipe_parts,
    score_table,
    score_text,
    score_value,
)
from hybridface.report.text import MISSING, counted, duration, measure_title, percent

SAMPLES = (
    "What the self-supervised tasks make of a picture; one row a picture. These heads are "
    "dropped when the model is exported."
)


def write_run_report(folder: Path, out: Path | None = None) -> Path:
    """Write the report of one run as a self-contained HTML file.

    Args:
        folder: A run folder. Sections whose files are missing are left out.
        out: Where to write; ``report.html`` in the run folder by default.

    Returns:
        The path of the page.

    Raises:
        HybridFaceError: The folder is no run folder, or one of its files is broken.
    """
    run = read_run(folder)
    sections = [
        _results(run),
        _optional("Learning curves", run_figures(run)),
        _classes(run),
        _samples({"": run}),
        data_section(run.data) if run.data else None,
        Section("How it was made", parts) if (parts := recipe_parts(run)) else None,
    ]
    page = Page(
        title=f"Training run {run.name}",
        lead=_lead(run),
        notice="" if run.result else "This run has not finished: there is no result.json yet.",
        tiles=_tiles(run.result) if run.result else [],
        sections=[section for section in sections if section is not None],
    )
    return _write(page, out or folder / "report.html")


def write_comparison_report(
    runs: Mapping[str, Path], out: Path, title: str, notice: str, command: str
) -> Path:
    """Write a page that puts several runs beside each other.

    Args:
        runs: Run folders by the name of the arm, in the order to show.
        out: Where to write.
        title: Heading of the page.
        notice: What a reader must know first, such as that one seed is no evidence.
        command: How to do the same on one's own pictures.

    Returns:
        The path of the page.

    Raises:
        HybridFaceError: A folder is no run folder, or one of its files is broken.
    """
    arms = {name: read_run(folder) for name, folder in runs.items()}
    sections = [
        Section("The arms", [_arm_table(arms), *_accuracy_gallery(arms)]),
        _optional("Learning curves", comparison_figures(arms)),
        _optional("Confusion matrices", _confusions(arms)),
        _samples({f"{name}: " if len(arms) > 1 else "": run for name, run in arms.items()}),
        *_data_sections(arms),
        _recipes(arms),
        Section("The same on your own pictures", [Listing("Run this:", command)]),
    ]
    page = Page(
        title=title,
        lead=f"{counted(len(arms), 'arm')}, each trained once.",
        notice=notice,
        tiles=[],
        sections=[section for section in sections if section is not None],
    )
    return _write(page, out)


def _write(page: Page, out: Path) -> Path:
    write_atomically(out, render_html(page))
    return out


def _optional(title: str, content: list[Figure]) -> Section | None:
    return Section(title, [Gallery(content)]) if content else None


def _lead(run: RunFolder) -> str:
    if run.result is None:
        return f"{counted(len(run.history), 'validation')} so far."
    source = f" on {run.data.source}" if run.data and run.data.source else ""
    return f"{run.result.label}{source}, the checkpoint that did best on the validation set."


def _tiles(result: Result) -> list[Tile]:
    main = result.test or result.val
    measure = leading_measure(main)
    name = measure_title(measure)
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


def _results(run: RunFolder) -> Section | None:
    if run.result is None:
        return None
    columns = {
        "Validation": run.result.val,
        "Test": run.result.test,
        "Test, last epoch": run.result.test_last,
    }
    parts: list[Part] = []
    if any(columns.values()):
        parts.append(score_table(columns))
    if run.result.train_rows is not None:
        parts.append(Paragraph(f"Trained on {run.result.train_rows:,} pictures."))
    return Section("Results", parts) if parts else None


def _classes(run: RunFolder) -> Section | None:
    known = best_known(run)
    if known is None:
        return None
    metrics, where = known
    drawn = confusion_figure(metrics, run.name, where)
    parts: list[Part] = [Gallery([drawn])] if drawn else []
    if metrics.per_class:
        parts.append(class_table(metrics, where))
    return Section("Which classes are mistaken for which", parts) if parts else None


def _samples(runs: Mapping[str, RunFolder]) -> Section | None:
    sheets = [sheet for name, run in runs.items() for sheet in contact_rows(run.samples, name)]
    if not sheets:
        return None
    return Section("What the self-supervised tasks see", [Paragraph(SAMPLES), *sheets])


def _arm_table(arms: Mapping[str, RunFolder]) -> Table:
    def row(name: str, result: Result | None) -> list[str]:
        if result is None:
            return [f"{name} (not finished)", *[MISSING] * 7]
        return [
            name,
            score_text(result.val, "accuracy"),
            score_text(result.test, "accuracy"),
            score_value(result.test or result.val, "mean_class_accuracy"),
            *(
                MISSING if count is None else f"{count:,}"
                for count in (result.epochs, result.steps)
            ),
            duration(result.seconds),
            MISSING if result.parameters is None else f"{result.parameters:,}",
        ]

    return Table(
        "Each arm once. In brackets the 95% interval over pictures, which does not hold what "
        "another seed would change.",
        [
            "Arm",
            "Validation accuracy (%)",
            "Test accuracy (%)",
            "Mean class accuracy (%)",
            "Epochs",
            "Steps",
            "Time",
            "Parameters at inference",
        ],
        [row(name, run.result) for name, run in arms.items()],
    )


def _accuracy_gallery(arms: Mapping[str, RunFolder]) -> list[Part]:
    rows = []
    for style, (name, run) in enumerate(arms.items()):
        test = run.result.test if run.result else None
        score = test.scores.get("accuracy") if test else None
        if score is not None and score.value is not None:
            rows.append(figures.Dots(name, _interval(score, score.value), style))
    if not rows:
        return []
    best = max(rows, key=lambda row: row.interval.mean)
    alt = f"test accuracy of each arm; the highest is {best.name}, {percent(best.interval.mean)}%"
    svg = figures.dot_intervals(rows, "Test accuracy (%)", alt, scale=100)
    return [Gallery([Figure(svg, "Test accuracy with its 95% interval over pictures.")])]


def _interval(score: Score, value: float) -> Interval:
    low, high = score.ci95 or (float("nan"), float("nan"))
    return Interval(value, low, high)


def _confusions(arms: Mapping[str, RunFolder]) -> list[Figure]:
    known = {name: best_known(run) for name, run in arms.items()}
    drawn = [confusion_figure(each[0], name, each[1]) for name, each in known.items() if each]
    return [figure for figure in drawn if figure is not None]


def _data_sections(arms: Mapping[str, RunFolder]) -> list[Section]:
    """Show the data once where every arm had the same, else by arm."""
    known = {name: run.data for name, run in arms.items() if run.data is not None}
    if not known:
        return []
    first = next(iter(known.values()))
    if all(data == first for data in known.values()):
        return [data_section(first)]
    return [data_section(data, f"The data of {name}") for name, data in known.items()]


def _recipes(arms: Mapping[str, RunFolder]) -> Section | None:
    parts = [part for name, run in arms.items() for part in recipe_parts(run, f"{name}: ")]
    return Section("How it was made", parts) if parts else None
