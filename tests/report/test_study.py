"""The page of a study: figures of the rows, honest about few seeds, whole without a network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from browser import needs_chromium, tab
from hybridface.errors import HybridFaceError
from hybridface.evaluation.statistics import paired_difference
from hybridface.report.study import StudyResult

from .helpers import StudyBuilder, changed, pages, values

HOSTILE = "<script>alert(1)</script>\\|x"


def test_page_is_one_file(rendered: tuple[StudyResult, str, str]) -> None:
    _, _, html = rendered
    assert "http" not in html
    assert "<script" not in html
    assert not re.search(r"url\((?!#)", html)
    addresses = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in addresses)
    assert html.count('role="img"') == 9


def test_tables_hold_the_figures_of_the_rows(rendered: tuple[StudyResult, str, str]) -> None:
    study, markdown, html = rendered
    for arm in ("supervised", "puzzle_own", "inpaint"):
        test, last = (values(study, arm, f"test_accuracy{part}") for part in ("", "_last"))
        for fractions in (test, last, values(study, arm, "val_accuracy")):
            percent = 100 * fractions
            text = f"{percent.mean():.2f} ± {percent.std(ddof=1):.2f}"
            assert text in markdown
            assert text in html
    for row in study.rows:
        assert f"| {100 * row['test_accuracy']:.2f} |" in markdown
        assert str(row["cell"]) in html


def test_comparisons_are_those_of_the_statistics(rendered: tuple[StudyResult, str, str]) -> None:
    study, markdown, html = rendered
    for control in ("supervised", "supervised_stretched", "supervised_two_views"):
        treated, other = (values(study, arm, "test_accuracy") for arm in ("puzzle_own", control))
        difference = paired_difference(treated, other)
        for text in (
            f"{100 * difference.mean:+.2f}",
            f"{100 * difference.low:+.2f} to {100 * difference.high:+.2f}",
            f"{100 * difference.smallest_detectable:.2f}",
        ):
            assert text in markdown
            assert text in html
    assert "equal compute" in markdown
    assert "5 shared seeds" in markdown
    assert "no evidence" not in markdown
    assert 'class="verdict higher"' in html
    assert "| puzzle_shared | supervised | equal epochs and compute | lower |" in markdown
    assert "| puzzle_shared | supervised_stretched | neither epochs nor compute equal |" in markdown


def test_markdown_and_html_agree(rendered: tuple[StudyResult, str, str]) -> None:
    study, markdown, html = rendered
    headings = re.findall(r"^## (.*)$", markdown, flags=re.M)
    assert headings == re.findall(r"<h2>(.*?)</h2>", html)
    for text in (*study.description, study.command, study.title, "abc1234", "ssl_weight=0.3"):
        assert text in markdown
        assert text in html
    assert "<svg" not in markdown


def test_nothing_is_warned_of_where_there_is_nothing(
    rendered: tuple[StudyResult, str, str],
) -> None:
    _, markdown, html = rendered
    assert "****" not in markdown
    assert not re.search(r'class="callout warning notice"[^>]*></p>', html)


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_are_no_evidence(build_study: StudyBuilder, tmp_path: Path, seeds: int) -> None:
    markdown, html = pages(build_study(seeds), tmp_path)
    assert "This is no evidence yet" in markdown
    assert "This is no evidence yet" in html
    assert "verdict higher" not in html
    assert "nan" not in markdown.lower().split()


def test_settings_with_seeds_enough_are_evidence(build_study: StudyBuilder, tmp_path: Path) -> None:
    study = build_study(3, (0.2, 1.0), details={})
    rows = [row for row in study.rows if row["fraction"] == 1 or row["seed"] == 0]
    markdown, _ = pages(build_study(3, rows=rows, details={}), tmp_path)
    assert "> **In part this is no evidence yet" in markdown
    rows = [row for row in study.rows if row["seed"] == 0]
    markdown, _ = pages(build_study(3, rows=rows, details={}), tmp_path)
    assert (
        "> **This is no evidence yet: the headline arm and its baseline share only 1 seed in "
        "rafdb, 20% of the labels; 1 seed in rafdb, all labels." in markdown
    )


def test_settings_are_kept_apart(build_study: StudyBuilder, tmp_path: Path) -> None:
    markdown, _ = pages(build_study(3, (0.2, 1.0), details={}), tmp_path)
    assert "## Differences to the supervised arms: rafdb, 20% of the labels" in markdown
    assert "## Differences to the supervised arms: rafdb, all labels" in markdown


def test_a_named_headline_is_kept(build_study: StudyBuilder, tmp_path: Path) -> None:
    markdown, _ = pages(build_study(3, headline="inpaint", details={}), tmp_path)
    assert "the headline arm inpaint, named by the study" in markdown


def test_no_details_still_make_a_page(build_study: StudyBuilder, tmp_path: Path) -> None:
    markdown, html = pages(build_study(3, details={}, tuning=[], command=""), tmp_path)
    assert "## Tuning" not in markdown
    assert "## Training" not in markdown
    assert "Predicted class" not in html


@pytest.mark.parametrize("dropped", [("supervised",), ("puzzle_own", "puzzle_shared", "inpaint")])
def test_missing_arms_still_make_a_page(
    build_study: StudyBuilder, tmp_path: Path, dropped: tuple[str, ...]
) -> None:
    study = build_study(3)
    rows = [row for row in study.rows if row["arm"] not in dropped]
    markdown, _ = pages(build_study(3, rows=rows), tmp_path)
    assert "no hybrid arm" in markdown or "no seed in common with supervised" in markdown
    assert "This is no evidence yet" in markdown


def test_hostile_text_is_escaped(build_study: StudyBuilder, tmp_path: Path) -> None:
    study = build_study(3)
    rows = changed(
        study,
        lambda row: {
            **row,
            "arm": HOSTILE if row["arm"] == "puzzle_own" else row["arm"],
            "machine": HOSTILE,
        },
    )
    markdown, html = pages(build_study(3, rows=rows, title=HOSTILE, command=HOSTILE), tmp_path)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    tables = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert not any("<script" in line for line in tables)
    said = [line for line in tables if "alert" in line]
    assert said
    assert all("&lt;script>alert(1)&lt;/script>\\&#124;x" in line for line in said)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test_accuracy": 61.0}, "test_accuracy"),
        ({"seed": 0}, "has seed 0 twice"),
        ({"steps": None}, "steps"),
        ({"test_accuracy": 0.123}, "of the recorded pictures are right"),
    ],
)
def test_broken_rows_are_named(
    build_study: StudyBuilder, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    study = build_study(2)
    rows = [{**row, **change} if row["cell"] == "puzzle_own-0.2-1" else row for row in study.rows]
    with pytest.raises(HybridFaceError, match=rf"puzzle_own.*{message}"):
        pages(build_study(2, rows=rows), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test_correct": "zz"}, "not hex"),
        ({"test_correct": "ff"}, "8 bits for 400 pictures"),
        ({"confusion": [[1, 2]]}, "one row and one column"),
        ({"curve": [[1]]}, "curve"),
    ],
)
def test_broken_details_are_named(
    build_study: StudyBuilder, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    study = build_study(2)
    cell = "puzzle_own-0.2-1"
    details = {**study.details, cell: {**study.details[cell], **change}}
    with pytest.raises(HybridFaceError, match=rf"{cell}.*{message}"):
        pages(build_study(2, details=details), tmp_path)


def test_an_empty_study_is_refused(build_study: StudyBuilder, tmp_path: Path) -> None:
    with pytest.raises(HybridFaceError, match="no cell has finished"):
        pages(build_study(2, rows=[]), tmp_path)


@pytest.mark.browser
@needs_chromium
def test_a_browser_shows_the_headline(build_study: StudyBuilder, tmp_path: Path) -> None:
    pages(build_study(3), tmp_path)
    with tab(tmp_path / "profile") as shown:
        shown.open(tmp_path / "study.html", 1280)
        headline = "the headline arm puzzle_own, chosen on validation"
        assert headline in shown.ask("document.body.innerText")
        assert shown.ask("document.querySelectorAll('svg').length") == 9
        assert shown.complaints == []
        assert shown.requests == [(tmp_path / "study.html").as_uri()]
