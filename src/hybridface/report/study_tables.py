"""The tables of a study page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hybridface.evaluation.multiplicity import holm
from hybridface.evaluation.statistics import t_interval
from hybridface.report.analysis import Claim, Comparison, relative_compute
from hybridface.report.cells import Arm, Setting
from hybridface.report.document import Table
from hybridface.report.measures import Measure
from hybridface.report.text import (
    MISSING,
    is_fraction,
    joined,
    number,
    percent,
    percent_range,
    with_bounds,
)

ERRORS = ("val_mae", "test_mae", "test_mae_last", "val_geodesic", "test_geodesic")


def arm_table(setting: Setting) -> Table:
    """Lay out mean and deviation over the shared seeds of every arm, and its compute."""
    arms, views, measure = setting.shared, setting.counts_pictures, setting.measure
    further = [measure.further] if measure.further else []
    # What the headline arm is chosen by, where that is no other column.
    chosen = [] if measure.chosen_by == measure.name else ["chosen_by"]

    def row(arm: Arm) -> list[str]:
        metrics = ("test", "test_last", *["further" for _ in further], "val", *chosen)
        seconds, pictures = relative_compute(arm, arms[0], views)
        return [
            arm.name,
            arm.method,
            str(len(arm.cells)),
            *(measure.spread(arm.mean(name), arm.deviation(name)) for name in metrics),
            measure.bounds(t_interval(arm.values("test"))),
            f"{number(arm.mean('seconds'), 0)} ({number(seconds)} x)",
            f"{number(pictures)} x",
        ]

    counted = (
        "pictures are all that went through the backbone in training, views included."
        if views
        else "pictures are steps times batch, and do not count further views of a picture, while "
        "seconds do."
    )
    what = (
        "Accuracy: mean and standard deviation over seeds, in percent."
        if measure.higher_is_better
        else f"Mean absolute error, lower is better: mean and standard deviation over seeds, in "
        f"{measure.unit}."
    )
    return Table(
        f"{what} The validation checkpoint is the epoch that did best on the validation set"
        f"{'; further test figures are of it' if further else ''}. "
        f"Compute is relative to {arms[0].name}; {counted}{seeds_note(setting)}",
        [
            "Arm",
            "Method",
            "Seeds",
            measure.head("Test, validation checkpoint"),
            measure.head("Test, last epoch"),
            *further,
            measure.head("Validation"),
            *(f"Validation, {measure.chosen_by} (degrees)" for _ in chosen),
            measure.head("95% interval of test over seeds"),
            "Seconds (relative)",
            "Relative pictures",
        ],
        [row(arm) for arm in arms],
        text_columns=2,
        strong=places(setting.arms, setting.headline),
    )


def seeds_note(setting: Setting) -> str:
    """Say over which seeds means are where an arm lacks some; empty where all have the same."""
    every = sorted({seed for arm in setting.arms for seed in arm.cells})
    shared = setting.shared_seeds
    if shared == every:
        return ""
    if not shared:
        return (
            " No seed is there of every arm: each mean is over the arm's own seeds, so that the "
            "means do not compare."
        )
    return (
        f" Means are over the seeds that every arm has, {joined([str(seed) for seed in shared])}; "
        f"left out as not every arm has them: "
        f"{joined([str(seed) for seed in every if seed not in shared])}."
    )


def headline_table(claims: Mapping[str, Sequence[Claim]]) -> Table:
    """Lay out what is said of each headline arm, by setting where there are several."""
    several = len(claims) > 1
    measure = next(found[0].kept.measure for found in claims.values() if found)
    heads = [
        "Headline arm",
        "Against",
        "At",
        "Verdict",
        "Validation checkpoint",
        "Interval",
        "Last epoch",
        "Interval, last epoch",
        *["Error less by (%)", "Last epoch, less by (%)"][: 0 if measure.higher_is_better else 2],
        "p value (Holm)",
        "Seeds",
    ]
    every = [each for found in claims.values() for each in found]
    corrected = iter(holm([each.p_value for each in every]))
    rows = [
        [
            *([setting] if several else []),
            each.kept.treated.name,
            each.kept.control.name,
            each.kept.relation,
            each.verdict,
            *_difference(each.kept),
            *_difference(each.last),
            *(less_by(of) for of in (each.kept, each.last) if not measure.higher_is_better),
            _p_value(next(corrected)),
            str(each.kept.difference.count),
        ]
        for setting, found in claims.items()
        for each in found
    ]
    return Table(
        f"The headline arm against every supervised arm: difference of test {measure.name} at both "
        f"checkpoints, in {measure.differences}, with its 95% interval over seeds"
        f"{_below_zero(measure)}. The verdict is that "
        "of both; where they differ, it says which holds where. The p value is the larger of the "
        f"two, of the paired t test over seeds, corrected by Holm for the {len(every)} claims "
        "of this page.",
        ["Setting", *heads] if several else heads,
        rows,
        text_columns=5 if several else 4,
        verdicts=True,
    )


def _difference(each: Comparison) -> tuple[str, str]:
    difference, measure = each.difference, each.measure
    return measure.change(difference.mean), measure.changes(difference.low, difference.high)


def less_by(each: Comparison) -> str:
    """Write by how many percent the error is less, with its interval over seeds."""
    less = each.less_error
    if less is None:
        return MISSING
    return with_bounds(percent(less.mean, 1), percent_range(less))


def _below_zero(measure: Measure) -> str:
    return "" if measure.higher_is_better else "; below zero is less error, which is better"


def comparison_tables(claims: Sequence[Claim], headline: Arm | None = None) -> list[Table]:
    """Lay out paired differences at either checkpoint, in a table each."""
    return [
        _comparison_table([each.kept for each in claims], headline, "validation checkpoint"),
        _comparison_table([each.last for each in claims], headline, "last epoch"),
    ]


def _comparison_table(
    comparisons: Sequence[Comparison], headline: Arm | None, checkpoint: str
) -> Table:
    measure = comparisons[0].measure
    errors = not measure.higher_is_better

    def row(each: Comparison) -> list[str]:
        difference, pictures = each.difference, each.pictures
        spread = difference.deviation != 0  # of seeds that all differ alike nothing can be said
        return [
            each.treated.name,
            each.control.name,
            each.relation,
            each.verdict,
            *_difference(each),
            measure.changes(pictures.low, pictures.high) if pictures else MISSING,
            *([less_by(each)] if errors else []),
            measure.value(difference.smallest_detectable) if spread else MISSING,
            _p_value(difference.p_value) if spread else MISSING,
            str(difference.count),
        ]

    return Table(
        f"Paired differences of test {measure.name}, {checkpoint}, in {measure.differences}"
        f"{_below_zero(measure)}.",
        [
            "Arm",
            "Against",
            "At",
            "Verdict",
            "Difference",
            "95% interval over seeds",
            "95% interval over pictures",
            *(["Error less by (%)"] if errors else []),
            "Smallest detectable",
            "p value",
            "Seeds",
        ],
        [row(each) for each in comparisons],
        text_columns=4,
        verdicts=True,
        strong=places([each.treated for each in comparisons], headline),
    )


def cell_table(rows: Sequence[Mapping[str, Any]], decimals: int) -> Table:
    """Lay out every finished cell with all that was recorded of it.

    Args:
        rows: A row for each.
        decimals: How many errors are written with.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row))
    words = [key for key in keys if all(isinstance(row.get(key), str | None) for row in rows)]
    ordered = [*words, *(key for key in keys if key not in words)]
    heads = [f"{key} (%)" if is_fraction(key) else key for key in ordered]
    return Table(
        f"All {len(rows):,} finished cells",
        heads,
        [[_entry(key, row.get(key), decimals) for key in ordered] for row in rows],
        text_columns=len(words),
        folded=True,
    )


def machine_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Count the cells by machine and revision of the code."""
    counts = Counter((_plain(row.get("machine")), _plain(row.get("revision"))) for row in rows)
    return Table(
        "Where the cells were computed, and by which revision of the code.",
        ["Machine", "Revision", "Cells"],
        [[machine, revision, str(count)] for (machine, revision), count in counts.items()],
        text_columns=2,
    )


def places(arms: Sequence[Arm], headline: Arm | None) -> frozenset[int]:
    """Return where the headline arm stands among others, to stress its row."""
    return frozenset(place for place, arm in enumerate(arms) if arm is headline)


def _p_value(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else number(value, 4)


def _entry(key: str, value: object, decimals: int) -> str:
    if isinstance(value, int | float) and is_fraction(key):
        return percent(value)
    if key in ERRORS and isinstance(value, int | float):
        return number(value, decimals)
    if key == "seconds" and isinstance(value, int | float):
        return number(value, 1)
    return _plain(value)


def _plain(value: object) -> str:
    return MISSING if value is None else str(value)
