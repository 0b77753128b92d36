"""A run's page in a real browser: nothing complained of, nothing asked for, nothing cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from browser import needs_chromium, tab
from hybridface.report.run import write_run_report
from hybridface.training.train import TrainedRun

SECTIONS = [
    "Results",
    "Learning curves",
    "Which classes are mistaken for which",
    "Calibration",
    "Worst mistakes",
    "What the self-supervised tasks see",
    "The data",
    "How it was made",
]
SHOWN = "filter(e => e.checkVisibility() && e.textContent.trim())"
HEADINGS = f"[...document.querySelectorAll('h2')].{SHOWN}.map(e => e.innerText)"
# Pictures that did not load, figures and pictures that say nothing to who does not see them.
BLANK = "[...document.images].filter(i => !i.complete || !i.naturalWidth || !i.alt).length"
UNNAMED = "document.querySelectorAll('svg:not([role=img][aria-label])').length"
HEADLESS = "document.querySelectorAll('table:not(:has(thead th[scope=col]))').length"
TEXTS = f"[...document.querySelectorAll('p, td, th, figcaption, svg text')].{SHOWN}"
# An SVG scales its text: what counts is the height on the screen, the size of the font times it.
SMALLEST = (
    f"Math.min(...{TEXTS}.map(e => parseFloat(getComputedStyle(e).fontSize)"
    " * (e.getScreenCTM ? Math.hypot(e.getScreenCTM().b, e.getScreenCTM().d) : 1)))"
)
WIDTH = "document.documentElement.scrollWidth"


@pytest.mark.browser
@needs_chromium
def test_a_browser_shows_every_section_and_asks_for_nothing(
    tiny_run: TrainedRun, drawn_cache: Path, tmp_path: Path
) -> None:
    page = write_run_report(tiny_run.folder, tmp_path / "page.html")
    with tab(tmp_path / "profile") as shown:
        for width in (1280, 390):
            shown.open(page, width)
            assert shown.ask(HEADINGS) == SECTIONS
            assert shown.ask(WIDTH) <= width
            assert shown.ask(SMALLEST) >= 9.5
            assert [shown.ask(each) for each in (BLANK, UNNAMED, HEADLESS)] == [0, 0, 0]
        mistakes = tiny_run.result["test"]["count"] - sum(
            row[place] for place, row in enumerate(tiny_run.result["test"]["confusion"]["counts"])
        )
        album = shown.ask("document.querySelectorAll('.album img').length")
        assert album == min(24, mistakes) > 0
        assert shown.complaints == []
        assert set(shown.requests) == {page.as_uri()}


@pytest.mark.browser
@needs_chromium
def test_what_the_test_looks_for_would_be_seen(tmp_path: Path) -> None:
    """The instrument itself, on a page with every fault."""
    page = tmp_path / "page.html"
    page.write_text(
        "<meta name=viewport content='width=device-width'><h2>A</h2><h2 hidden>B</h2>"
        "<img src='missing.png'><svg></svg><table></table>"
        "<p style='font-size: 5px; width: 900px'>small</p>"
        "<script>console.error('said'); fetch('http://127.0.0.1:9/asked').catch(() => 0)</script>"
    )
    with tab(tmp_path / "profile") as shown:
        shown.open(page, 390)
        assert shown.ask(HEADINGS) == ["A"]
        assert [shown.ask(each) for each in (BLANK, UNNAMED, HEADLESS)] == [1, 1, 1]
        assert shown.ask(SMALLEST) == 5
        assert shown.ask(WIDTH) >= 900
        assert any("said" in each for each in shown.complaints)
        asked = {page.as_uri(), (tmp_path / "missing.png").as_uri(), "http://127.0.0.1:9/asked"}
        assert set(shown.requests) == asked
