"""The page of a check: what it shows, and what it holds back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from browser import needs_chromium, tab
from hybridface.data.check.findings import Checked, check_data
from hybridface.data.drawn_faces import EXPRESSIONS, draw_faces
from hybridface.report.data_page import write_data_page
from planted import changed

NOTICE = "It must not be published unless the licence of the data set allows that."
BLANK = "[...document.images].filter(i => !i.complete || !i.naturalWidth || !i.alt).length"
UNNAMED = "document.querySelectorAll('svg:not([role=img][aria-label])').length"
WIDTH = "document.documentElement.scrollWidth"
HEADINGS = "[...document.querySelectorAll('h2')].map(e => e.innerText)"


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """Check faces with copies across splits and a broken file, together with drawn ones."""
    place = tmp_path_factory.mktemp("checked")
    drawn = draw_faces(6, 30, 64)
    for number, (pixels, ids) in enumerate(zip(drawn.images, drawn.expression, strict=True)):
        save(place / "set" / ("test" if number % 3 == 0 else "train") / EXPRESSIONS[ids]
             / f"{number}<b>.png", pixels)  # fmt: skip
    first = next((place / "set" / "test").rglob("*.png"))
    shutil.copy(first, place / "set" / "train" / EXPRESSIONS[0] / "copy.png")
    save(place / "set/train" / EXPRESSIONS[1] / "near.png", changed(drawn.images[3], "mirrored"))
    (place / "set/train" / EXPRESSIONS[1] / "broken.png").write_bytes(b"no picture")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDFACE_CACHE", str(place / "cache"))
        return check_data([f"folder:{place / 'set'}", "drawn:50?pixels=48"])


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_the_page_shows_counts_and_copies(checked: Checked, tmp_path: Path) -> None:
    out = tmp_path / "new" / "page.html"
    write_data_page(checked, out)
    page = out.read_text()
    assert NOTICE in page
    assert page.count("<img ") == 2
    assert "copy.png" in page
    assert "broken.png" in page
    assert "1 group of equal pictures across splits" in page
    assert "<b>" not in page
    for part in ("expression", "yaw", "Brightness", "Persons"):
        assert part in page


def test_no_picture_nor_name_where_none_is_wanted(checked: Checked, tmp_path: Path) -> None:
    write_data_page(checked, tmp_path / "page.html", pictures=False)
    page = (tmp_path / "page.html").read_text()
    assert NOTICE not in page
    assert "<img" not in page
    assert "copy.png" not in page
    assert "broken.png" not in page
    assert "1 broken file." in page


def test_a_small_sound_data_set_makes_a_page(tmp_path: Path, hybridface_cache: Path) -> None:
    write_data_page(check_data(["drawn:3?pixels=32"]), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "No broken file" in page
    assert NOTICE not in page


@pytest.mark.browser
@needs_chromium
def test_a_browser_shows_it_from_a_phone_to_a_desk(checked: Checked, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    write_data_page(checked, out)
    with tab(tmp_path / "profile") as shown:
        for width in (360, 768, 1200):
            shown.open(out, width)
            assert shown.ask(WIDTH) <= width
            assert [shown.ask(each) for each in (BLANK, UNNAMED)] == [0, 0]
            assert "Duplicates" in shown.ask(HEADINGS)
        assert shown.complaints == []
        assert set(shown.requests) == {out.as_uri()}
