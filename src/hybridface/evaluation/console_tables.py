"""What tables of figures on a terminal have in common."""

from __future__ import annotations

import sys
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

_WIDTH = 120


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
