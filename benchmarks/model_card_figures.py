"""The tables of a model card: ``python benchmarks/model_card_figures.py RUN [EVALUATION.json…]``.

Of a finished run's ``result.json`` it prints, for each task and each of the run's data sets, the
figures on its test split with 95 % intervals, and for expressions the calibration error and the
recall of each class. Of what ``hybridface evaluate --json`` printed it adds the figures by gender,
ethnicity and age, where the data knows these; ``held_out.py`` restricts an evaluation to the rows
that the run kept for its report.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hybridface.evaluation.statistics import wilson_interval

Figures = dict[str, Any]
COLUMNS = {
    "accuracy": ("accuracy", 3), "mean_class_accuracy": ("mean class accuracy", 3),
    "ece": ("calibration error (ECE)", 3), "mae_yaw": ("yaw", 2), "mae_pitch": ("pitch", 2),
    "mae_roll": ("roll", 2), "mae": ("mean absolute error", 2), "geodesic": ("geodesic", 2),
    "coverage": ("within 1.96 deviations", 3),
}  # fmt: skip


def said(figure: Figures | None, digits: int) -> str:
    """Return a figure with its interval in words; a dash where there is none."""
    if figure is None or figure["value"] is None:
        return "-"
    value, interval = figure["value"], figure.get("ci95")
    if interval is None:
        return f"{value:.{digits}f}"
    low, high = interval
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Give a Markdown table line by line."""
    head = list(head)
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def by_data(figures: Figures) -> dict[str, Figures]:
    """Return a task's figures by data set, and those of all of them where there are several."""
    each: dict[str, Figures] = dict(figures.get("by_source") or {})
    return each if len(each) == 1 else {**each, "all": figures}


def task_tables(task: str, figures: Figures) -> Iterator[str]:
    """Give the tables of one task."""
    each = by_data(figures)
    columns = {name: about for name, about in COLUMNS.items() if name in figures}
    yield f"### {task}\n"
    yield from table(
        ["data", "pictures", *(words for words, _ in columns.values())],
        (
            [data, f"{found['count']:,}"]
            + [said(found.get(name), digits) for name, (_, digits) in columns.items()]
            for data, found in each.items()
        ),
    )
    if "per_class" in figures:
        yield f"Recall by {task}, in parentheses the 95 % interval and the pictures:\n"
        yield from table(
            [task, *each],
            (
                [name, *(recall(found["per_class"].get(name)) for found in each.values())]
                for name in figures["per_class"]
            ),
        )


def recall(found: Figures | None) -> str:
    """Return the recall of a class with Wilson's interval."""
    if found is None or found["recall"] is None:
        return "-"
    interval = wilson_interval(round(found["recall"] * found["count"]), found["count"])
    bounds = f"{interval.low:.3f} to {interval.high:.3f}"
    return f"{found['recall']:.3f} ({bounds}; {found['count']:,})"


def group_tables(evaluation: Figures) -> Iterator[str]:
    """Give the tables of an evaluation by group of people."""
    for task, figures in evaluation["tasks"].items():
        for column, groups in figures.get("by_group", {}).items():
            name = "mae" if "mae" in figures else "accuracy"
            words, digits = COLUMNS[name]
            yield f"### {task} by {column}\n"
            yield from table(
                [column, "pictures", words],
                (
                    [group, f"{found['count']:,}", said(found[name], digits)]
                    for group, found in groups.items()
                ),
            )


def card(run: Path, evaluations: Iterable[Path] = ()) -> Iterator[str]:
    """Give all tables, line by line.

    Args:
        run: A finished run's folder.
        evaluations: Files that hold what ``hybridface evaluate --json`` printed.
    """
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    for task, figures in result["tasks"].items():
        if figures.get("test") is None:
            yield f"### {task}\n\nThe run has no test rows with this label.\n"
        else:
            yield from task_tables(task, figures["test"])
    for path in evaluations:
        evaluation = json.loads(path.read_text(encoding="utf-8"))
        kind = evaluation["data"].partition("?")[0].rpartition(":")[0].rpartition(":")[2]
        yield f"## {kind}, {evaluation['count']:,} pictures, split {evaluation['split']}\n"
        yield from group_tables(evaluation)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path, help="a finished run's folder")
    parser.add_argument("evaluations", type=Path, nargs="*", help="of hybridface evaluate --json")
    given = parser.parse_args()
    print("\n".join(card(given.run, given.evaluations)))


if __name__ == "__main__":
    main()
