"""How sure a figure is: intervals over seeds and pictures, and what a study could have seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from hybridface.errors import HybridFaceError

ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """A mean with its two-sided confidence interval.

    Attributes:
        mean: The estimate, in the unit of the values.
        low: Lower bound, NaN where none can be given.
        high: Upper bound, NaN where none can be given.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedDifference:
    """What a paired comparison over seeds shows, and what it could have shown.

    Attributes:
        mean: Mean of treated minus control over the seeds.
        low: Lower bound of the t interval of the mean; NaN for one seed.
        high: Upper bound of the t interval of the mean; NaN for one seed.
        deviation: Sample standard deviation of the differences (n - 1); NaN for one seed.
        count: Number of seeds.
        p_value: Two-sided p value of the paired t test. 1 where no seed differs, 0 where every
            seed differs by the same amount, NaN for one seed.
        smallest_detectable: The smallest true mean difference that this test finds with the
            wanted power, were the true deviation the one seen; NaN for one seed.
    """

    mean: float
    low: float
    high: float
    deviation: float
    count: int
    p_value: float
    smallest_detectable: float

    @property
    def interval(self) -> Interval:
        """The mean with its t interval."""
        return Interval(self.mean, self.low, self.high)


def t_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean with its Student t interval.

    Args:
        values: ``(n,)`` independent values, as one for each seed.
        level: Confidence of the interval, between 0 and 1.

    Returns:
        The mean and its bounds in the unit of the values. One value has a mean, but NaN bounds.

    Raises:
        HybridFaceError: There is no value, or they are not one-dimensional.
    """
    sample = _as_sample(values)
    mean = float(sample.mean())
    if len(sample) < 2:
        return Interval(mean, math.nan, math.nan)
    half = _critical(len(sample), level) * float(sample.std(ddof=1)) / math.sqrt(len(sample))
    return Interval(mean, mean - half, mean + half)


def paired_difference(
    treated: ArrayLike, control: ArrayLike, level: float = 0.95, power: float = 0.8
) -> PairedDifference:
    """Compare two arms seed by seed with the paired t test.

    Args:
        treated: ``(n,)`` one value for each seed.
        control: ``(n,)`` values of the same seeds, in the same order.
        level: Confidence of the interval; the test works at ``1 - level``.
        power: Wanted chance to find the smallest detectable difference, between 0 and 1.

    Returns:
        The mean difference, its interval and the power of the comparison.

    Raises:
        HybridFaceError: The arms differ in length, or are empty.
    """
    first, second = _as_sample(treated), _as_sample(control)
    if len(first) != len(second):
        raise HybridFaceError(
            f"a paired comparison needs the same seeds in both arms, not {len(first)} and"
            f" {len(second)}"
        )
    difference = first - second
    interval = t_interval(difference, level)
    several = len(difference) > 1
    deviation = float(difference.std(ddof=1)) if several else math.nan
    if deviation < ROUNDING:
        deviation = 0.0
    return PairedDifference(
        mean=interval.mean,
        low=interval.low,
        high=interval.high,
        deviation=deviation,
        count=len(difference),
        p_value=_p_value(interval.mean, deviation, len(difference)),
        smallest_detectable=smallest_detectable(deviation, len(difference), level, power),
    )


def smallest_detectable(
    deviation: float, count: int, level: float = 0.95, power: float = 0.8
) -> float:
    """Return the smallest true mean difference that a paired t test finds with a given power.

    With ``n`` differences of standard deviation ``s`` and true mean ``d``, the t statistic is
    noncentral t with ``n - 1`` degrees of freedom and noncentrality ``d * sqrt(n) / s``. The
    noncentrality whose tail beyond the critical value is ``power`` is solved for numerically by
    ``scipy.special.nctdtrinc``. Being significant in the wrong direction does not count as
    finding; at a power of 0.8 that happens in less than one of a hundred thousand studies.

    Args:
        deviation: Standard deviation of the differences, at least 0.
        count: Number of differences, as of seeds.
        level: The two-sided test works at ``1 - level``.
        power: Wanted chance to find the difference, between 0 and 1.

    Returns:
        The difference in the unit of ``deviation``; NaN for fewer than two differences.
    """
    if count < 2:
        return math.nan
    noncentrality = special.nctdtrinc(count - 1, 1 - power, _critical(count, level))
    return float(noncentrality) * deviation / math.sqrt(count)


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Return the two-sided p value of McNemar's exact test.

    Among the pictures that only one of two models classified rightly, either is as likely to be
    the right one where the models are equally good: a binomial test with probability 0.5.

    Args:
        only_first: How many pictures only the first model classified rightly.
        only_second: How many only the second did.

    Returns:
        The p value; 1 where the models are never right apart from each other.

    Raises:
        HybridFaceError: A count is negative.
    """
    if min(only_first, only_second) < 0:
        raise HybridFaceError(f"counts cannot be negative: {only_first}, {only_second}")
    apart = only_first + only_second
    return float(stats.binomtest(only_first, apart).pvalue) if apart else 1.0


def wilson_interval(successes: int, count: int) -> Interval:
    """Return a fraction with its 95 % Wilson score interval.

    Args:
        successes: How many succeeded, as pictures classified rightly.
        count: How many were tried, at least 1.

    Returns:
        The fraction and its bounds, within 0 to 1.

    Raises:
        HybridFaceError: ``count`` is below 1, or ``successes`` is not between 0 and ``count``.
    """
    if count < 1 or not 0 <= successes <= count:
        raise HybridFaceError(f"no fraction can be made of {successes} out of {count}")
    interval = stats.binomtest(successes, count).proportion_ci(method="wilson")
    return Interval(successes / count, float(interval.low), float(interval.high))


def _as_sample(values: ArrayLike) -> NDArray[np.float64]:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or not len(sample):
        raise HybridFaceError(f"need one or more values in a row, not an array of {sample.shape}")
    return sample


def _critical(count: int, level: float) -> float:
    return float(stats.t.isf((1 - level) / 2, count - 1))


def _p_value(mean: float, deviation: float, count: int) -> float:
    if count < 2:
        return math.nan
    if deviation == 0:
        return 0.0 if mean else 1.0
    return float(2 * stats.t.sf(abs(mean) / deviation * math.sqrt(count), count - 1))
