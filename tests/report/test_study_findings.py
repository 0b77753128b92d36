"""What the page of a study claims: at both checkpoints, by the arms' numbers, on shared seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hybridface.evaluation.bootstrap import paired_bootstrap
from hybridface.evaluation.multiplicity import holm
from hybridface.evaluation.statistics import paired_difference
from hybridface.report import study_outcomes
from hybridface.report.cells import CONTROLS
from hybridface.report.study import StudyResult
from hybridface.report.text import MISSING

from .helpers import StudyBuilder, changed, pages, values


def callout(markdown: str) -> str:
    [line] = [line for line in markdown.splitlines() if "the headline arm puzzle_own, " in line]
    return line


def test_the_callout_holds_both_checkpoints_and_every_control(
    rendered: tuple[StudyResult, str, str],
) -> None:
    study, markdown, _ = rendered
    said = callout(markdown)
    for control, relation in (
        ("supervised", "equal epochs"),
        ("supervised_stretched", "equal compute"),
        ("supervised_two_views", "equal epochs and compute"),
    ):
        clause = f"to {control} ({relation}; "
        for metric, form in (
            ("test_accuracy", "is {} points (95% interval {})"),
            ("test_accuracy_last", "at the last epoch {} ({}): higher"),
        ):
            treated, other = (values(study, arm, metric) for arm in ("puzzle_own", control))
            difference = paired_difference(treated, other)
            interval = f"{100 * difference.low:+.2f} to {100 * difference.high:+.2f}"
            assert form.format(f"{100 * difference.mean:+.2f}", interval) in said
            clause += f"{100 * other.mean():.2f}%{' and ' if metric == 'test_accuracy' else ''}"
        assert clause in said
    assert said.count(": higher") == 3
    assert "no evidence" not in said
    assert "was compared." not in said


def test_a_gain_at_one_checkpoint_only_is_said_to_be_so(
    build_study: StudyBuilder, tmp_path: Path
) -> None:
    def vanish(row: dict[str, Any]) -> dict[str, Any]:
        own = row["arm"] == "puzzle_own"
        last = 0.6 + 0.01 * (row["seed"] % 3) if own else row["test_accuracy_last"]
        return {**row, "test_accuracy_last": last}

    study = build_study(5)
    rows = changed(study, vanish)
    markdown, html = pages(build_study(5, rows=rows, details={}), tmp_path)
    verdict = "higher at the validation checkpoint, not told apart at the last epoch"
    assert f": {verdict}; to supervised_stretched" in callout(markdown)
    assert f"| puzzle_own | supervised | equal epochs | {verdict} |" in markdown
    assert f"({verdict}; " in markdown  # the tile
    assert verdict in html


def test_p_values_are_of_both_checkpoints_and_corrected_for_the_claims(
    rendered: tuple[StudyResult, str, str],
) -> None:
    study, markdown, _ = rendered
    controls = ("supervised", "supervised_stretched", "supervised_two_views")
    larger = [
        max(
            paired_difference(
                values(study, "puzzle_own", metric), values(study, arm, metric)
            ).p_value
            for metric in ("test_accuracy", "test_accuracy_last")
        )
        for arm in controls
    ]
    table = markdown.partition("p value (Holm)")[2].partition("\n\n")[0].splitlines()
    for arm, p_value in zip(controls, holm(larger), strict=True):
        [line] = [line for line in table if line.startswith(f"| puzzle_own | {arm} |")]
        shown = line.split("|")[-3].strip()
        assert shown == ("< 0.0001" if p_value < 0.0001 else f"{p_value:.4f}")


def test_a_missing_control_is_told(build_study: StudyBuilder, tmp_path: Path) -> None:
    study = build_study(3)
    rows = [
        row
        for row in study.rows
        if row["arm"] not in ("supervised_stretched", "supervised_two_views")
    ]
    markdown, _ = pages(build_study(3, rows=rows), tmp_path)
    assert "No supervised arm of equal compute was compared." in callout(markdown)
    assert "No supervised arm of equal epochs" not in markdown


def test_pictures_count_views_only_where_every_row_says_them(
    build_study: StudyBuilder, tmp_path: Path
) -> None:
    study = build_study(3)
    markdown, html = pages(study, tmp_path)
    row = next(line for line in markdown.splitlines() if line.startswith("| puzzle_own | puzzle |"))
    assert row.endswith("| 2.00 x |")
    assert "views included" in markdown
    assert "Pictures (times those of supervised)" in html
    rows = [dict(row) for row in study.rows]
    del rows[0]["pictures"]
    markdown, html = pages(build_study(3, rows=rows), tmp_path)
    row = next(line for line in markdown.splitlines() if line.startswith("| puzzle_own | puzzle |"))
    assert row.endswith("| 1.00 x |")
    assert "do not count further views of a picture" in markdown
    assert "Training time (times those of supervised)" in html
    assert "equal compute cannot be told" in callout(markdown)


def test_means_are_over_the_seeds_that_every_arm_has(
    build_study: StudyBuilder, tmp_path: Path
) -> None:
    study = build_study(4)
    rows = [row for row in study.rows if row["seed"] < 3 or row["arm"].startswith("supervised")]
    markdown, html = pages(build_study(4, rows=rows), tmp_path)
    note = "over the seeds that every arm has, 0, 1 and 2; left out as not every arm has them: 3."
    assert note in markdown
    assert note in html
    three = 100 * values(study, "supervised", "test_accuracy")[:3]
    row = next(line for line in markdown.splitlines() if line.startswith("| supervised | super"))
    assert f"| 3 | {three.mean():.2f} ± {three.std(ddof=1):.2f} |" in row
    assert "| supervised-0.2-3 |" in markdown  # every cell is listed still
    markdown, _ = pages(study, tmp_path)
    assert "left out as not every arm" not in markdown


def test_arms_without_a_common_seed_are_said_not_to_compare(
    build_study: StudyBuilder, tmp_path: Path
) -> None:
    study = build_study(2)
    rows = [row for row in study.rows if row["seed"] == (row["arm"] == "puzzle_own")]
    markdown, _ = pages(build_study(2, rows=rows), tmp_path)
    assert "No seed is there of every arm" in markdown


def test_settings_of_each_arm(build_study: StudyBuilder, tmp_path: Path) -> None:
    study = build_study(2)
    details = {}
    for cell, detail in study.details.items():
        training = {"learning_rate": 0.002, "weight_decay": 0.05, "ema": None, "epochs": 60}
        if cell.startswith("puzzle_own"):
            training |= {"batch_norm": "split", "ema": 0.99 if cell.endswith("0") else 0.9}
        tasks = {"expression": {"dropout": 0.5}}
        if "puzzle" in cell:
            tasks["puzzle"] = {"grid": 2, "supervise": "both"}
        recipe = {"training": training, "tasks": tasks, "seed": 77}
        details[cell] = detail if cell.startswith("inpaint") else {**detail, "recipe": recipe}
    markdown, _ = pages(build_study(2, details=details), tmp_path)
    assert "| puzzle_own | 0.002 | 0.05 | 0.99 / 0.9 | split | 0.5 | both |" in markdown
    assert f"| supervised | 0.002 | 0.05 | none | {MISSING} | 0.5 | {MISSING} |" in markdown
    assert "| inpaint | 0.002" not in markdown
    plain, _ = pages(study, tmp_path)
    assert "What each arm was trained with" not in plain


@pytest.mark.parametrize(
    ("seed", "said"),
    [
        (100, "validation pictures of seed 100 alone, a seed of its own."),
        (1, "validation pictures of seed 1 alone, of which 1 is also compared."),
        (None, "of which seed was not recorded"),
    ],
)
def test_what_tuning_looked_at_is_told(
    build_study: StudyBuilder, tmp_path: Path, seed: int | None, said: str
) -> None:
    study = build_study(3)
    tuning = [{**trial, "seed": seed} for trial in study.tuning]
    if seed is None:
        tuning = [{k: v for k, v in trial.items() if k != "seed"} for trial in study.tuning]
    markdown, html = pages(build_study(3, tuning=tuning, details={}), tmp_path)
    for page in (markdown, html):
        assert said in page
        assert "can be test pictures of the seeds compared" in page
    assert "| puzzle_own | ssl_weight=0.3, lr=0.001 | yes | 65.20 | 20 | 90 |" in markdown
    assert "| puzzle_own | ssl_weight=0.1, lr=0.001 |  | 64.10 |" in markdown
    nested = {
        "training": {"learning_rate": 0.004, "clip": None},
        "tasks": {"puzzle": {"view": "own"}},
    }
    tuning = [{**study.tuning[0], "settings": nested}]
    markdown, _ = pages(build_study(3, tuning=tuning, details={}), tmp_path)
    assert "training.learning_rate=0.004, training.clip=null, tasks.puzzle.view=own" in markdown
    assert "Tuning chose" not in pages(build_study(3, tuning=[], details={}), tmp_path)[0]


def test_pictures_of_two_arms_are_compared_once_at_each_checkpoint(
    build_study: StudyBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[Any] = []

    def count(*arguments: Any, **options: Any) -> Any:
        compared.append(arguments)
        return paired_bootstrap(*arguments, **options)

    monkeypatch.setattr(study_outcomes, "paired_bootstrap", count)
    study = build_study(3, (1.0, 0.05))
    pages(study, tmp_path)
    methods = {row["arm"]: row["method"] for row in study.rows}
    controls = sum(method in CONTROLS for method in methods.values())
    assert len(compared) == 2 * 2 * controls * (len(methods) - controls)
