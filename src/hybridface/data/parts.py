"""One data set of a recipe: its rows, its pictures, and which of them train, validate and test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridface.config import DataConfig
from hybridface.data.cache import CachedPictures, Progress
from hybridface.data.check.together import with_near_duplicates
from hybridface.data.decoding import open_pictures
from hybridface.data.numbers import quantile_bins
from hybridface.data.source import Labels, NumericLabels, Problem, Rows
from hybridface.data.sources import open_source
from hybridface.data.splits import (
    Index,
    assign_folds,
    cut,
    draw_fraction,
    drop_leaked,
    official_folds,
)
from hybridface.errors import DataError, UsageError

TEST_SEED = 0  # a test split is the same for every run


@dataclass
class Part:
    """A data set as a recipe cuts it.

    Attributes:
        spec: The data set as the recipe names it.
        rows: Its rows.
        pictures: Their pictures.
        split: ``(N,)`` str, each of ``train``, ``val``, ``test`` or ``""`` for a row that is not
            used.
        rest: ``(N,)`` bool, the rows that may be learned from without their labels.
        problems: What was skipped, and why.
        duplicates: ``(N,)`` bool, training rows dropped because they stand in validation or test.
        shown: ``(N,)`` bool, validation rows dropped because they stand in test.
        notes: What a reader should know.
    """

    spec: str
    rows: Rows
    pictures: CachedPictures
    split: NDArray[np.str_]
    rest: NDArray[np.bool_]
    problems: list[Problem]
    duplicates: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    notes: list[str]

    @property
    def held_out(self) -> NDArray[np.bool_]:
        """Mark the rows of validation and test, ``(N,)``."""
        held_out: NDArray[np.bool_] = (self.split == "val") | (self.split == "test")
        return held_out


def columns_of(rows: Rows) -> dict[str, Labels | NumericLabels]:
    """Return every column of a data set, of classes and of numbers."""
    return {**rows.labels, **rows.numeric}


def cut_part(
    config: DataConfig,
    columns: Sequence[str],
    seed: int,
    progress: Progress | None = None,
    *,
    workers: int = 0,
    every: bool = True,
) -> Part:
    """Read, decode and split one data set as a recipe says.

    Args:
        config: The recipe's data section, for this data set.
        columns: Columns that tasks need, as in :func:`hybridface.data.prepare.prepare_data`.
        seed: The run's seed.
        progress: Called with (done, total) while pictures are decoded.
        workers: How many processes look through a data set that is not cached.
        every: Whether the data set has to have every column, or only one of them.

    Raises:
        UsageError: The data set lacks the columns, or a fold that does not exist is asked
            for.
        DataError: The layout is wrong, no row is left to train on or to select by, or problems
            are to be refused.
    """
    source = open_source(config.source)
    rows = source.read()
    found = columns_of(rows)
    has = [column for column in columns if column in found]
    missing = [column for column in columns if column not in found]
    if missing and (every or not has):
        named = repr(missing[0]) if every else " or ".join(map(repr, missing))
        raise UsageError(
            f"{config.source} has no label column {named}; it has: {', '.join(found) or 'none'}"
        )
    if config.keep_together == "near_duplicates":
        rows = with_near_duplicates(source, rows, progress)
    pictures = open_pictures(
        source, rows, config.size, progress, limit_gib=config.cache_limit_gib, workers=workers
    )
    labelled = np.ones(len(rows), dtype=bool)
    if has:
        labelled = np.any([found[column].known() for column in has], axis=0)
    usable = pictures.decoded & labelled
    problems = [*rows.problems, *pictures.problems]
    problems += _unlabelled(rows, labelled, has, problems)
    if config.problems == "refuse":
        refuse_problems(config.source, problems)
    balance = _balance(found[has[0]]) if has else np.zeros(len(rows), dtype=np.int64)
    seed = seed if config.seed is None else config.seed
    split, rest = _split_rows(config, rows, balance, usable, seed)
    if config.test_part:
        _cut_test(config, rows, balance, pictures, split)
    duplicates = shown = np.zeros(len(rows), dtype=bool)
    if config.drop_duplicates:
        duplicates, shown = drop_leaked(pictures.digests, split)
    _draw_labels(config, balance, split, seed)
    if not (split == "train").any():
        advice = _how_to_train(config, rows, usable, duplicates, problems)
        raise _too_little(config, rows, usable, "train", advice)
    _refuse_unmeasurable(config, rows, usable, split)
    unlabelled = "" if labelled.all() else f"{int((~labelled).sum())} rows without a label"
    notes = [*rows.notes, *filter(None, [unlabelled, pictures.note])]
    part = Part(config.source, rows, pictures, split, rest, problems, duplicates, shown, notes)
    part.rest &= ~part.held_out & (split != "train")
    return part


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


def _draw_labels(config: DataConfig, balance: Index, split: NDArray[np.str_], seed: int) -> None:
    """Keep the recipe's fraction of the training rows in ``split``."""
    if config.fraction < 1:
        train = np.flatnonzero(split == "train")
        split[train[~draw_fraction(balance[train], config.fraction, seed)]] = ""


def _refuse_unmeasurable(
    config: DataConfig, rows: Rows, usable: NDArray[np.bool_], split: NDArray[np.str_]
) -> None:
    """Refuse a data set that leaves nothing to select by, or in the fold to test."""
    advised = {"val": "raise data.validation or give the source a validation split"}
    if config.folds is not None:
        advised["test"] = (
            f"fold {config.folds.test} of {config.folds.count} has none of them; take another "
            "data.folds.test, or fewer folds"
        )
    for name, advice in advised.items():
        if not (split == name).any():
            raise _too_little(config, rows, usable, name, advice)


def _too_little(
    config: DataConfig, rows: Rows, usable: NDArray[np.bool_], name: str, advice: str
) -> DataError:
    return DataError(
        f"{config.source}: no row is left for the split '{name}': {len(rows)} rows, "
        f"{int(usable.sum())} of them with a label and a readable picture; {advice}"
    )


def _how_to_train(
    config: DataConfig,
    rows: Rows,
    usable: NDArray[np.bool_],
    duplicates: NDArray[np.bool_],
    problems: Sequence[Problem],
) -> str:
    """Say what took the rows that could train, where none is left."""
    if rows.group is not None and len(np.unique(rows.group[usable])) == 1:
        return "all are of one person, who is kept on one side; add others or leave the group out"
    if not usable.any():
        first = "".join(f" ({each.where}: {each.what})" for each in problems[:1])
        return f"check the labels and pictures{first}"
    if duplicates.any():
        return f"{int(duplicates.sum())} equal one of validation or test (data.drop_duplicates)"
    if config.folds is None and not np.isin(rows.split[usable], ("", "train")).any():
        return "the data set says of none that it is for training; data.folds cuts them all anew"
    return "lower data.validation, or add pictures"


def refuse_problems(where: str, problems: Sequence[Problem]) -> None:
    """Refuse a data set of which anything cannot be used.

    Raises:
        DataError: There are problems; names the first ten.
    """
    if not problems:
        return
    first = "\n".join(f"  {problem.where}: {problem.what}" for problem in problems[:10])
    raise DataError(
        f"{where}: {len(problems)} problems, and data.problems is 'refuse':\n"
        f"{first}\nMend or remove them, or say data.problems=skip to do without them"
    )
