"""What the arms of a study say, by slow references and by rule."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hybridface.evaluation.bootstrap import paired_bootstrap
from hybridface.evaluation.statistics import Interval, paired_difference
from hybridface.report.analysis import (
    Claim,
    claim,
    compare,
    decide,
    flattening,
    in_common,
    mean_curve,
    relative_compute,
)
from hybridface.report.cells import Arm, choose_headline, settings
from hybridface.report.study import StudyResult

from .helpers import StudyBuilder, arms_of, changed, values


def test_settings_are_kept_apart(build_study: StudyBuilder) -> None:
    assert [setting.title for setting in settings(build_study(3, (0.2, 1.0)))] == [
        "rafdb, 20% of the labels",
        "rafdb, all labels",
    ]


def test_what_varies_within_an_arm_is_kept_apart(build_study: StudyBuilder) -> None:
    study = build_study(2)
    strong = changed(study, lambda row: {**row, "augment": "weak", "cell": f"weak-{row['cell']}"})
    both = build_study(2, rows=[*study.rows, *strong])
    assert [setting.title for setting in settings(both)] == [
        "rafdb, 20% of the labels, augment strong",
        "rafdb, 20% of the labels, augment weak",
    ]
    # an arm that differs from the others in its start does not stand alone
    arms = changed(study, lambda row: {**row, "init": row["arm"]})
    assert len(settings(build_study(2, rows=arms))) == 1


def test_baseline_stands_first_then_the_supervised_arms(build_study: StudyBuilder) -> None:
    study = build_study(1)
    (setting,) = settings(build_study(1, rows=list(reversed(study.rows))))
    assert setting.arms[0] is setting.baseline
    assert [arm.is_hybrid for arm in setting.arms] == [False] * 3 + [True] * 3


def test_headline_is_chosen_on_validation_alone(build_study: StudyBuilder) -> None:
    def swap(row: dict[str, Any]) -> dict[str, Any]:
        best = {"puzzle_shared": 0.9, "supervised": 0.99}
        return {**row, "val_accuracy": best.get(row["arm"], 0.5)}

    study = build_study(2)
    (setting,) = settings(build_study(2, rows=changed(study, swap), details={}))
    assert setting.headline is not None
    assert setting.headline.name == "puzzle_shared"


def test_an_unfinished_arm_is_no_headline(build_study: StudyBuilder) -> None:
    def lucky(row: dict[str, Any]) -> dict[str, Any] | None:
        if row["arm"] != "inpaint":
            return row
        return {**row, "val_accuracy": 0.95} if row["seed"] == 0 else None

    study = build_study(3)
    (setting,) = settings(build_study(3, rows=changed(study, lucky)))
    assert setting.headline is not None
    assert setting.headline.name == "puzzle_own"
    assert choose_headline([arm for arm in setting.arms if not arm.is_hybrid]) is None


def test_only_shared_seeds_are_compared(build_study: StudyBuilder) -> None:
    study = build_study(4)
    rows = [row for row in study.rows if not (row["arm"] == "supervised" and row["seed"] == 2)]
    arms = arms_of(build_study(4, rows=rows))
    found = compare(arms["puzzle_own"], arms["supervised"])
    assert found is not None
    assert found.difference.count == 3
    expected = np.delete(values(study, "puzzle_own", "test_accuracy"), 2)
    expected = expected - np.delete(values(study, "supervised", "test_accuracy"), 2)
    assert found.difference.mean == pytest.approx(expected.mean())


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("same_pictures", [False, True])
def test_pictures_are_unpacked(build_study: StudyBuilder, last: bool, same_pictures: bool) -> None:
    study = build_study(3)

    def correct(arm: str) -> list[np.ndarray]:
        key = "test_correct_last" if last else "test_correct"
        packed = [study.details[f"{arm}-0.2-{seed}"][key] for seed in range(3)]
        bits = [np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8)) for text in packed]
        return [each[:400].astype(bool) for each in bits]

    arms = arms_of(study)
    found = compare(arms["puzzle_own"], arms["supervised"], last, same_pictures)
    assert found is not None
    expected = paired_bootstrap(
        correct("puzzle_own"), correct("supervised"), same_pictures=same_pictures
    )
    assert found.pictures == expected


@pytest.mark.parametrize(
    ("bounds", "count", "pictures", "verdict"),
    [
        ((0.01, 0.02), 3, None, "higher"),
        ((0.01, 0.02), 2, None, "not told apart"),
        ((0.01, 0.02), 5, (-0.01, 0.03), "not told apart"),
        ((0.01, 0.02), 5, (0.001, 0.03), "higher"),
        ((-0.02, -0.01), 5, (-0.03, -0.001), "lower"),
        ((-0.01, 0.02), 5, (0.01, 0.02), "not told apart"),
        ((math.nan, math.nan), 1, (0.01, 0.02), "not told apart"),
    ],
)
def test_verdicts_follow_the_rule(
    bounds: tuple[float, float], count: int, pictures: tuple[float, float] | None, verdict: str
) -> None:
    base = paired_difference([0.1, 0.2], [0.0, 0.0])
    difference = type(base)(0.0, *bounds, base.deviation, count, 0.5, 0.1)
    over_pictures = Interval(0.0, *pictures) if pictures else None
    assert decide(difference, over_pictures) == verdict


def one_arm(study: StudyResult, curves: list[list[list[float]]]) -> Arm:
    cells = [f"supervised-0.2-{seed}" for seed in range(len(curves))]
    details = {cell: {"curve": curve} for cell, curve in zip(cells, curves, strict=True)}
    rows = [row for row in study.rows if row["cell"] in cells]
    found = settings(StudyResult("n", "t", [], rows, details))
    return found[0].arms[0]


def test_mean_curve_is_over_relative_progress(build_study: StudyBuilder) -> None:
    short = [[epoch, 1.0, 0.1 * epoch] for epoch in range(1, 5)]
    long = [[epoch, 3.0, 0.05 * epoch] for epoch in range(1, 9)]
    arm = one_arm(build_study(2), [short, long])
    progress, accuracy = mean_curve(arm) or (None, None)
    assert progress == pytest.approx(np.arange(2, 9) / 8)
    assert accuracy == pytest.approx(0.4 * np.arange(2, 9) / 8)
    _, loss = mean_curve(arm, loss=True) or (None, np.zeros(0))
    assert set(loss) == {2.0}


@pytest.mark.parametrize(
    ("slope", "verdict"), [(0.09, "still rising"), (0.003, "flat"), (-0.09, "falling")]
)
def test_flattening_looks_at_the_last_third(
    build_study: StudyBuilder, slope: float, verdict: str
) -> None:
    curve = [[epoch, 1.0, 0.5 + slope * epoch / 30] for epoch in range(1, 31)]
    found = flattening(one_arm(build_study(1), [curve]))
    assert found is not None
    assert found.change == pytest.approx(slope / 3)
    assert found.verdict == verdict
    assert flattening(one_arm(build_study(1), [curve[:2]])) is None


@pytest.mark.parametrize(
    ("treated", "control", "relation"),
    [
        ("puzzle_own", "supervised", "equal epochs"),
        ("puzzle_own", "supervised_stretched", "equal compute"),
        ("puzzle_own", "supervised_two_views", "equal epochs and compute"),
        ("puzzle_shared", "supervised", "equal epochs and compute"),
        ("puzzle_shared", "supervised_stretched", "neither epochs nor compute equal"),
        ("puzzle_shared", "supervised_two_views", "equal epochs"),
    ],
)
def test_what_arms_have_in_common_follows_from_their_numbers(
    build_study: StudyBuilder, treated: str, control: str, relation: str
) -> None:
    arms = arms_of(build_study(2))
    found = compare(arms[treated], arms[control])
    assert found is not None
    assert found.relation == relation


@pytest.mark.parametrize(("factor", "relation"), [(1.09, "equal compute"), (1.12, "neither")])
def test_compute_is_equal_within_a_tenth(
    build_study: StudyBuilder, factor: float, relation: str
) -> None:
    def more(row: dict[str, Any]) -> dict[str, Any]:
        grown = row["arm"] == "supervised_stretched"
        return {**row, "pictures": int(row["pictures"] * (factor if grown else 1))}

    study = build_study(2)
    arms = arms_of(build_study(2, rows=changed(study, more)))
    for pair in (("puzzle_own", "supervised_stretched"), ("supervised_stretched", "puzzle_own")):
        assert in_common(arms[pair[0]], arms[pair[1]]).startswith(relation)


def test_compute_is_unknown_where_a_row_does_not_say_it(build_study: StudyBuilder) -> None:
    def forget(row: dict[str, Any]) -> dict[str, Any]:
        gone = row["cell"] == "supervised-0.2-0"
        return {key: value for key, value in row.items() if key != "pictures" or not gone}

    study = build_study(2)
    arms = arms_of(build_study(2, rows=changed(study, forget)))
    own, control = arms["puzzle_own"], arms["supervised"]
    assert in_common(own, control) == "equal epochs, compute not recorded"
    assert in_common(own, arms["supervised_two_views"]) == "equal epochs and compute"
    other = in_common(arms["supervised_stretched"], control)
    assert other == "epochs not equal, compute not recorded"
    found = compare(own.over([1]), control)  # the seed that is compared says it
    assert found is not None
    assert found.relation == "equal epochs"


@pytest.mark.parametrize(
    ("kept", "last", "verdict"),
    [
        ("higher", "higher", "higher"),
        ("lower", "lower", "lower"),
        (
            "higher",
            "not told apart",
            "higher at the validation checkpoint, not told apart at the last epoch",
        ),
        ("not told apart", "higher", "not told apart at the validation checkpoint, higher at the"),
    ],
)
def test_a_claim_needs_both_checkpoints(
    build_study: StudyBuilder, kept: str, last: str, verdict: str
) -> None:
    arms = arms_of(build_study(3))
    found = claim(arms["puzzle_own"], arms["supervised"])
    assert found is not None
    assert found.verdict == "higher"
    assert found.last == compare(arms["puzzle_own"], arms["supervised"], last_epoch=True)
    changed_claim = Claim(replace(found.kept, verdict=kept), replace(found.last, verdict=last))
    assert changed_claim.verdict.startswith(verdict)
    assert claim(arms["puzzle_own"].over([0]), arms["supervised"].over([1])) is None


def test_a_claim_of_two_directions_is_none(build_study: StudyBuilder) -> None:
    arms = arms_of(build_study(3))
    found = claim(arms["puzzle_own"], arms["supervised"])
    assert found is not None
    assert found.p_value == max(found.kept.difference.p_value, found.last.difference.p_value) < 0.5
    turned = replace(found.last.difference, mean=-found.last.difference.mean)
    assert Claim(found.kept, replace(found.last, difference=turned)).p_value == 1


def test_a_claim_of_one_seed_has_no_p_value(build_study: StudyBuilder) -> None:
    """Though its two checkpoints may point in two directions."""

    def of_one_seed(row: dict[str, Any]) -> dict[str, Any] | None:
        kept, last = (0.7, 0.6) if row["arm"] == "puzzle_own" else (0.65, 0.65)
        said = {"test_accuracy": kept, "test_accuracy_last": last}
        return row | said if row["seed"] == 0 else None

    study = build_study()
    arms = arms_of(replace(study, rows=changed(study, of_one_seed), details={}))
    found = claim(arms["puzzle_own"], arms["supervised"])
    assert found is not None
    assert found.kept.difference.mean > 0 > found.last.difference.mean
    assert math.isnan(found.p_value)


def test_shared_seeds_are_those_that_every_arm_has(build_study: StudyBuilder) -> None:
    study = build_study(3)
    rows = [row for row in study.rows if row["cell"] != "inpaint-0.2-2"]
    (setting,) = settings(build_study(3, rows=rows))
    assert setting.shared_seeds == [0, 1]
    assert all(sorted(arm.cells) == [0, 1] for arm in setting.shared)
    assert [arm.name for arm in setting.shared] == [arm.name for arm in setting.arms]
    kept = {"supervised": 0, "puzzle_own": 1}
    rows = [row for row in study.rows if kept.get(row["arm"]) == row["seed"]]
    (setting,) = settings(build_study(3, rows=rows))
    assert setting.shared_seeds == []
    assert setting.shared == setting.arms


def test_relative_compute(build_study: StudyBuilder) -> None:
    arms = arms_of(build_study(3))
    stretched, two_views, one = (
        arms[name] for name in ("supervised_stretched", "supervised_two_views", "supervised")
    )
    seconds, pictures = relative_compute(stretched, one, views=True)
    assert pictures == 2
    assert seconds == pytest.approx(2.05, abs=0.1)
    assert relative_compute(two_views, one, views=True)[1] == 2
    assert relative_compute(two_views, one, views=False)[1] == 1
