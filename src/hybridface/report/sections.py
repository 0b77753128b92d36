"""Parts of a page that the report of one run and the comparison of several share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from hybridface.config import REST
from hybridface.data.numbers import decimals_of_range
from hybridface.evaluation.predictions import SPLITS_OF_RUN
from hybridface.report import figures
from hybridface.report.document import Figure, Gallery, Listing, Paragraph, Part, Section, Table
from hybridface.report.folders import (
    ClassCounts,
    ClassScore,
    DataSummary,
    Metrics,
    NumberCounts,
    RunContent,
    UnlabelledSummary,
)
from hybridface.report.pictures import contact_rows
from hybridface.report.text import (
    MISSING,
    counted,
    is_fraction,
    joined,
    measure_title,
    measured,
    number,
    percent,
)

WHERE = {"test": "the test set", "val": "the validation set"}
LISTED_NAMES = 50
IN_UNIT = ("mae", "bias", "deviation")  # measures that are in the unit of the label
OVER = "over pictures or, where it is known whose they are, over persons"
SAMPLES = (
    "What the self-supervised tasks make of a picture; one row a picture. These heads are "
    "dropped when the model is exported."
)


def score_text(metrics: Metrics | None, measure: str) -> str:
    """Write a score with its 95% interval, or a dash where it was not measured."""
    if metrics is None or (score := metrics.scores.get(measure)) is None:
        return MISSING
    value = measured(measure, score.value, metrics.digits)
    if score.ci95 is None or score.value is None:
        return value
    low, high = (measured(measure, bound, metrics.digits) for bound in score.ci95)
    return f"{value} ({low} to {high})"


def score_value(metrics: Metrics | None, measure: str) -> str:
    """Write a score alone, or a dash where it was not measured."""
    if metrics is None or (score := metrics.scores.get(measure)) is None:
        return MISSING
    return measured(measure, score.value, metrics.digits)


def units_of(run: RunContent, task: str) -> dict[str, str]:
    """Return the units of a task's measures, where it learns numbers that are counted in one.

    Args:
        run: The run.
        task: The task's name, or that of its label column.
    """
    recipe = yaml.safe_load(run.config) if run.config else None
    tasks = recipe.get("tasks") if isinstance(recipe, dict) else None
    options = tasks.get(task) if isinstance(tasks, dict) else None
    label = options.get("label", task) if isinstance(options, dict) else task
    numbers = run.data.numbers.get(str(label)) if run.data else None
    return dict.fromkeys(IN_UNIT, numbers.unit) if numbers and numbers.unit else {}


def score_table(columns: Mapping[str, Metrics | None], units: Mapping[str, str]) -> Table:
    """Lay out every score of several evaluations, one column each.

    Args:
        columns: Evaluations by the head of their column; those that are None are left out.
        units: See :func:`units_of`.
    """
    present = {head: metrics for head, metrics in columns.items() if metrics is not None}
    measures = dict.fromkeys(name for metrics in present.values() for name in metrics.scores)
    rows = [
        [measure_title(name, units), *(score_text(metrics, name) for metrics in present.values())]
        for name in measures
    ]
    counts = [
        number(metrics.count, 0) if metrics.count is not None else MISSING
        for metrics in present.values()
    ]
    return Table(
        f"Scores with their 95% interval {OVER}. The interval says how far the figure may be off "
        "because the set is small; it says nothing of another training run.",
        ["Measure", *present],
        [*rows, ["Pictures", *counts]],
    )


def class_table(metrics: Metrics, where: str) -> Table:
    """Lay out precision, recall and F1 of every class."""

    def row(name: str, score: ClassScore) -> list[str]:
        count = MISSING if score.count is None else f"{score.count:,}"
        values = (score.precision, score.recall, score.f1)
        return [name, *(percent(value) for value in values), count]

    return Table(
        f"Each class on {where}, in percent.",
        ["Class", "Precision (%)", "Recall (%)", "F1 (%)", "Pictures"],
        [row(name, score) for name, score in metrics.per_class.items()],
    )


def confusion_figure(metrics: Metrics, name: str, where: str) -> Figure | None:
    """Draw the confusion matrix of an evaluation, or nothing where it has none."""
    if metrics.confusion is None:
        return None
    svg = figures.confusion_matrix(
        metrics.confusion.counts,
        metrics.confusion.classes,
        f"confusion matrix of {name} on {where}",
    )
    return Figure(
        svg,
        f"{name} on {where}: pictures of each true class (row) by predicted class (column); "
        "the shade is the share of the row.",
    )


def data_section(data: DataSummary, title: str = "The data", *, named: bool = True) -> Section:
    """Say what data a run used, what was left out and what was wrong with it.

    Args:
        data: What the run says of its data.
        title: Heading of the section.
        named: Whether to name pictures; else they are only counted.
    """
    parts: list[Part] = []
    if data.source:
        parts.append(Paragraph(f"Source: {data.source}"))
    parts += [Paragraph(note) for note in data.notes]
    if data.rows:
        rows = [[split, f"{count:,}"] for split, count in data.rows.items()]
        parts.append(Table("Pictures in each split.", ["Split", "Pictures"], rows))
    parts += [_class_counts(column, counts) for column, counts in data.classes.items()]
    parts += [_numbers(column, counts) for column, counts in data.numbers.items()]
    if data.unlabelled:
        parts.append(_unlabelled(data.unlabelled))
    for names, what in (
        (data.dropped_duplicates, "of held-out pictures dropped from training"),
        (data.dropped_from_validation, "of test pictures dropped from validation"),
    ):
        if names:
            caption = f"{counted(len(names), 'duplicate')} {what}"
            parts.append(_first_ones(caption, ["Picture"], [[name] for name in names], named))
    if data.problems:
        rows = [[problem.where, problem.what] for problem in data.problems]
        caption = f"{counted(len(rows), 'problem')} found in the data, skipped"
        parts.append(_first_ones(caption, ["Where", "What"], rows, named))
    return Section(title, parts)


def optional_section(title: str, content: list[Figure]) -> Section | None:
    """Return a section of figures, or nothing where there is none."""
    return Section(title, [Gallery(content)]) if content else None


def samples_section(runs: Mapping[str, RunContent]) -> Section | None:
    """Show what the self-supervised tasks of some runs were dealt and answered.

    Args:
        runs: Runs by what is put before the name of their tasks.
    """
    sheets = [sheet for name, run in runs.items() for sheet in contact_rows(run.samples, name)]
    if not sheets:
        return None
    return Section("What the self-supervised tasks see", [Paragraph(SAMPLES), *sheets])


def picture_notices(sections: Sequence[Section], sources: Sequence[str]) -> list[str]:
    """Say that a page holds pictures of a data set, where it does.

    Args:
        sections: What is on the page.
        sources: The data sets, as the recipes name them.
    """
    if not any(part.kind in ("album", "contact") for each in sections for part in each.parts):
        return []
    named = f" ({joined(list(dict.fromkeys(sources)))})" if sources else ""
    return [
        f"This page holds pictures of the data set{named}. It must not be published unless the "
        "licence of the data set allows that."
    ]


def recipe_parts(run: RunContent, prefix: str = "") -> list[Part]:
    """Show the recipe and the machine of a run, folded."""
    parts: list[Part] = []
    if run.config:
        parts.append(Listing(f"{prefix}Recipe (config.yaml)", run.config, folded=True))
    if run.environment:
        rows = _flattened(run.environment)
        caption = f"{prefix}Machine and versions"
        parts.append(Table(caption, ["What", "Value"], rows, text_columns=2, folded=True))
    return parts


def _class_counts(column: str, counts: ClassCounts) -> Table:
    rows = [
        [name, *(f"{split[place]:,}" for split in counts.splits.values())]
        for place, name in enumerate(counts.names)
    ]
    return Table(f"Pictures with each {column}, by split.", ["Class", *counts.splits], rows)


def _numbers(column: str, counts: NumberCounts) -> Table:
    figures = ("mean", "deviation", "least", "most")
    bounds = [(each["least"], each["most"]) for each in counts.splits.values()]
    digits = [
        max(decimals_of_range(least[place], most[place]) for least, most in bounds)
        for place in range(len(counts.names))
    ]
    rows = [
        [
            f"{name}, {split}",
            number(each["count"][place], 0),
            *(number(each[figure][place], digits[place]) for figure in figures),
        ]
        for place, name in enumerate(counts.names)
        for split, each in counts.splits.items()
    ]
    unit = f" in {counts.unit}" if counts.unit else ""
    heads = ["Number", "Pictures", "Mean", "Deviation", "Least", "Most"]
    return Table(f"How {column} lies{unit}, by split.", heads, rows)


def _unlabelled(pictures: UnlabelledSummary) -> Table:
    def what(spec: str) -> str:
        return f"{REST}: rows of the source, without their labels" if spec == REST else spec

    rows = [[what(spec), f"{count:,}"] for spec, count in pictures.sources.items()]
    caption = "Pictures without labels, for the self-supervised tasks."
    return Table(caption, ["Source", "Pictures"], rows)


def _first_ones(caption: str, heads: list[str], rows: list[list[str]], named: bool) -> Part:
    """Name the first of many things, and count the rest; or count them all."""
    if not named:
        return Paragraph(f"{caption}.")
    shown, more = rows[:LISTED_NAMES], len(rows) - LISTED_NAMES
    if more > 0:
        shown = [*shown, [f"and {more:,} more", *[""] * (len(heads) - 1)]]
        caption = f"{caption}; the first {LISTED_NAMES}"
    return Table(caption, heads, shown, text_columns=len(heads), folded=True)


def _flattened(content: Mapping[str, Any], prefix: str = "") -> list[list[str]]:
    rows = []
    for key, value in content.items():
        if isinstance(value, dict):
            rows += _flattened(value, f"{prefix}{key}.")
        else:
            rows.append([f"{prefix}{key}", str(value)])
    return rows


def best_known(run: RunContent) -> tuple[Metrics, str] | None:
    """Return the evaluation to show in detail, and where it was made: test, else validation."""
    if run.result is None:
        return None
    found = ((getattr(run.result, split), WHERE[split]) for split in SPLITS_OF_RUN)
    return next(((metrics, where) for metrics, where in found if metrics is not None), None)


def leading_measure(metrics: Metrics | None) -> str:
    """Return the measure to put first: accuracy, error, else the first fraction, else the first."""
    names = list(metrics.scores) if metrics else []
    if "mae" in names and "accuracy" not in names:
        return "mae"
    if "accuracy" in names or not names:
        return "accuracy"
    return next((name for name in names if is_fraction(name)), names[0])
