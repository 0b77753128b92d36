"""What tables on a terminal have in common."""

from __future__ import annotations

import sys
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from hybridface.errors import printable

_WIDTH = 120


def stdout_console() -> Console:
    """Return a console on stdout: as wide as the terminal, or of one width in a file."""
    width = None if sys.stdout.isatty() else _WIDTH
    return Console(file=sys.stdout, width=width, markup=False, highlight=False)


def number_table(*columns: str) -> Table:
    """Make a table whose first column holds names and whose others hold numbers."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=bool(number))
    return table


def all_printable(value: Any) -> Any:
    """Return what is to be printed with every text in it as :func:`printable` gives it."""
    if isinstance(value, dict):
        return {all_printable(key): all_printable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [all_printable(each) for each in value]
    return printable(value) if isinstance(value, str) else value
