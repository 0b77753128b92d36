"""A table of the cells that train, drawn anew in place as they go on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hybridface.study.config import Cell
from hybridface.study.progress import CellProgress


class LiveTable:
    """Shows on a terminal which cells train and how far each is.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._live = Live(console=console or Console(), auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def say(self, line: str) -> None:
        """Print a line above the table."""
        self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(self, training: Sequence[tuple[Cell, CellProgress]], waiting: int) -> None:
        """Draw the table.

        Args:
            training: The cells that train, and how far each is.
            waiting: How many wait for their turn.
        """
        table = Table(caption=f"{waiting} more wait", caption_justify="left")
        named = next((cell.figure_name for cell, _ in training), "figure")
        for head in ("Arm", "Seed", "Epoch", f"Validation {named}", "Time left"):
            table.add_column(Text(head), justify="left" if head == "Arm" else "right")
        for cell, progress in training:
            left = progress.seconds_left
            figure = progress.figure
            table.add_row(
                Text(cell.arm),  # a name is no markup
                str(cell.seed),
                f"{progress.epoch} of {progress.epochs}",
                "" if figure is None else f"{figure:.4f}",
                "" if left is None else str(timedelta(seconds=round(left))),
            )
        self._live.update(table, refresh=True)
