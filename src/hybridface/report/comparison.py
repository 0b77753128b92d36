"""The comparison of several runs on one page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hybridface.evaluation.statistics import Interval
from hybridface.files import write_atomically
from hybridface.report import figures
from hybridface.report.curves import comparison_figures
from hybridface.report.document import (
    Figure,
    Gallery,
    Listing,
    Page,
    Part,
    Section,
    Table,
    render_html,
)
from hybridface.report.folders import Result, RunContent, Score, read_run
from hybridface.report.sections import (
    OVER,
    best_known,
    confusion_figure,
    data_section,
    optional_section,
    picture_notices,
    recipe_parts,
    samples_section,
    score_text,
    score_value,
)
from hybridface.report.text import MISSING, counted, duration, percent


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
        optional_section("Learning curves", comparison_figures(arms)),
        optional_section("Confusion matrices", _confusions(arms)),
        samples_section({f"{name}: " if len(arms) > 1 else "": run for name, run in arms.items()}),
        *_data_sections(arms),
        _recipes(arms),
        Section("The same on your own pictures", [Listing("Run this:", command)]),
    ]
    present = [section for section in sections if section is not None]
    sources = [run.data.source for run in arms.values() if run.data]
    page = Page(
        title=title,
        lead=f"{counted(len(arms), 'arm')}, each trained once.",
        notices=[*([notice] if notice else []), *picture_notices(present, sources)],
        tiles=[],
        sections=present,
    )
    write_atomically(out, render_html(page))
    return out


def _arm_table(arms: Mapping[str, RunContent]) -> Table:
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
        f"Each arm once. In brackets the 95% interval {OVER}; it does not hold what another seed "
        "would change.",
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


def _accuracy_gallery(arms: Mapping[str, RunContent]) -> list[Part]:
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
    return [Gallery([Figure(svg, f"Test accuracy with its 95% interval {OVER}.")])]


def _interval(score: Score, value: float) -> Interval:
    low, high = score.ci95 or (float("nan"), float("nan"))
    return Interval(value, low, high)


def _confusions(arms: Mapping[str, RunContent]) -> list[Figure]:
    known = {name: best_known(run) for name, run in arms.items()}
    drawn = [confusion_figure(each[0], name, each[1]) for name, each in known.items() if each]
    return [figure for figure in drawn if figure is not None]


def _data_sections(arms: Mapping[str, RunContent]) -> list[Section]:
    """Show the data once where every arm had the same, else by arm."""
    known = {name: run.data for name, run in arms.items() if run.data is not None}
    if not known:
        return []
    first = next(iter(known.values()))
    if all(data == first for data in known.values()):
        return [data_section(first)]
    return [data_section(data, f"The data of {name}") for name, data in known.items()]


def _recipes(arms: Mapping[str, RunContent]) -> Section | None:
    parts = [part for name, run in arms.items() for part in recipe_parts(run, f"{name}: ")]
    return Section("How it was made", parts) if parts else None
