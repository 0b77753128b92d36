"""The page of a study of numbers: errors in their unit, of which less is better."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridface.errors import HybridFaceError
from hybridface.evaluation.multiplicity import holm
from hybridface.evaluation.statistics import paired_difference, t_interval
from hybridface.report.analysis import compare, flattening
from hybridface.report.cells import settings
from hybridface.report.study import StudyResult

from .helpers import StudyBuilder, arms_of, changed, pages, values

CONTROLS = ("supervised", "supervised_stretched", "supervised_two_views")
PICTURES = 60


def errors_of(study: StudyResult, unit: str = "degrees", **changes: Any) -> StudyResult:
    """Turn the accuracies of a study into errors that fall where these rise."""
    details = {name: dict(detail) for name, detail in study.details.items()}

    def turn(row: dict[str, Any]) -> dict[str, Any]:
        cell = row["cell"]
        kept = {name: value for name, value in row.items() if "accuracy" not in name}
        random = np.random.default_rng(row["seed"])  # what is hard is so for every arm
        hard = random.gamma(4, 0.25, PICTURES)
        hard /= hard.mean()
        named: dict[str, Any] = {"unit": unit, "select": "mae"}
        for suffix in ("", "_last"):
            errors = 20 * (1 - row[f"test_accuracy{suffix}"]) * hard
            details[cell][f"test_errors{suffix}"] = errors.round(3).tolist()
            named[f"test_mae{suffix}"] = float(errors.mean())
        named["val_mae"] = 20 * (1 - row["val_accuracy"])
        if unit == "degrees":
            named |= {"val_geodesic": 30.0, "test_geodesic": 1.5 * named["test_mae"]}
        curve = [[epoch, loss, 20 * (1 - value)] for epoch, loss, value in details[cell]["curve"]]
        figures = {"mae_yaw": 5.0, "geodesic": 9.5} if unit == "degrees" else {"bias": -0.25}
        gone = ("test_correct", "test_correct_last", "confusion", "classes", "ece", "nll")
        details[cell] = {k: v for k, v in details[cell].items() if k not in gone}
        details[cell] |= {"curve": curve, "figures": figures, "test_count": PICTURES}
        return kept | named

    tuning = [
        {k: v for k, v in trial.items() if k != "val_accuracy"} | {"val_mae": 7 + place}
        for place, trial in enumerate(study.tuning)
    ]
    content = {**vars(study), "rows": changed(study, turn), "details": details, "tuning": tuning}
    return StudyResult(**{**content, **changes})


def errors_of_rows(study: StudyResult, rows: list[dict[str, Any]]) -> StudyResult:
    return StudyResult(**{**vars(study), "rows": rows})


@pytest.fixture(scope="module")
def errors_rendered(
    build_study: StudyBuilder, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StudyResult, str, str]:
    study = errors_of(build_study(5))
    return study, *pages(study, tmp_path_factory.mktemp("errors"))


def test_the_headline_arm_has_the_least_error(build_study: StudyBuilder) -> None:
    study = errors_of(build_study(5))
    (setting,) = settings(study)
    assert setting.headline is not None
    assert setting.headline.name == "puzzle_own"
    better = [row | {"select": "geodesic"} for row in map(dict, study.rows)]
    for row in better:
        row["val_geodesic"] = 3.0 if row["arm"] == "puzzle_shared" else 30.0
    (setting,) = settings(errors_of(build_study(5), rows=better))
    assert setting.headline is not None
    assert setting.headline.name == "puzzle_shared"


def test_signs_units_and_reductions(errors_rendered: tuple[StudyResult, str, str]) -> None:
    study, markdown, html = errors_rendered
    own = values(study, "puzzle_own", "test_mae")
    for control in CONTROLS:
        other = values(study, control, "test_mae")
        difference = paired_difference(own, other)
        assert difference.mean < 0
        less = t_interval(1 - own / other)
        for text in (
            f"{difference.mean:+.2f} degrees, {100 * less.mean:.1f}% less error",
            f"{difference.low:+.2f} to {difference.high:+.2f}",
            f"{100 * less.mean:.1f} ({100 * less.low:.2f} to {100 * less.high:.2f})",
            f"| {difference.smallest_detectable:.2f} |",
        ):
            assert text in markdown, text
            if "|" not in text:
                assert text in html
        assert f"| puzzle_own | {control} |" in markdown
    assert markdown.count(": lower error") == 3
    assert "lower is better" in markdown
    assert "Left of zero is better" in html
    assert "Right of zero" not in html
    before_cells = markdown.partition("## Every cell")[0].lower()
    assert "accuracy" not in before_cells.replace("slot accuracy", "")
    assert 'class="verdict higher">lower error<' in html  # marked as the better one
    assert "| puzzle_shared | supervised | equal epochs and compute | higher error |" in markdown
    assert 'class="verdict lower">higher error<' in html


def test_tables_hold_the_errors_of_the_rows(
    errors_rendered: tuple[StudyResult, str, str],
) -> None:
    study, markdown, _ = errors_rendered
    for arm in ("supervised", "puzzle_own"):
        for key in ("test_mae", "test_mae_last", "test_geodesic", "val_mae"):
            found = values(study, arm, key)
            assert f"| {found.mean():.2f} ± {found.std(ddof=1):.2f} |" in markdown
    for head in ("Angle between rotations (degrees)", "Validation error (degrees)",
                 "Mean absolute error of yaw (degrees)"):  # fmt: skip
        assert head in markdown
    table = markdown.partition("Every tuning trial")[2]
    assert "| 7.00 |" in table
    assert "| 9.00 |" in table


def test_p_values_are_corrected(errors_rendered: tuple[StudyResult, str, str]) -> None:
    study, markdown, _ = errors_rendered
    larger = [
        max(
            paired_difference(values(study, "puzzle_own", key), values(study, arm, key)).p_value
            for key in ("test_mae", "test_mae_last")
        )
        for arm in CONTROLS
    ]
    table = markdown.partition("p value (Holm)")[2].partition("\n\n")[0].splitlines()
    for arm, p_value in zip(CONTROLS, holm(larger), strict=True):
        [line] = [line for line in table if line.startswith(f"| puzzle_own | {arm} |")]
        assert line.split("|")[-3].strip() in (f"{p_value:.4f}", "< 0.0001")


def test_pictures_are_drawn_by_person_where_persons_are_known(build_study: StudyBuilder) -> None:
    study = errors_of(build_study(3))
    by_picture, by_person = [], []
    for groups in (None, [picture // 6 for picture in range(PICTURES)]):
        details = {name: {**each, "test_groups": groups} for name, each in study.details.items()}
        arms = arms_of(errors_of(build_study(3), rows=study.rows, details=details))
        found = compare(arms["puzzle_own"], arms["supervised"])
        assert found is not None
        assert found.pictures is not None
        assert found.pictures.mean == pytest.approx(found.difference.mean, abs=1e-3)
        (by_picture if groups is None else by_person).append(
            (found.pictures.low, found.pictures.high)
        )
    assert by_picture != by_person


def test_a_curve_that_falls_is_still_better(build_study: StudyBuilder) -> None:
    arm = arms_of(errors_of(build_study(3)))["supervised"]
    found = flattening(arm)
    assert found is not None
    assert found.change < 0
    assert found.verdict in ("still falling", "flat")


def test_years_are_years(build_study: StudyBuilder, tmp_path: Path) -> None:
    markdown, _ = pages(errors_of(build_study(3), "years"), tmp_path)
    assert "in years, with its 95% interval" in markdown
    assert "Bias (years)" in markdown
    assert "degrees" not in markdown
    assert "rotations" not in markdown


def test_settings_and_labels(build_study: StudyBuilder, tmp_path: Path) -> None:
    markdown, html = pages(errors_of(build_study(3, (0.2, 1.0))), tmp_path)
    assert "## Difference against labels" in markdown
    assert "Difference to the baseline (degrees)" in html
    assert "Below zero is better." in markdown


def test_one_seed_has_no_intervals(build_study: StudyBuilder, tmp_path: Path) -> None:
    markdown, _ = pages(errors_of(build_study(1)), tmp_path)
    assert "This is no evidence yet" in markdown
    assert "nan" not in markdown.lower().split()
    assert not re.search(r"verdict.*lower error", markdown)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test_mae": -1.0}, "test_mae"),
        ({"test_mae": 3.21}, "are off by .* but the recorded error is 3.21"),
        ({"unit": "years"}, "different measures"),
    ],
)
def test_broken_rows_are_named(
    build_study: StudyBuilder, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    study = errors_of(build_study(2))
    rows = [{**row, **change} if row["cell"] == "puzzle_own-0.2-1" else row for row in study.rows]
    with pytest.raises(HybridFaceError, match=message):
        pages(errors_of(build_study(2), rows=rows, details=study.details), tmp_path)


@pytest.mark.parametrize(
    ("unit", "scale", "decimals"),
    [("parts of the face", 0.001, 5), ("degrees", 0.001, 2), ("years", 1, 2), ("mm", 1, 2)],
)
def test_small_errors_are_written_with_the_decimals_that_they_need(
    build_study: StudyBuilder, tmp_path: Path, unit: str, scale: float, decimals: int
) -> None:
    study = errors_of(build_study(3), unit)
    for detail in study.details.values():
        for name in ("test_errors", "test_errors_last"):
            detail[name][:] = [scale * error for error in detail[name]]
    errors = ("val_mae", "test_mae", "test_mae_last")
    rows = [{k: scale * v if k in errors else v for k, v in row.items()} for row in study.rows]
    study = StudyResult(**{**vars(study), "rows": rows})
    markdown, _ = pages(study, tmp_path)
    error = np.mean(values(study, "supervised", "test_mae"))
    assert re.search(rf"\| {error:.{decimals}f} ± \d+\.\d{{{decimals}}} \|", markdown)
    (setting,) = settings(study)
    assert setting.measure.change(0.0123456) == f"{0.0123456:+.{decimals}f}"
    assert f"| {-0.25:.{decimals + 1}f} |" in markdown or unit == "degrees"  # the bias


def test_recorded_pictures_of_another_run_are_noticed_however_small_the_error(
    build_study: StudyBuilder, tmp_path: Path
) -> None:
    study = errors_of(build_study(2), "m")
    rows = [{**row, "test_mae": 1.01 * row["test_mae"]} for row in study.rows]
    for scale in (1, 1e-4):
        small = [{**row, "test_mae": scale * row["test_mae"]} for row in rows]
        for detail in study.details.values():
            detail["test_errors"][:] = [scale * error for error in detail["test_errors"]]
        with pytest.raises(HybridFaceError, match="the recorded pictures are off by"):
            pages(errors_of_rows(study, small), tmp_path)


def test_what_the_headline_arm_is_chosen_by_is_said_and_shown(
    build_study: StudyBuilder, tmp_path: Path
) -> None:
    study = errors_of(build_study(3))
    markdown, _ = pages(study, tmp_path)
    assert "the hybrid with the lowest mean validation error, chosen" in markdown
    assert "Validation, angle between rotations" not in markdown
    rows = [{**row, "select": "geodesic"} for row in study.rows]
    markdown, _ = pages(errors_of_rows(study, rows), tmp_path)
    assert "the hybrid with the lowest mean validation angle between rotations," in markdown
    assert "| Validation, angle between rotations (degrees) |" in markdown
    assert "| 30.00 ± 0.00 |" in markdown


def test_what_the_intervals_are_over_is_said(build_study: StudyBuilder, tmp_path: Path) -> None:
    groups = [picture // 6 for picture in range(PICTURES)]
    for same, known in ((False, None), (True, groups)):
        study = errors_of(build_study(2), same_test_pictures=same)
        for detail in study.details.values():
            detail["test_groups"] = known  # type: ignore[index]
        markdown, _ = pages(study, tmp_path)
        assert ("All seeds were tested on the same pictures" in markdown) == same
        assert ("drawn by the groups that the data set names" in markdown) == same


def test_a_unit_keeps_its_capitals(build_study: StudyBuilder, tmp_path: Path) -> None:
    _, html = pages(errors_of(build_study(2, (0.2, 1.0)), "mm"), tmp_path)
    assert "Difference to supervised (mm)" in html
    assert "Mm" not in html


def test_settings_of_several_networks_are_kept_apart(
    build_study: StudyBuilder, tmp_path: Path
) -> None:
    """As the study of head pose: two amounts of labels, and ImageNet weights of another network."""
    study = errors_of(build_study(3, (0.2, 1.0)), same_test_pictures=True)
    other = {"init": "imagenet", "backbone": "tf_efficientnet_lite0", "size": 64}
    more = [
        {**row, **other, "cell": f"{row['cell']}-imagenet"}
        for row in study.rows
        if row["fraction"] == 1 and row["arm"] in ("supervised", "puzzle_own")
    ]
    details = {row["cell"]: study.details[row["cell"].removesuffix("-imagenet")] for row in more}
    study = errors_of_rows(study, [*map(dict, study.rows), *more])
    markdown, _ = pages(replace(study, details={**study.details, **details}), tmp_path)
    found = re.findall(r"^> (rafdb, .*?): the headline arm (\w+),", markdown, flags=re.M)
    assert [arm for _, arm in found] == ["puzzle_own"] * 3
    assert found[2][0].endswith("init imagenet, backbone tf_efficientnet_lite0, size 64")
    assert "corrected by Holm for the 7 claims of this page" in markdown
    labels = markdown.partition("## Difference against labels\n")[2].partition("\n## ")[0]
    assert labels.count("| puzzle_own |") == 2  # of one network
    assert "Random weights against ImageNet's" not in markdown  # which are not of one network
