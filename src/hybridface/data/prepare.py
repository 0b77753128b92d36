"""From a recipe's data section to index arrays: which rows train, validate and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybridface.config import DataConfig
from hybridface.data.cache import Progress
from hybridface.data.decoding import choose_workers, needed_workers
from hybridface.data.joined import Joined, drop_across, join
from hybridface.data.numbers import describe
from hybridface.data.parts import Part, columns_of, cut_part
from hybridface.data.source import (
    MISSING,
    Labels,
    NumericLabels,
    as_text,
)
from hybridface.data.sources import in_one_line
from hybridface.data.unlabelled import UnlabelledPictures, gather_unlabelled
from hybridface.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class PreparedData(Joined):
    """Everything a training needs of its data: beside what :class:`Joined` has, the following.

    Attributes:
        sources: The data sets as the recipe names them, by their names; of one the name is empty.
        unlabelled: Pictures that only the self-supervised tasks learn from.
        workers: How many processes read batches for this one; 0 where all pictures are cached.
        weights: How often an epoch shows a row of each data set; empty where all come once.
    """

    sources: dict[str, str]
    unlabelled: UnlabelledPictures | None = None
    workers: int = 0
    weights: tuple[float, ...] = ()

    @property
    def spec(self) -> str:
        """Return the data sets in one line; see :func:`hybridface.data.sources.in_one_line`."""
        return in_one_line(self.sources)

    def column(self, name: str) -> Labels | NumericLabels:
        """Return a column that a task asked for, of classes or of numbers."""
        return self.labels[name] if name in self.labels else self.numeric[name]

    def report(self) -> dict[str, Any]:
        """Return what a run's report says of its data, ready for JSON."""
        counts = {
            column: {
                split: np.bincount(
                    labels.ids[rows][labels.ids[rows] != MISSING], minlength=len(labels.names)
                ).tolist()
                for split, rows in self.splits.items()
            }
            | {"names": list(labels.names)}
            for column, labels in self.labels.items()
        }
        several = {} if self.origin is None else {"sources": self._rows_by_source()}
        return {
            "source": self.spec,
            **several,
            "rows": {split: len(rows) for split, rows in self.splits.items()},
            "classes": counts,
            "numbers": {
                column: {
                    split: describe(labels.values[rows]) for split, rows in self.splits.items()
                }
                | {"names": list(labels.names), "unit": labels.unit}
                for column, labels in self.numeric.items()
            },
            "notes": self.notes,
            "dropped_duplicates": [as_text(key) for key in self.duplicates],
            "dropped_from_validation": [as_text(key) for key in self.validation_duplicates],
            "problems": [{"where": p.where, "what": p.what} for p in self.problems],
            "unlabelled": None if self.unlabelled is None else self.unlabelled.report(),
        }

    def _rows_by_source(self) -> dict[str, dict[str, Any]]:
        assert self.origin is not None
        weights = self.weights or (1.0,) * len(self.sources)
        return {
            name: {
                "source": spec,
                "weight": weights[number],
                "rows": {
                    split: int((self.origin[rows] == number).sum())
                    for split, rows in self.splits.items()
                },
            }
            for number, (name, spec) in enumerate(self.sources.items())
        }


def prepare_data(
    config: DataConfig,
    columns: Sequence[str],
    seed: int,
    progress: Progress | None = None,
    *,
    processes: int = 1,
) -> PreparedData:
    """Read, decode and split the data of a recipe.

    Several data sets are cut each by itself. A picture that stands in validation or test of one
    trains in none.

    Args:
        config: The recipe's data section.
        columns: Columns of classes or numbers that the tasks need. The first one that a data set
            has balances its cuts: by its classes or, where it holds numbers, by up to ten equal
            parts of the rows in the order of the first of them, such as the yaw of a pose.
        seed: The run's seed, used where the data section has none of its own.
        progress: Called with (done, total) while pictures are decoded.
        processes: How many processes train on this machine and have workers of their own.

    Raises:
        UsageError: The source has no such column, or a fold that does not exist is asked for.
        DataError: The layout is wrong, no training row is left, or problems are to be refused.
    """
    workers = choose_workers(config.workers, processes)
    parts = {
        name: cut_part(each, columns, seed, progress, workers=workers, every=not config.sources)
        for name, each in config.parts().items()
    }
    _refuse_missing(parts, columns)
    if config.drop_duplicates:
        drop_across(parts)
    unlabelled = gather_unlabelled(config, list(parts.values()), progress, workers=workers)
    others = () if unlabelled is None else unlabelled.images
    joined = join(parts, columns)
    weights = [each.weight for each in config.sources.values()]
    return PreparedData(
        **vars(joined),
        sources=config.specs,
        weights=tuple(weights) if any(weight != 1 for weight in weights) else (),
        unlabelled=unlabelled,
        workers=needed_workers(
            workers, *(part.pictures.images for part in parts.values()), *others
        ),
    )


def _refuse_missing(parts: Mapping[str, Part], columns: Sequence[str]) -> None:
    """Refuse a recipe with a task that no data set has labels for."""
    found = {column for part in parts.values() for column in columns_of(part.rows)}
    for column in columns:
        if column not in found:
            raise UsageError(
                f"{' + '.join(part.spec for part in parts.values())} has no label column "
                f"'{column}'; it has: {', '.join(sorted(found)) or 'none'}"
            )
