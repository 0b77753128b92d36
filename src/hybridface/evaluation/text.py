"""What an evaluation found, as tables to read."""

from __future__ import annotations

import sys
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

_WIDTH = 120
_SCORES = {
    "accuracy": "accuracy",
    "mean_class_accuracy": "mean class accuracy",
    "macro_f1": "macro F1",
}


def print_evaluation(result: dict[str, Any]) -> None:
    """Print what :func:`hybridface.evaluate` gives as tables on stdout."""
    console = stdout_console()
    console.print(
        f"{result['model']} on {result['data']}, {split_name(result['split'])}, "
        f"{result['count']} pictures",
        soft_wrap=True,
    )
    for name, task in result["tasks"].items():
        console.print(f"\ntask {name}, {task['count']} pictures", style="bold")
        tables = _tables(task)
        for table in tables:
            console.print(table)
        for line in _left_out(task):
            console.print(line, soft_wrap=True)
    for line in _remarks(result):
        console.print(line, soft_wrap=True)


def _tables(task: dict[str, Any]) -> list[Table]:
    from hybridface.evaluation import number_text

    if "confusion" in task:
        tables = [_scores(task), _classes(task), _confusion(task)]
    else:
        tables = [number_text.number_scores(task), *filter(None, [number_text.by_yaw(task)])]
    return tables + number_text.by_group(task)


def stdout_console() -> Console:
    """Return a console on stdout: as wide as the terminal, or of one width in a file."""
    width = None if sys.stdout.isatty() else _WIDTH
    return Console(file=sys.stdout, width=width, markup=False, highlight=False)


def split_name(split: str) -> str:
    """Return how a sentence names a split."""
    return "all rows" if split == "all" else f"split {split}"


def number_table(*columns: str) -> Table:
    """Make a table whose first column holds names and whose others hold numbers."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=bool(number))
    return table


def percent(value: float | None) -> str:
    """Return a fraction in percent, ``-`` for none."""
    return "-" if value is None else f"{value:.1%}"


def interval(score: dict[str, Any], form: str) -> str:
    """Return the bounds of ``{"value": …, "ci95": …}`` in a format, ``-`` where it has none."""
    return " to ".join(format(bound, form) for bound in score["ci95"]) if score["ci95"] else "-"


def _scores(task: dict[str, Any]) -> Table:
    table = number_table("", "value", "95% interval")
    for key, name in _SCORES.items():
        table.add_row(name, percent(task[key]["value"]), interval(task[key], ".1%"))
    nll = task["nll"]
    table.add_row("negative log likelihood", f"{nll['value']:.3f}", interval(nll, ".3f"))
    table.add_row("expected calibration error", percent(task["ece"]["value"]), "")
    return table


def _classes(task: dict[str, Any]) -> Table:
    table = number_table("class", "precision", "recall", "F1", "pictures")
    for name, each in task["per_class"].items():
        numbers = (percent(each[key]) for key in ("precision", "recall", "f1"))
        table.add_row(name, *numbers, str(each["count"]))
    return table


def _confusion(task: dict[str, Any]) -> Table:
    """Number the columns, so that the matrix stays narrow whatever the classes are called."""
    names, counts = task["confusion"]["classes"], task["confusion"]["counts"]
    numbers = [str(number) for number in range(1, len(names) + 1)]
    table = number_table("true class, by predicted class", *numbers)
    for number, name, row in zip(numbers, names, counts, strict=True):
        table.add_row(f"{number:>{len(numbers[-1])}} {name}", *map(str, row))
    return table


def _left_out(task: dict[str, Any]) -> list[str]:
    """Say what a reader of a task's figures would otherwise not know."""
    if "confusion" not in task:
        from hybridface.evaluation import number_text

        return number_text.left_out(task)
    lines = []
    if task["absent_classes"]:
        lines.append(f"no picture of: {', '.join(task['absent_classes'])}; left out of the means")
    if foreign := task["unmatched"]["data_classes"]:
        named = ", ".join(f"{name} ({count} pictures)" for name, count in foreign.items())
        lines.append(f"left out, as the model has no such class: {named}")
    if task["unlabelled"]:
        lines.append(f"left out, as they have no label '{task['label']}': {task['unlabelled']}")
    return lines


def _remarks(result: dict[str, Any]) -> list[str]:
    """Say what was skipped, and what the data set's reader found."""
    skipped, problems = result["skipped"], result["problems"]
    lines = [f"note: {note}" for note in result["notes"]]
    if skipped["count"]:
        lines.append(
            f"skipped: {skipped['unlabelled']} pictures without label, "
            f"{skipped['unreadable']} that cannot be read"
        )
        lines += [f"  {each['where']}: {each['what']}" for each in skipped["examples"]]
    if problems["count"]:
        lines.append(f"problems of the data set: {problems['count']}")
        lines += [f"  {each['where']}: {each['what']}" for each in problems["examples"]]
    return lines
