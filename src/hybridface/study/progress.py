"""How far a cell's training is, from what its run has written down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hybridface.errors import DataError
from hybridface.files import read_json_lines
from hybridface.study.config import Cell
from hybridface.training.pretraining import FOLDER


@dataclass(frozen=True)
class CellProgress:
    """What a run has said of itself last.

    Attributes:
        epoch: Epochs that are done and written down, which is after each look at validation.
        epochs: Epochs of the whole training.
        seconds: What they took.
        figure: What the cell is chosen by, on validation after the last of them; null before the
            first.
    """

    epoch: int
    epochs: int
    seconds: float = 0.0
    figure: float | None = None

    @property
    def part(self) -> float:
        """Return the part that is trained, from 0 to 1."""
        return self.epoch / self.epochs

    @property
    def seconds_left(self) -> float | None:
        """Return how long the rest takes at the same speed; null before the first epoch."""
        return self.seconds * (self.epochs - self.epoch) / self.epoch if self.epoch else None


def cell_progress(run: Path, cell: Cell) -> CellProgress:
    """Read how far a cell is, its first stage counted where it has one.

    Args:
        run: The run folder.
        cell: The cell.
    """
    figure = cell.chosen_by.removeprefix("val_")
    second = read_progress(run, cell.recipe.training.epochs, figure)
    if cell.recipe.pretrain is None:
        return second
    first = read_progress(run / FOLDER, cell.recipe.pretrain.epochs, figure)
    return CellProgress(
        first.epoch + second.epoch,
        first.epochs + second.epochs,
        first.seconds + second.seconds,
        second.figure,
    )


def read_progress(run: Path, epochs: int, figure: str) -> CellProgress:
    """Read how far a run is; one that has written nothing down is at its start.

    Args:
        run: The run folder.
        epochs: Epochs of the whole training.
        figure: Which of its validation figures is shown.
    """
    try:
        last = read_json_lines(run / "metrics.jsonl")[-1]
        seconds, value = float(last["seconds"]), last["val"].get(figure)
        return CellProgress(int(last["epoch"]), epochs, seconds, value)
    except (DataError, ValueError, LookupError, TypeError, AttributeError):
        return CellProgress(0, epochs)
