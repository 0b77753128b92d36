"""From a recipe's data section to index arrays: which rows train, validate and test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.config import DataConfig
from hybridface.data.cache import CachedPictures, Progress
from hybridface.data.check.together import with_near_duplicates
from hybridface.data.decoding import choose_workers, needed_workers, open_pictures
from hybridface.data.numbers import describe, quantile_bins
from hybridface.data.source import (
    MISSING,
    SPLITS,
    Labels,
    NumericLabels,
    Pictures,
    Problem,
    Rows,
    as_text,
)
from hybridface.data.sources import open_source
from hybridface.data.splits import (
    Index,
    assign_folds,
    cut,
    draw_fraction,
    leaked,
    official_folds,
)
from hybridface.data.unlabelled import UnlabelledPictures, gather_unlabelled, refuse_problems
from hybridface.errors import DataError, UsageError

TEST_SEED = 0  # a test split is the same for every run


@dataclass(frozen=True)
class PreparedData:
    """Everything a training needs of its data.

    Attributes:
        spec: The source as the recipe names it.
        images: ``(N, size, size, 3)`` uint8, all rows of the source: memory-mapped, or decoded
            when they are read.
        labels: Label columns over all rows, for the tasks that asked for them.
        keys: Names of the rows.
        splits: Row indices of ``train``, ``val`` and ``test``.
        problems: What was skipped, and why.
        duplicates: Training pictures dropped because they stand in validation or test.
        validation_duplicates: Validation pictures dropped because they stand in test.
        notes: What the source wants a reader to know.
        unlabelled: Pictures that only the self-supervised tasks learn from.
        fingerprint: Equal for equal content of all pictures of the source.
        workers: How many processes read batches for this one; 0 where all pictures are cached.
        numeric: Columns of numbers over all rows, for the tasks that asked for them.
        groups: ``(N,)`` int64 id of the person of each row, where the source knows it.
    """

    spec: str
    images: Pictures
    labels: dict[str, Labels]
    keys: Sequence[str]
    splits: dict[str, Index]
    problems: list[Problem]
    duplicates: list[str]
    validation_duplicates: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unlabelled: UnlabelledPictures | None = None
    fingerprint: str = ""
    workers: int = 0
    numeric: dict[str, NumericLabels] = field(default_factory=dict)
    groups: Index | None = None

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
        return {
            "source": self.spec,
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


def prepare_data(
    config: DataConfig,
    columns: Sequence[str],
    seed: int,
    progress: Progress | None = None,
    *,
    processes: int = 1,
) -> PreparedData:
    """Read, decode and split a data set as a recipe says.

    Args:
        config: The recipe's data section.
        columns: Columns of classes or numbers that the tasks need. The first one balances the
            cuts: by its classes or, where it holds numbers, by up to ten equal parts of the rows
            in the order of the first of them, such as the yaw of a pose.
        seed: The run's seed, used where the data section has none of its own.
        progress: Called with (done, total) while pictures are decoded.
        processes: How many processes train on this machine and have workers of their own.

    Raises:
        UsageError: The source has no such column, or a fold that does not exist is asked for.
        DataError: The layout is wrong, no training row is left, or problems are to be refused.
    """
    source = open_source(config.source)
    rows = source.read()
    found: dict[str, Labels | NumericLabels] = {**rows.labels, **rows.numeric}
    for column in columns:
        if column not in found:
            raise UsageError(
                f"{config.source} has no label column '{column}'; "
                f"it has: {', '.join(found) or 'none'}"
            )
    if config.keep_together == "near_duplicates":
        rows = with_near_duplicates(source, rows, progress)
    workers = choose_workers(config.workers, processes)
    pictures = open_pictures(
        source, rows, config.size, progress, limit_gib=config.cache_limit_gib, workers=workers
    )
    labelled = np.ones(len(rows), dtype=bool)
    if columns:
        labelled = np.any([found[column].known() for column in columns], axis=0)
    usable = pictures.decoded & labelled
    problems = [*rows.problems, *pictures.problems]
    problems += _unlabelled(rows, labelled, columns, problems)
    if config.problems == "refuse":
        refuse_problems(config.source, problems)
    balance = _balance(found[columns[0]]) if columns else np.zeros(len(rows), dtype=np.int64)
    seed = seed if config.seed is None else config.seed
    split, rest = _split_rows(config, rows, balance, usable, seed)
    if config.test_part:
        _cut_test(config, rows, balance, pictures, split)
    duplicates, shown = _drop_duplicates(config, pictures, split)
    _draw_labels(config, balance, split, seed)
    _refuse_unusable(config, rows, usable, split)
    held_out = (split == "val") | (split == "test")
    rest &= ~held_out & (split != "train")
    unlabelled_pictures = gather_unlabelled(
        config, pictures, rest, held_out, progress, workers=workers
    )
    others = () if unlabelled_pictures is None else unlabelled_pictures.images
    unlabelled = "" if labelled.all() else f"{int((~labelled).sum())} rows without a label"
    return PreparedData(
        spec=config.source,
        images=pictures.images,
        labels={column: rows.labels[column] for column in columns if column in rows.labels},
        keys=rows.keys,
        splits={name: np.flatnonzero(split == name) for name in SPLITS},
        problems=problems,
        duplicates=[rows.keys[row] for row in np.flatnonzero(duplicates).tolist()],
        validation_duplicates=[rows.keys[row] for row in np.flatnonzero(shown).tolist()],
        notes=[*rows.notes, *filter(None, [unlabelled, pictures.note])],
        unlabelled=unlabelled_pictures,
        fingerprint=pictures.fingerprint,
        workers=needed_workers(workers, pictures.images, *others),
        numeric={column: rows.numeric[column] for column in columns if column in rows.numeric},
        groups=rows.group,
    )


def _balance(labels: Labels | NumericLabels) -> Index:
    """Return the ``(N,)`` ids by which cuts are balanced; -1 for a row without a label."""
    return labels.ids if isinstance(labels, Labels) else quantile_bins(labels.values)


def _unlabelled(
    rows: Rows, labelled: NDArray[np.bool_], columns: Sequence[str], named: Sequence[Problem]
) -> list[Problem]:
    """Name the rows without a label that no problem names yet."""
    known = {problem.where for problem in named}
    what = f"no label in column {' or '.join(repr(column) for column in columns)}"
    found = (Problem(rows.keys[row], what) for row in np.flatnonzero(~labelled).tolist())
    return [problem for problem in found if problem.where not in known]


def _split_rows(
    config: DataConfig, rows: Rows, balance: Index, usable: NDArray[np.bool_], seed: int
) -> tuple[NDArray[np.str_], NDArray[np.bool_]]:
    """Give every usable row its split; rows of no split train.

    Returns:
        The splits, and which rows may be learned from without their labels: those of no held-out
        split or fold, and of no person who is held out.
    """
    split = np.where(rows.split == "", "train", rows.split).astype("U5")
    if config.folds is not None:
        folds = config.folds
        if folds.test >= folds.count:
            raise UsageError(
                f"data.folds.test: fold {folds.test} does not exist, the {folds.count} folds are "
                f"numbered from 0 to {folds.count - 1}"
            )
        if folds.official:
            assigned = official_folds(config.source, rows.folds, folds.count)
        else:
            assigned = assign_folds(balance, rows.group, folds.count, folds.seed)
        split = np.where(assigned == folds.test, "test", "train").astype("U5")
        split[assigned < 0] = ""
    rest = split == "train"
    split[~usable] = ""
    if not (split == "val").any():
        train = np.flatnonzero(split == "train")
        group = None if rows.group is None else rows.group[train]
        split[train[cut(balance[train], group, config.validation, seed)]] = "val"
    if rows.group is not None:
        rest &= ~np.isin(rows.group, np.unique(rows.group[(split == "val") | (split == "test")]))
    return split, rest


def _cut_test(
    config: DataConfig,
    rows: Rows,
    balance: Index,
    pictures: CachedPictures,
    split: NDArray[np.str_],
) -> None:
    """Turn a part of the source's validation rows in ``split`` into the test split.

    Raises:
        UsageError: There is a test split already, or no validation split to cut it from.
    """
    if (split == "test").any():
        raise UsageError(
            f"data.test_part: {config.source} has a test split already"
            + (", of data.folds" if config.folds else "")
            + "; leave it out"
        )
    if not (rows.split == "val").any():
        raise UsageError(
            f"data.test_part: {config.source} has no validation split to cut it from; take "
            "data.folds"
        )
    val = np.flatnonzero(split == "val")
    equal = np.unique(pictures.digests[val], return_inverse=True)[1].astype(np.int64)
    group = equal if rows.group is None else rows.group[val]
    split[val[cut(balance[val], group, config.test_part, TEST_SEED)]] = "test"


def _drop_duplicates(
    config: DataConfig, pictures: CachedPictures, split: NDArray[np.str_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Take out of ``split`` what would let training or selection see a held-out picture.

    Returns:
        Which training rows stand in validation or test, and which validation rows in test.
    """
    if not config.drop_duplicates:
        nothing = np.zeros(len(split), dtype=bool)
        return nothing, nothing
    val, test = split == "val", split == "test"
    trained = leaked(pictures.digests, split == "train", val | test)
    shown = leaked(pictures.digests, val, test)
    split[trained | shown] = ""
    return trained, shown


def _draw_labels(config: DataConfig, balance: Index, split: NDArray[np.str_], seed: int) -> None:
    """Keep the recipe's fraction of the training rows in ``split``."""
    if config.fraction < 1:
        train = np.flatnonzero(split == "train")
        split[train[~draw_fraction(balance[train], config.fraction, seed)]] = ""


def _refuse_unusable(
    config: DataConfig, rows: Rows, usable: NDArray[np.bool_], split: NDArray[np.str_]
) -> None:
    """Refuse a data set that leaves nothing to train on or to select by."""
    one = rows.group is not None and len(np.unique(rows.group[usable])) == 1
    person = "all are of one person, who is kept on one side; add others or leave the group out"
    for name, advice in (
        ("train", person if one else "check the labels and pictures"),
        ("val", "raise data.validation or give the source a validation split"),
    ):
        if not (split == name).any():
            raise DataError(
                f"{config.source}: no row is left for the split '{name}': {len(rows)} rows, "
                f"{int(usable.sum())} of them with a label and a readable picture; {advice}"
            )
