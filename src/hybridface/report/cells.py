"""The cells of a study, sorted into arms and settings, and the choice of the headline arm."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from hybridface.errors import HybridFaceError
from hybridface.evaluation.number_text import decimals_of
from hybridface.report.measures import Measure
from hybridface.report.study_rows import FinishedCell, read_cell

EQUAL_EPOCHS = "supervised"
# Methods that train the supervised task alone, in the end where they have two stages.
CONTROLS = (EQUAL_EPOCHS, "supervised_stretched", "supervised_two_views", "pretrain_finetune")
ALWAYS_APART = ("data", "fraction")
MAYBE_APART = ("augment", "init", "backbone", "size")


@dataclass(frozen=True)
class StudyResult:
    """All that a study found, as its runner collects it.

    Attributes:
        name: Short name of the study.
        title: Heading of the page.
        description: Paragraphs on what was compared and how.
        rows: One mapping for each finished cell: data, fraction, labels, method, arm, view, grid,
            ssl_weight, init, augment, backbone, size, batch, epochs, steps, seed, seconds,
            val_accuracy, test_accuracy, test_accuracy_last, mean_class_accuracy, revision,
            machine, cell, and where it is known pictures: how many went through the backbone in
            training, views included. Accuracies are fractions of 1, of the checkpoint that did
            best on the validation set, except for ``test_accuracy_last``, which is of the last
            epoch. A task of numbers has in their place val_mae, test_mae, test_mae_last, unit,
            select (what the best epoch is chosen by and, where that is geodesic, the headline arm)
            and, for poses, val_geodesic and test_geodesic.
        details: For each cell: curve (epoch, training loss, validation accuracy), val_loss and
            training_rows (accuracy and loss of the intact training rows) at the points of the
            curve, test_correct and test_correct_last (hex of ``numpy.packbits``), test_count,
            test_groups (whose picture each is), confusion, classes, ece, nll, ssl, recipe (the
            resolved recipe). A missing cell or entry leaves out what
            is made of it. A task of numbers has errors in place of accuracies in curve and
            training_rows, test_errors and test_errors_last (the part of each counted test picture
            in the mean absolute error) in place of test_correct and test_correct_last, and
            figures (others of the test pictures) in place of confusion, classes, ece and nll.
        tuning: One mapping for each trial: arm (the tuning group), settings, chosen (whether they
            were taken), epochs, seconds, seed and what is chosen by, val_accuracy, val_mae,
            val_geodesic or the figure of a task of the user's own.
        headline: Name of the arm to put first; empty to choose by :func:`choose_headline`.
        baseline: Name of the supervised arm that everything is compared with.
        command: How to run the study again.
        same_test_pictures: Whether all seeds of a setting were tested on the same pictures in
            the same order, as on an official test set, rather than each on its own fold.
    """

    name: str
    title: str
    description: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tuning: Sequence[Mapping[str, Any]] = ()
    headline: str = ""
    baseline: str = EQUAL_EPOCHS
    command: str = ""
    same_test_pictures: bool = False


@dataclass(frozen=True)
class Arm:
    """One arm in one setting, with its cells by seed."""

    name: str
    method: str
    cells: Mapping[int, FinishedCell]

    @property
    def measure(self) -> Measure:
        """What it is compared by."""
        return next(iter(self.cells.values())).measure

    @property
    def is_hybrid(self) -> bool:
        """Whether it trains the supervised task together with another."""
        return self.method not in CONTROLS

    def values(self, name: str) -> list[float]:
        """Return a figure of every seed, in the order of the seeds."""
        found = [getattr(self.cells[seed], name) for seed in sorted(self.cells)]
        return [math.nan if value is None else float(value) for value in found]

    def mean(self, name: str) -> float:
        """Return the mean of a figure over seeds."""
        return float(np.mean(self.values(name)))

    def deviation(self, name: str) -> float:
        """Return the sample standard deviation of a figure over seeds; NaN for one seed."""
        values = self.values(name)
        return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan

    def over(self, seeds: Collection[int]) -> Arm:
        """Return the arm with the cells of some seeds alone."""
        return replace(
            self, cells={seed: cell for seed, cell in self.cells.items() if seed in seeds}
        )

    @property
    def counts_pictures(self) -> bool:
        """Whether every cell says how many pictures went through the backbone."""
        return all(cell.pictures is not None for cell in self.cells.values())


@dataclass(frozen=True)
class Setting:
    """Arms that may be compared: same data, same share of the labels, same everything else.

    Attributes:
        title: The setting in words.
        arms: The baseline first, then the other supervised arms, then the hybrids.
        headline: The hybrid to put first; None where there is no hybrid.
        baseline: The supervised arm that the others are compared with; None where it is missing.
        apart: What the setting is, by the keys that keep cells apart.
    """

    title: str
    arms: Sequence[Arm]
    headline: Arm | None
    baseline: Arm | None
    apart: Mapping[str, str] = field(default_factory=dict)

    @property
    def measure(self) -> Measure:
        """What its arms are compared by."""
        return self.arms[0].measure

    @property
    def counts_pictures(self) -> bool:
        """Whether every cell of every arm says how many pictures went through the backbone."""
        return all(arm.counts_pictures for arm in self.arms)

    @property
    def shared_seeds(self) -> list[int]:
        """The seeds that every arm has."""
        return sorted(set.intersection(*(set(arm.cells) for arm in self.arms)))

    @property
    def shared(self) -> Sequence[Arm]:
        """The arms on the seeds that every one has, so that means compare; else as they are."""
        seeds = self.shared_seeds
        return [arm.over(seeds) for arm in self.arms] if seeds else self.arms


def settings(study: StudyResult) -> list[Setting]:
    """Sort the cells of a study into settings within which arms may be compared.

    Data and fraction always keep cells apart; augmentation, initialisation, backbone and size
    do where one arm was run with more than one of them.

    Raises:
        HybridFaceError: A row or a detail is broken, or an arm has a seed twice in a setting.
    """
    apart = [*ALWAYS_APART, *(key for key in MAYBE_APART if _varies_within_arm(study.rows, key))]
    groups: dict[tuple[str, ...], list[FinishedCell]] = {}
    unit = next((str(row["unit"]) for row in study.rows if "unit" in row), "")
    decimals = decimals_of([row.get("test_mae") for row in study.rows], unit)
    for row in study.rows:
        key = tuple(str(row.get(name)) for name in apart)
        groups.setdefault(key, []).append(read_cell(row, study.details, decimals))
    found = []
    for key, cells in groups.items():
        conditions = dict(zip(apart, key, strict=True))
        title = _setting_title(conditions)
        arms = _arms(cells, study.baseline, title)
        named = next((arm for arm in arms if arm.name == study.headline), None)
        baseline = next((arm for arm in arms if arm.name == study.baseline), None)
        headline = named or choose_headline(arms)
        found.append(Setting(title, arms, headline, baseline, conditions))
    if len({setting.measure.unit for setting in found}) > 1:
        raise HybridFaceError(
            f"study {study.name}: its settings are compared by different measures: "
            + "; ".join(f"{each.title} by {each.measure.name}" for each in found)
        )
    return found


def choose_headline(arms: Sequence[Arm]) -> Arm | None:
    """Choose the hybrid arm to report first, by its mean figure on validation alone.

    That is the highest accuracy; in a task of numbers, the lowest error.

    The test figures have no say, so that the comparison of the chosen arm on the test set stays
    honest. Only arms with as many seeds as the hybrid that has the most are candidates, so that
    an unfinished arm does not win by one lucky seed; of equal arms the first wins.

    Returns:
        The arm, or None where no arm is a hybrid.
    """
    hybrids = [arm for arm in arms if arm.is_hybrid]
    most = max((len(arm.cells) for arm in hybrids), default=0)
    finished = [arm for arm in hybrids if len(arm.cells) == most]
    return max(finished, key=lambda arm: arm.measure.sign * arm.mean("chosen_by"), default=None)


def _varies_within_arm(rows: Sequence[Mapping[str, Any]], key: str) -> bool:
    ordered = sorted({(str(row.get("arm")), str(row.get(key))) for row in rows})
    return any(first[0] == second[0] for first, second in pairwise(ordered))


def _arms(cells: Sequence[FinishedCell], baseline: str, title: str) -> list[Arm]:
    by_arm: dict[str, dict[int, FinishedCell]] = {}
    for cell in cells:
        seeds = by_arm.setdefault(cell.arm, {})
        if cell.seed in seeds:
            raise HybridFaceError(
                f"study: arm '{cell.arm}' has seed {cell.seed} twice in '{title}', cells"
                f" '{seeds[cell.seed].cell}' and '{cell.cell}'"
            )
        seeds[cell.seed] = cell
    if len({cell.measure.unit for cell in cells}) > 1:
        raise HybridFaceError(f"study: the cells of '{title}' are compared by different measures")
    arms = [Arm(name, next(iter(each.values())).method, each) for name, each in by_arm.items()]
    return sorted(arms, key=lambda arm: (arm.name != baseline, arm.is_hybrid))


def _setting_title(values: Mapping[str, str]) -> str:
    share = float(values["fraction"])
    parts = [values["data"], "all labels" if share == 1 else f"{100 * share:g}% of the labels"]
    parts += [f"{key} {value}" for key, value in values.items() if key not in ALWAYS_APART]
    return ", ".join(parts)
