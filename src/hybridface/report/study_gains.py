"""What the arms of a setting gain on its baseline, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass

from hybridface.evaluation.statistics import PairedDifference, paired_difference
from hybridface.report.analysis import relative_compute
from hybridface.report.cells import Setting


@dataclass(frozen=True)
class ArmGain:
    """What an arm gains on the baseline, on the seeds that both have.

    Attributes:
        name: Of the arm.
        style: Its place among the arms of the setting.
        difference: Of the test figures at the validation checkpoint, over seeds.
        seconds: Its training time, which is 1 for the baseline.
        pictures: The same of its pictures; see :func:`hybridface.report.analysis.pictures_seen`.
    """

    name: str
    style: int
    difference: PairedDifference
    seconds: float
    pictures: float


def gains(setting: Setting) -> list[ArmGain]:
    """Return what each other arm gains on the baseline; none of an arm without a shared seed."""
    baseline = setting.baseline
    if baseline is None:
        return []
    found = []
    for style, arm in enumerate(setting.arms):
        seeds = arm.cells.keys() & baseline.cells.keys()
        if arm is baseline or not seeds:
            continue
        own, other = arm.over(seeds), baseline.over(seeds)
        difference = paired_difference(own.values("test"), other.values("test"))
        compute = relative_compute(own, other, setting.counts_pictures)
        found.append(ArmGain(arm.name, style, difference, *compute))
    return found
