"""The tables of a study page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hybridface.evaluation.multiplicity import holm
from hybridface.evaluation.statistics import t_interval
from hybridface.report.analysis import Claim, Comparison, relative_compute
from hybridface.report.cells import Arm, Setting
from hybridface.report.document import Table
from hybridface.report.text import (
    MISSING,
    is_fraction,
    joined,
    mean_deviation,
    measure_title,
    measured,
    number,
    percent,
    percent_range,
    points,
    points_range,
)


def arm_table(setting: Setting) -> Table:
    """Lay out mean and deviation over the shared seeds of every arm, and its compute."""
    arms, views = setting.shared, setting.counts_pictures

    def row(arm: Arm) -> list[str]:
        metrics = ("test_accuracy", "test_accuracy_last", "mean_class_accuracy", "val_accuracy")
        seconds, pictures = relative_compute(arm, arms[0], views)
        return [
            arm.name,
            arm.method,
            str(len(arm.cells)),
            *(mean_deviation(arm.mean(name), arm.deviation(name)) for name in metrics),
            percent_range(t_interval(arm.values("test_accuracy"))),
            f"{number(arm.mean('seconds'), 0)} ({number(seconds)} x)",
            f"{number(pictures)} x",
        ]

    counted = (
        "pictures are all that went through the backbone in training, views included."
        if views
        else "pictures are steps times batch, and do not count further views of a picture, while "
        "seconds do."
    )
    return Table(
        "Accuracy: mean and standard deviation over seeds, in percent. The validation checkpoint "
        "is the epoch that did best on the validation set. Compute is relative to "
        f"{arms[0].name}; {counted}{seeds_note(setting)}",
        [
            "Arm",
            "Method",
            "Seeds",
            "Test, validation checkpoint (%)",
            "Test, last epoch (%)",
            "Mean class accuracy (%)",
            "Validation (%)",
            "95% interval of test over seeds (%)",
            "Seconds (relative)",
            "Relative pictures",
        ],
        [row(arm) for arm in arms],
        text_columns=2,
        strong=_places(setting.arms, setting.headline),
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
    heads = [
        "Headline arm",
        "Against",
        "At",
        "Verdict",
        "Validation checkpoint",
        "Interval",
        "Last epoch",
        "Interval, last epoch",
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
            _p_value(next(corrected)),
            str(each.kept.difference.count),
        ]
        for setting, found in claims.items()
        for each in found
    ]
    return Table(
        "The headline arm against every supervised arm: difference of test accuracy at both "
        "checkpoints, in percentage points, with its 95% interval over seeds. The verdict is that "
        "of both; where they differ, it says which holds where. The p value is the larger of the "
        f"two, of the paired t test over seeds, corrected by Holm for the {len(every)} claims "
        "of this page.",
        ["Setting", *heads] if several else heads,
        rows,
        text_columns=5 if several else 4,
        verdicts=True,
    )


def _difference(each: Comparison) -> tuple[str, str]:
    difference = each.difference
    return points(difference.mean), points_range(difference.low, difference.high)


def comparison_table(
    comparisons: Sequence[Comparison], headline: Arm | None, checkpoint: str
) -> Table:
    """Lay out paired differences of hybrids and supervised arms."""

    def row(each: Comparison) -> list[str]:
        difference, pictures = each.difference, each.pictures
        spread = difference.deviation != 0  # of seeds that all differ alike nothing can be said
        return [
            each.treated.name,
            each.control.name,
            each.relation,
            each.verdict,
            *_difference(each),
            points_range(pictures.low, pictures.high) if pictures else MISSING,
            percent(difference.smallest_detectable) if spread else MISSING,
            _p_value(difference.p_value) if spread else MISSING,
            str(difference.count),
        ]

    return Table(
        f"Paired differences of test accuracy, {checkpoint}, in percentage points.",
        [
            "Arm",
            "Against",
            "At",
            "Verdict",
            "Difference",
            "95% interval over seeds",
            "95% interval over pictures",
            "Smallest detectable",
            "p value",
            "Seeds",
        ],
        [row(each) for each in comparisons],
        text_columns=4,
        verdicts=True,
        strong=_places([each.treated for each in comparisons], headline),
    )


def calibration_table(setting: Setting) -> Table | None:
    """Lay out calibration and the tasks' own figures by arm, where any was recorded."""
    measures = dict.fromkeys(
        name for arm in setting.arms for cell in arm.cells.values() for name in cell.details.ssl
    )
    rows = [
        [arm.name, _over_seeds(arm, "ece"), _over_seeds(arm, "nll")]
        + [_over_seeds(arm, name) for name in measures]
        for arm in setting.shared
    ]
    if all(cell == MISSING for row in rows for cell in row[1:]):
        return None
    heads = [f"{name.partition('/')[0]}: {measure_title(_leaf(name))}" for name in measures]
    return Table(
        "Calibration on the test set at the validation checkpoint, and how well the "
        "self-supervised tasks are solved: mean over seeds. Lower is better for both calibration "
        f"figures.{seeds_note(setting)}",
        ["Arm", measure_title("ece"), measure_title("nll"), *heads],
        rows,
        strong=_places(setting.arms, setting.headline),
    )


def cell_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Lay out every finished cell with all that was recorded of it."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    words = [key for key in keys if all(isinstance(row.get(key), str | None) for row in rows)]
    ordered = [*words, *(key for key in keys if key not in words)]
    heads = [
        f"{key} (%)" if is_fraction(key) or key == "test_accuracy_last" else key for key in ordered
    ]
    return Table(
        f"All {len(rows):,} finished cells",
        heads,
        [[_entry(key, row.get(key)) for key in ordered] for row in rows],
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


def _places(arms: Sequence[Arm], headline: Arm | None) -> frozenset[int]:
    return frozenset(place for place, arm in enumerate(arms) if arm is headline)


def _p_value(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else number(value, 4)


def _leaf(name: str) -> str:
    return name.rpartition("/")[2]


def _over_seeds(arm: Arm, name: str) -> str:
    found = [
        getattr(cell.details, name) if name in ("ece", "nll") else cell.details.ssl.get(name)
        for cell in arm.cells.values()
    ]
    known = [value for value in found if value is not None]
    return measured(_leaf(name), float(np.mean(known))) if known else MISSING


def _entry(key: str, value: object) -> str:
    if isinstance(value, int | float) and (is_fraction(key) or key == "test_accuracy_last"):
        return percent(value)
    if key == "seconds" and isinstance(value, int | float):
        return number(value, 1)
    return _plain(value)


def _plain(value: object) -> str:
    return MISSING if value is None else str(value)
