"""What the arms of a study say: paired comparisons, verdicts, flattening, relative compute."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridface.evaluation.statistics import (
    Interval,
    PairedDifference,
    paired_difference,
    t_interval,
)
from hybridface.report.cells import Arm
from hybridface.report.measures import Measure
from hybridface.report.study_outcomes import over_pictures

FEWEST_SEEDS = 3
SAME_COMPUTE = 1.1


@dataclass(frozen=True)
class Comparison:
    """A hybrid against a supervised arm, on the seeds that both have.

    Attributes:
        treated: The hybrid.
        control: The supervised arm.
        difference: Of the accuracies over seeds, as fractions of 1, or of the errors in their
            unit; less error is a negative difference.
        pictures: The same difference with its interval over test pictures; None where it was not
            recorded which pictures were right, or how far off each was.
        verdict: ``"higher"``, ``"lower"`` or ``"not told apart"``, see :func:`decide`; of errors
            ``"higher error"`` or ``"lower error"``.
        less_error: By which part the error is less, with its interval over seeds; None of
            accuracies, and where a control has no error.
    """

    treated: Arm
    control: Arm
    difference: PairedDifference
    pictures: Interval | None
    verdict: str
    less_error: Interval | None = None

    @property
    def measure(self) -> Measure:
        """What the two are compared by."""
        return self.treated.measure

    @property
    def relation(self) -> str:
        """What the two have in common, on their shared seeds; see :func:`in_common`."""
        seeds = self.treated.cells.keys() & self.control.cells.keys()
        return in_common(self.treated.over(seeds), self.control.over(seeds))


@dataclass(frozen=True)
class Claim:
    """What is said of a hybrid and a supervised arm: their comparison at both checkpoints.

    Attributes:
        kept: At the checkpoint that did best on the validation set.
        last: At the last epoch.
    """

    kept: Comparison
    last: Comparison

    @property
    def verdict(self) -> str:
        """The verdict that both checkpoints give, else which holds where."""
        if self.kept.verdict == self.last.verdict:
            return self.kept.verdict
        return (
            f"{self.kept.verdict} at the validation checkpoint, "
            f"{self.last.verdict} at the last epoch"
        )

    @property
    def p_value(self) -> float:
        """The larger p value of the two checkpoints, as the claim is about both.

        1 where they differ in direction, as then neither direction holds at both. NaN where one of
        them is not known, as of a single seed, or of seeds that all differ alike.
        """
        both = [each.difference for each in (self.kept, self.last)]
        if any(each.deviation == 0 or math.isnan(each.p_value) for each in both):
            return math.nan
        if both[0].mean * both[1].mean < 0:
            return 1.0
        return max(each.p_value for each in both)


@dataclass(frozen=True)
class Flattening:
    """How much a mean validation curve moved over the last third of training.

    Attributes:
        change: Rise of a straight line through that third, in the unit of the rows.
        low: Lowest mean validation figure in it.
        high: Highest mean validation figure in it.
        measure: What the curve is of.
    """

    change: float
    low: float
    high: float
    measure: Measure

    @property
    def verdict(self) -> str:
        """``"flat"``, or which way it moves, with ``still`` where that is the better one.

        Flat is within half a percentage point, or 1 % of an error.
        """
        if self.measure.is_flat(self.change, (self.low + self.high) / 2):
            return "flat"
        way = "rising" if self.change > 0 else "falling"
        return f"still {way}" if self.change * self.measure.sign > 0 else way


def compare(
    treated: Arm, control: Arm, last_epoch: bool = False, same_pictures: bool = False
) -> Comparison | None:
    """Compare two arms on the test accuracy, or error, of the seeds that both have.

    Args:
        treated: The hybrid.
        control: The supervised arm.
        last_epoch: Whether to compare the last epoch instead of the validation checkpoint.
        same_pictures: Whether all seeds were tested on the same pictures.

    Returns:
        The comparison, or None where the arms share no seed.

    Raises:
        HybridFaceError: The recorded pictures are broken, differ between the arms, or do not
            agree with the recorded figure.
    """
    seeds = sorted(treated.cells.keys() & control.cells.keys())
    if not seeds:
        return None
    metric = "test_last" if last_epoch else "test"
    pairs = [(treated.cells[seed], control.cells[seed]) for seed in seeds]
    first, second = zip(*pairs, strict=True)
    ours, theirs = ([getattr(cell, metric) for cell in cells] for cells in (first, second))
    difference = paired_difference(ours, theirs)
    pictures = over_pictures(pairs, last_epoch, same_pictures)
    verdict = treated.measure.verdict(decide(difference, pictures))
    less = None
    if not treated.measure.higher_is_better and min(theirs) > 0:
        less = t_interval([1 - one / other for one, other in zip(ours, theirs, strict=True)])
    return Comparison(treated, control, difference, pictures, verdict, less)


def claim(treated: Arm, control: Arm, same_pictures: bool = False) -> Claim | None:
    """Compare two arms at both checkpoints; None where they share no seed.

    Raises:
        HybridFaceError: See :func:`compare`.
    """
    kept, last = (compare(treated, control, late, same_pictures) for late in (False, True))
    return None if kept is None or last is None else Claim(kept, last)


def in_common(one: Arm, other: Arm) -> str:
    """Say by their numbers whether two arms had equal epochs and equal compute.

    Compute is equal where the pictures that went through the backbone, views included, differ by
    at most a tenth; it is not known where a cell does not say them.
    """
    cells = [*one.cells.values(), *other.cells.values()]
    epochs = len({cell.epochs for cell in cells}) == 1
    if not (one.counts_pictures and other.counts_pictures):
        return f"{'equal epochs' if epochs else 'epochs not equal'}, compute not recorded"
    ratio = pictures_seen(one, views=True) / pictures_seen(other, views=True)
    compute = 1 / SAME_COMPUTE <= ratio <= SAME_COMPUTE
    if epochs and compute:
        return "equal epochs and compute"
    if not epochs and not compute:
        return "neither epochs nor compute equal"
    return "equal epochs" if epochs else "equal compute"


def decide(difference: PairedDifference, pictures: Interval | None) -> str:
    """Put a comparison into words by rule.

    ``"higher"`` needs at least three seeds and a 95% t interval over seeds wholly above zero,
    and, where it was recorded which pictures were right, the 95% bootstrap interval over
    pictures wholly above zero as well. ``"lower"`` is the same below zero. Anything else is
    ``"not told apart"``, which is not the same as equal.
    """
    intervals = [(difference.low, difference.high)]
    if pictures is not None:
        intervals.append((pictures.low, pictures.high))
    if difference.count >= FEWEST_SEEDS:
        if all(low > 0 for low, _ in intervals):
            return "higher"
        if all(high < 0 for _, high in intervals):
            return "lower"
    return "not told apart"


def mean_curve(
    arm: Arm, loss: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Average a curve of an arm over seeds, by relative training progress.

    Args:
        arm: The arm.
        loss: Whether to take the training loss, rather than the validation figure.

    Returns:
        Progress from 0 to 1, and the mean figure as in the rows or the mean loss, ``(n,)``
        each, at the points of the longest curve; None where no curve was recorded.
    """
    curves = []
    for cell in arm.cells.values():
        points = [(line[0], line[1] if loss else line[2]) for line in cell.details.curve]
        kept = [(epoch, value) for epoch, value in points if value is not None]
        if kept:
            epochs, values = np.array(kept, dtype=float).T
            curves.append((epochs / epochs[-1], values))
    if not curves:
        return None
    longest = max(curves, key=lambda curve: len(curve[0]))[0]
    progress = longest[longest >= max(each[0] for each, _ in curves) - 1e-9]
    means = np.mean([np.interp(progress, *curve) for curve in curves], axis=0)
    return progress, means


def flattening(arm: Arm) -> Flattening | None:
    """Say how much the mean validation figure still moved over the last third of training.

    An arm that still gets better was not trained to its end; a gain over such a baseline may be no
    more than speed.

    Returns:
        The rise of a least-squares line through the last third, and the range of the curve in
        it; None with fewer than three validations there.
    """
    curve = mean_curve(arm)
    if curve is None:
        return None
    progress, values = curve
    late = progress >= 2 / 3 - 1e-9
    if late.sum() < 3:
        return None
    slope = np.polyfit(progress[late], values[late], 1)[0]
    low, high = float(values[late].min()), float(values[late].max())
    return Flattening(float(slope) / 3, low, high, arm.measure)


def pictures_seen(arm: Arm, views: bool) -> float:
    """Return the mean pictures of a training: through the backbone, else steps by batch.

    Args:
        arm: The arm.
        views: Whether to count every view of a picture, which all of its cells must have said.
    """
    cells = arm.cells.values()
    if views:
        return float(np.mean([cell.pictures for cell in cells if cell.pictures is not None]))
    return float(np.mean([cell.steps * cell.batch for cell in cells]))


def relative_compute(arm: Arm, to: Arm, views: bool) -> tuple[float, float]:
    """Return mean training seconds, and pictures, relative to another arm.

    Args:
        arm: The arm.
        to: The arm that is 1.
        views: See :func:`pictures_seen`.
    """
    pictures = pictures_seen(arm, views) / pictures_seen(to, views)
    return arm.mean("seconds") / to.mean("seconds"), pictures
