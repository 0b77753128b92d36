"""What an evaluation found, as tables to read."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from hybridface.console import all_printable, number_table, stdout_console
from hybridface.evaluation.number_text import by_group, by_yaw, left_out, number_scores
from hybridface.evaluation.words import interval, percent, split_name

_SCORES = {
    "accuracy": "accuracy",
    "mean_class_accuracy": "mean class accuracy",
    "macro_f1": "macro F1",
}


def print_evaluation(result: dict[str, Any]) -> None:
    """Print what :func:`hybridface.evaluate` gives as tables on stdout."""
    result, console = all_printable(result), stdout_console()
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
    if "confusion" in task:
        tables = [_scores(task), _classes(task), _confusion(task)]
    else:
        tables = [number_scores(task), *filter(None, [by_yaw(task)])]
    return tables + by_group(task)


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
        return left_out(task)
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
