"""What a comparison found, as tables to read."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from hybridface.console import all_printable, number_table, stdout_console
from hybridface.evaluation.number_text import decimals_of
from hybridface.evaluation.words import interval, percent, split_name

_SHARES = {"accuracy": "accuracy", "mean_class_accuracy": "mean class accuracy"}


def print_comparison(result: dict[str, Any]) -> None:
    """Print what :func:`hybridface.compare` gives as tables on stdout."""
    result, console = all_printable(result), stdout_console()
    lines = [
        f"A: {result['a']['from']}",
        f"B: {result['b']['from']}",
        f"on {result['data']}, {split_name(result['split'])}, {result['count']} pictures",
    ]
    for line in lines:
        console.print(line, soft_wrap=True)
    for name, task in result["tasks"].items():
        groups = "" if task["groups"] is None else f" in {task['groups']} groups, drawn whole"
        console.print(f"\ntask {name}, {task['count']} pictures{groups}", style="bold")
        console.print(_scores(task) if "mcnemar" in task else _errors(task))
        for line in _pairs(task) if "mcnemar" in task else ():
            console.print(line, soft_wrap=True)
    for note in result["notes"]:
        console.print(f"note: {note}", soft_wrap=True)


def _scores(task: dict[str, Any]) -> Table:
    table = number_table("", "A", "95% interval", "B", "95% interval", "B - A", "95% interval")
    for key, name in _SHARES.items():
        cells = []
        for side in ("a", "b"):
            cells += [percent(task[side][key]["value"]), interval(task[side][key], ".1%")]
        table.add_row(name, *cells, *_points(task["difference"][key]))
    cells = []
    for score, form in (
        (task["a"]["nll"], ".3f"),
        (task["b"]["nll"], ".3f"),
        (task["difference"]["nll"], "+.3f"),
    ):
        cells += [format(score["value"], form), interval(score, form)]
    table.add_row("negative log likelihood", *cells)
    return table


def _errors(task: dict[str, Any]) -> Table:
    table = number_table("", "A", "95% interval", "B", "95% interval", "B - A", "95% interval")
    cells = []
    decimals = decimals_of([task[side]["mae"]["value"] for side in "ab"], task["unit"])
    for side, sign in (("a", ""), ("b", ""), ("difference", "+")):
        score, form = task[side]["mae"], f"{sign}.{decimals}f"
        cells += [format(score["value"], form), interval(score, form)]
    unit = f" ({task['unit']})" if task["unit"] else ""
    table.add_row(f"mean absolute error{unit}", *cells)
    return table


def _points(score: dict[str, Any]) -> tuple[str, str]:
    """Return a difference of shares and its bounds in percentage points."""
    bounds = None if score["ci95"] is None else [100 * bound for bound in score["ci95"]]
    return f"{100 * score['value']:+.1f} points", interval({"ci95": bounds}, "+.1f")


def _pairs(task: dict[str, Any]) -> list[str]:
    """Say how the two models' answers go together."""
    pairs, agreement = task["mcnemar"], task["agreement"]
    return [
        f"only A right: {pairs['only_a_right']}, only B right: {pairs['only_b_right']}, "
        f"both right: {pairs['both_right']}, both wrong: {pairs['both_wrong']}",
        "no McNemar's test, as pictures of one group are not independent"
        if pairs["p_value"] is None
        else f"McNemar's exact test, p = {pairs['p_value']:.3g}",
        f"the same answer for {percent(agreement['value'])} of the pictures "
        f"({interval(agreement, '.1%')})",
    ]
