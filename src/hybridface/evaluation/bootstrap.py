"""Differences of two models on the same pictures, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hybridface.errors import HybridFaceError
from hybridface.evaluation.drawn_counts import drawn_counts, drawn_times
from hybridface.evaluation.statistics import Interval

Correct = NDArray[np.bool_]
Outcomes = NDArray[np.bool_] | NDArray[np.float64]
DRAWN_AT_ONCE = 500  # draws of pictures that are held in memory


def paired_bootstrap(
    treated: Sequence[Outcomes],
    control: Sequence[Outcomes],
    draws: int = 10_000,
    seed: int = 0,
    *,
    same_pictures: bool = False,
    groups: Sequence[NDArray[np.int64]] | None = None,
) -> Interval:
    """Return the accuracy difference with a 95 % percentile bootstrap interval over pictures.

    Of numbers in place of right and wrong, such as errors, it is the difference of their means.
    The statistic is the mean over seeds of the accuracy of treated minus control. It depends on
    a picture only through the difference of the two (-1, 0 or 1), so multinomial counts of the
    differences are drawn instead of picture indices, which is the same and much faster.

    Args:
        treated: For each seed ``(n,)`` bool, whether each test picture was classified rightly, or
            a number for each.
        control: The same of the other arm, on the same pictures in the same order.
        draws: Number of bootstrap draws.
        seed: Seed of the draws.
        same_pictures: Whether all seeds were tested on the same pictures in the same order. Then
            pictures are drawn once for all seeds, since what is hard for one seed is hard for
            the next. Otherwise each seed has its own test fold and draws its own pictures.
        groups: For each seed ``(n,)`` whose picture each is. Then persons are drawn, each with
            all their pictures, as pictures of one person are wrong together.

    Returns:
        The difference and its bounds, as fractions of 1 or in the unit of the numbers.

    Raises:
        HybridFaceError: The arms differ in seeds or in pictures, or there is nothing to draw
            from.
    """
    differences = _picture_differences(treated, control)
    if groups is not None and [*map(len, groups)] != [*map(len, differences)]:
        raise HybridFaceError("a bootstrap by person needs the person of every picture")
    if same_pictures:
        if len({len(each) for each in differences}) > 1:
            raise HybridFaceError("the seeds were not tested on the same number of pictures")
        differences = [np.mean(differences, axis=0)]
    random = np.random.default_rng(seed)
    total = np.zeros(draws)
    for number, each in enumerate(differences):
        if groups is not None:
            total += _draw_persons(each, groups[number], draws, random)
            continue
        if treated[0].dtype != np.bool_:  # nearly as many values as pictures
            total += _draw_pictures(each, draws, random)
            continue
        values, counts = np.unique(each, return_counts=True)
        total += random.multinomial(len(each), counts / len(each), size=draws) @ values / len(each)
    low, high = np.quantile(total / len(differences), [0.025, 0.975])
    mean = np.mean([each.mean() for each in differences])
    return Interval(float(mean), float(low), float(high))


def _draw_pictures(
    differences: NDArray[np.float64], draws: int, random: np.random.Generator
) -> NDArray[np.float64]:
    """Return the mean of ``(draws,)`` draws of as many pictures as there are."""
    count = len(differences)
    means = np.empty(draws)
    for start in range(0, draws, DRAWN_AT_ONCE):
        part = means[start : start + DRAWN_AT_ONCE]
        part[:] = differences[random.integers(0, count, (len(part), count))].mean(axis=1)
    return means


def _draw_persons(
    differences: NDArray[np.float64],
    persons: NDArray[np.int64],
    draws: int,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the mean over pictures of ``(draws,)`` draws of as many persons as there are."""
    _, person = np.unique(persons, return_inverse=True)
    sizes = np.bincount(person)
    sums = np.bincount(person, weights=differences)
    drawn = drawn_times(len(sizes), draws, random)
    return np.concatenate([times @ sums / (times @ sizes) for times in drawn])


def paired_class_bootstrap(
    treated: Correct,
    control: Correct,
    targets: NDArray[np.int64],
    draws: int = 10_000,
    seed: int = 0,
    *,
    group: NDArray[np.int64] | None = None,
) -> Interval:
    """Return the difference in mean class accuracy with a 95 % percentile bootstrap interval.

    Pictures, or persons with all their pictures, are drawn with replacement, as counts of the
    cells (true class, difference of the two). A class that a draw leaves out does not count in
    its mean.

    Args:
        treated: ``(n,)`` bool, whether each test picture was classified rightly.
        control: The same of the other model, on the same pictures in the same order.
        targets: ``(n,)`` the true class of each picture.
        draws: Number of bootstrap draws.
        seed: Seed of the draws.
        group: ``(n,)`` whose picture each is, or None.

    Returns:
        Treated minus control and its bounds, as fractions of 1.

    Raises:
        HybridFaceError: The arrays differ in length, or are empty.
    """
    (difference,) = _picture_differences([treated], [control])
    if len(targets) != len(difference):
        raise HybridFaceError(f"{len(difference)} pictures have {len(targets)} true classes")
    pairs = np.stack([targets, difference.astype(np.int64)])
    (classes, gains), cells = np.unique(pairs, axis=1, return_inverse=True)
    cells = cells.ravel()
    of_class = (classes[:, np.newaxis] == np.unique(classes)).astype(np.float64)

    def means(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        seen = drawn @ of_class
        change = drawn @ (of_class * gains[:, np.newaxis]) / np.maximum(seen, 1)
        mean: NDArray[np.float64] = change.sum(axis=1) / (seen > 0).sum(axis=1)
        return mean

    random = np.random.default_rng(seed)
    drawn = [means(each) for each in drawn_counts(cells, draws, random, group)]
    low, high = np.quantile(np.concatenate(drawn), [0.025, 0.975])
    point = means(np.bincount(cells)[np.newaxis].astype(np.float64))
    return Interval(float(point[0]), float(low), float(high))


def _picture_differences(
    treated: Sequence[Outcomes], control: Sequence[Outcomes]
) -> list[NDArray[np.float64]]:
    if len(treated) != len(control) or not treated:
        raise HybridFaceError(
            "a paired bootstrap needs the same seeds in both arms, one or more, not"
            f" {len(treated)} and {len(control)}"
        )
    for index, (first, second) in enumerate(zip(treated, control, strict=True)):
        if len(first) != len(second) or not len(first):
            raise HybridFaceError(
                "a paired bootstrap needs the same pictures in both arms, one or more, but entry"
                f" {index} has {len(first)} and {len(second)}"
            )
    return [
        np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
        for first, second in zip(treated, control, strict=True)
    ]
