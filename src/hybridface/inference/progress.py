"""A bar with an estimate of the time left, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(what: str, total: int | None, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """Show how far the work is while the context lasts.

    Args:
        what: What is counted, as in ``pictures``.
        total: How many there are; None where nobody knows.
        quiet: Whether to show nothing.

    Returns:
        A function to be called once for each that is done.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = [TextColumn(what), BarColumn(), MofNCompleteColumn(), Remaining()]
    shown = Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # a line of the table would break the bar otherwise
    )
    with shown:
        bar = shown.add_task(what, total=total)
        yield lambda: shown.advance(bar)
