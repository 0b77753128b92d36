"""Every supervised task of a run, on each of its data sets."""

from __future__ import annotations

from collections.abc import Mapping

from hybridface.report.document import Table
from hybridface.report.folders import Metrics, RunContent
from hybridface.report.sections import OVER, leading_measure, score_text, units_of
from hybridface.report.text import MISSING, measure_title, number

SPLITS = (("Validation", "val"), ("Test", "test"), ("Test, last epoch", "test_last"))


def task_table(run: RunContent) -> Table | None:
    """Return a row for each task and data set; None for a run of one task on one data set."""
    tasks = run.result.tasks if run.result else {}
    rows = [row for name in tasks for row in _rows(name, tasks[name], units_of(run, name))]
    if len(rows) < 2:
        return None
    return Table(
        f"Every task on every data set that has labels for it, with 95% intervals {OVER}. The "
        "weights were chosen by the first task.",
        ["Task", "Data set", "Measure", *(head for head, _ in SPLITS), "Test pictures"],
        rows,
        text_columns=3,
    )


def _rows(
    task: str, splits: dict[str, Metrics | None], units: Mapping[str, str]
) -> list[list[str]]:
    known = [metrics for metrics in splits.values() if metrics is not None]
    names = dict.fromkeys(name for metrics in known for name in metrics.by_source)
    rows = []
    for source in names if len(names) == 1 else ["", *names]:
        found = {split: _of_source(metrics, source) for split, metrics in splits.items()}
        measure = leading_measure(next((each for each in found.values() if each), None))
        values = [
            MISSING if (each := found.get(split)) is None else score_text(each, measure)
            for _, split in SPLITS
        ]
        test = found.get("test")
        count = MISSING if test is None or test.count is None else number(test.count, 0)
        rows.append([task, source or "all", measure_title(measure, units), *values, count])
    return rows


def _of_source(metrics: Metrics | None, source: str) -> Metrics | None:
    return metrics if metrics is None or not source else metrics.by_source.get(source)
