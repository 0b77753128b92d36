"""What a study's page says over its settings, of over-fitting, and of the other tasks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridface.evaluation.statistics import paired_difference, t_interval
from hybridface.report.cells import settings
from hybridface.report.study import StudyResult
from hybridface.report.study_conditions import condition_sections
from hybridface.report.study_fit import fit_table, flattening_table, gain_table, task_table

from .helpers import StudyBuilder, changed, pages


def rows_of(table: Any) -> dict[str, list[str]]:
    return {row[0]: list(row[1:]) for row in table.rows}


def accuracies(study: StudyResult, arm: str, **where: Any) -> list[float]:
    return [
        row["test_accuracy"]
        for row in study.rows
        if row["arm"] == arm and all(row[key] == value for key, value in where.items())
    ]


def test_gain_beside_compute(build_study: StudyBuilder) -> None:
    study = build_study(4)
    (setting,) = settings(study)
    table = gain_table(setting)
    assert table is not None
    for arm, row in rows_of(table).items():
        gain = paired_difference(accuracies(study, arm), accuracies(study, "supervised"))
        assert row[2:] == [
            f"{100 * gain.mean:+.2f}", f"{100 * gain.low:+.2f} to {100 * gain.high:+.2f}", "4",
        ]  # fmt: skip
    compute = [float(row[1]) for row in table.rows]
    assert compute == sorted(compute) and compute[0] == 1 and compute[-1] == 2


def test_gain_over_the_number_of_labels(build_study: StudyBuilder, tmp_path: Path) -> None:
    study = build_study(3, (1.0, 0.05))
    study = build_study(3, (1.0, 0.05), rows=changed(study, _with_labels))
    (section,) = condition_sections(study, settings(study))
    assert section.title == "Gain against labels"
    gallery, table = section.parts
    assert [row[1:3] for row in table.rows[:2]] == [["5", "420"], ["100", "8,400"]]
    for share, fraction in (("5", 0.05), ("100", 1.0)):
        (row,) = [row for row in table.rows if row[0] == "puzzle_own" and row[1] == share]
        gain = paired_difference(
            accuracies(study, "puzzle_own", fraction=fraction),
            accuracies(study, "supervised", fraction=fraction),
        )
        assert row[3] == f"{100 * gain.mean:+.2f}"
    assert gallery.figures[0].svg.count("<path") > 10
    markdown, html = pages(study, tmp_path)
    assert "## Gain against labels" in markdown and "Labelled training pictures" in html
    svg = gallery.figures[0].svg  # the axis has the numbers themselves
    assert re.findall(r">([\d,]+)</text>", svg)[:2] == ["420", "8,400"]
    assert "mathdefault" not in html


def _with_labels(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"labels": round(8400 * row["fraction"])}


def test_one_fraction_is_no_condition(build_study: StudyBuilder) -> None:
    study = build_study(2)
    assert condition_sections(study, settings(study)) == []


def test_error_over_augmentation_by_initialisation(
    build_study: StudyBuilder, tmp_path: Path
) -> None:
    study = build_study(3)
    rows = [
        row | {"augment": level, "init": init, "cell": f"{row['cell']}-{level}-{init}"}
        for row in study.rows
        if row["arm"] in ("supervised", "puzzle_own")
        for init in ("random", "imagenet")
        for level in ("strong", "none", "weak")
        if (init, level) != ("imagenet", "weak")
    ]
    found = settings(build_study(3, rows=rows))
    assert len(found) == 5  # what is compared has one initialisation and one augmentation
    section, *by_weights = condition_sections(study, found)
    assert section.title == "Error against augmentation"
    table = section.parts[1]
    assert table.heads == ["Arm", "none", "weak", "strong"]
    errors = t_interval([1 - each for each in accuracies(study, "puzzle_own")])
    written = f"{100 * errors.mean:.2f} ({100 * errors.low:.2f} to {100 * errors.high:.2f})"
    assert rows_of(table)["puzzle_own, random weights"] == [written] * 3
    assert rows_of(table)["puzzle_own, imagenet weights"][1] == "\u2013"
    # Two levels have both initialisations; the rows of both are the same here.
    assert [each.title.rpartition(" ")[2] for each in by_weights] == ["strong", "none"]
    own = next(row for row in by_weights[0].parts[0].rows if row[0] == "puzzle_own, random weights")
    gain = paired_difference(accuracies(study, "puzzle_own"), accuracies(study, "supervised"))
    assert own[1] == "supervised, imagenet weights"
    assert own[4] == f"{100 * gain.mean:+.2f}"
    markdown, _ = pages(build_study(3, rows=rows), tmp_path)
    assert "## Error against augmentation" in markdown
    assert (
        "## Random weights against ImageNet's: data rafdb, fraction 0.2, augment none" in markdown
    )
    fewer = [row for row in rows if row["cell"] != "supervised-0.2-2-none-random"]
    section, *_ = condition_sections(study, settings(build_study(3, rows=fewer)))
    table = section.parts[1]
    two = np.mean([1 - each for each in accuracies(study, "puzzle_own")[:2]])
    assert all(row.startswith(f"{100 * two:.2f} (") for row in table.rows[1][1:])
    assert "over the seeds that every arm has, 0 and 1;" in table.caption


def with_fit(study: StudyResult, arm: str, fits: list[list[tuple[float, float, float]]]) -> None:
    """Let the seeds of an arm have so many points of training and validation, and a loss."""
    for seed, points in enumerate(fits):
        detail = dict(study.details[f"{arm}-0.2-{seed}"])
        detail["curve"] = [[n, 1.0, val] for n, (_, val, _) in enumerate(points, start=1)]
        detail["training_rows"] = [[train, 0.5] for train, _, _ in points]
        detail["val_loss"] = [loss for _, _, loss in points]
        study.details[f"{arm}-0.2-{seed}"] = detail  # type: ignore[index]


def test_over_fitting_at_the_end_and_at_equal_training_accuracy(
    build_study: StudyBuilder,
) -> None:
    study = build_study(2)
    fast = [(0.4, 0.4, 1.5), (0.8, 0.5, 1.2), (1.0, 0.5, 1.6)]
    slow = [(0.5, 0.45, 1.4), (0.7, 0.6, 1.1), (0.9, 0.62, 1.15)]
    with_fit(study, "supervised", [fast, fast])
    with_fit(study, "puzzle_own", [slow, slow])
    (setting,) = settings(study)
    table = fit_table(setting)
    assert table is not None and "90.00%, which all reached" in table.caption
    rows = rows_of(table)
    # At 90 % the fast one is half way from 80 to 100 %, with 50 % in validation.
    assert rows["supervised"][:2] == ["100.00", "+50.00 (+50.00 to +50.00)"]
    assert rows["supervised"][2:] == ["+40.00 (+40.00 to +40.00)", "0.400 (0.400 to 0.400)"]
    assert rows["puzzle_own"][:2] == ["90.00", "+28.00 (+28.00 to +28.00)"]
    assert rows["puzzle_own"][2:] == ["+28.00 (+28.00 to +28.00)", "0.050 (0.050 to 0.050)"]
    assert rows["inpaint"] == ["\u2013"] * 4


def test_every_arm_is_told_whether_it_was_trained_to_its_end(build_study: StudyBuilder) -> None:
    study = build_study(2)
    rising = [[n, 1.0, 0.4 + 0.01 * n] for n in range(1, 10)]
    level = [[n, 1.0, 0.6] for n in range(1, 10)]
    for arm, curve in (("supervised", rising), ("puzzle_own", level)):
        for seed in range(2):
            cell = f"{arm}-0.2-{seed}"
            study.details[cell] = {**study.details[cell], "curve": curve}  # type: ignore[index]
    (setting,) = settings(study)
    table = flattening_table(setting)
    assert table is not None
    rows = rows_of(table)
    assert rows["supervised"] == ["+3.00", "46.00", "49.00", "still rising"]
    assert rows["puzzle_own"] == ["+0.00", "60.00", "60.00", "flat"]


def test_without_records_of_it_nothing_is_said_of_fit(build_study: StudyBuilder) -> None:
    (setting,) = settings(build_study(2))
    assert fit_table(setting) is None


@pytest.mark.parametrize(
    ("ssl", "options", "said"),
    [
        ({"puzzle/slot_accuracy": 0.9}, {"puzzle": {"grid": 2}}, ["90.00", "25.00"]),
        ({"jig/slot_accuracy": 0.5}, {"jig": {"type": "puzzle", "grid": 3}}, ["50.00", "11.11"]),
        ({"rotation/accuracy": 0.4}, {"rotation": {}}, ["40.00", "25.00"]),
        ({"inpaint/hole_psnr": 20.0, "inpaint/mean_fill_psnr": 14.5}, {}, ["20.000", "14.500"]),
        ({"drloc/places_off": 1.5}, {"drloc": {}}, ["1.500", "\u2013"]),
        ({"puzzle/slot_accuracy": 0.9}, {}, ["90.00", "\u2013"]),
    ],
)
def test_tasks_stand_beside_what_is_had_for_nothing(
    ssl: dict[str, float], options: dict[str, Any], said: list[str], build_study: StudyBuilder
) -> None:
    study = build_study(2)
    details = {
        cell: {**detail, "ssl": ssl, "recipe": {"tasks": options}}
        for cell, detail in study.details.items()
    }
    (setting,) = settings(build_study(2, details=details))
    table = task_table(setting)
    assert table is not None
    assert list(table.rows[0][3:]) == said
    assert len(table.rows) == 6


def test_persons_widen_the_interval_over_pictures(build_study: StudyBuilder) -> None:
    def width(study: StudyResult) -> float:
        (setting,) = settings(study)
        from hybridface.report.analysis import compare

        arms = {arm.name: arm for arm in setting.arms}
        found = compare(arms["puzzle_own"], arms["supervised"])
        assert found is not None and found.pictures is not None
        return found.pictures.high - found.pictures.low

    study = build_study(3)
    persons = (np.arange(400) // 40).tolist()
    details = {cell: {**detail, "test_groups": persons} for cell, detail in study.details.items()}
    assert width(build_study(3, details=details)) != width(study)


def test_the_page_has_the_new_tables(rendered: tuple[StudyResult, str, str]) -> None:
    _, markdown, html = rendered
    for text in ("Gain in test accuracy on supervised beside its compute", "had for nothing"):
        assert text in re.sub(r"\s+", " ", markdown)
        assert text in html
