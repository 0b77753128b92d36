"""Figures are inline SVG: readable text, no outside references, odd names harmless."""

from __future__ import annotations

import base64
import io
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from hybridface.evaluation.calibration import reliability
from hybridface.evaluation.statistics import Interval
from hybridface.report.data_figures import class_bars
from hybridface.report.figures import (
    Curve,
    Dots,
    Gain,
    confusion_matrix,
    dot_intervals,
    gain_versus_compute,
    learning_curves,
    reliability_diagram,
)
from hybridface.report.pictures import contact_rows, data_address
from hybridface.report.svg import MOST_OF_CLASS, shown

HOSTILE = "</text><script>$x_{$ --> &amp; _é表"


def texts(svg: str) -> list[str]:
    return [(element.text or "").strip() for element in ElementTree.fromstring(svg).iter("text")]


def draw_all(name: str) -> list[str]:
    interval = Interval(0.5, 0.4, 0.6)
    return [
        learning_curves([Curve(name, [1, 2, 3], [1.0, math.nan, 2.0], 1)], "Epoch", "Loss", name),
        confusion_matrix([[3, 1], [0, 4]], [name, "happy"], name),
        dot_intervals([Dots(name, interval, 0, [0.45, 0.55])], "Accuracy (%)", name, scale=100),
        gain_versus_compute([Gain(name, 2.0, interval, 3)], "Time", "Points", name),
    ]


@pytest.mark.parametrize("name", ["puzzle_own", "_hidden", HOSTILE])
def test_every_figure_is_closed_and_well_formed(name: str) -> None:
    for svg in draw_all(name):
        root = ElementTree.fromstring(svg)
        assert root.tag == "svg"
        assert root.get("role") == "img"
        assert root.get("aria-label") == name
        assert "http" not in svg
        assert "<script" not in svg
        assert {shown(name).strip(), shown(name, MOST_OF_CLASS).strip()} & set(texts(svg))


def test_references_inside_a_figure_hold() -> None:
    for svg in draw_all("arm"):
        wanted = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
        assert wanted <= set(re.findall(r' id="([^"]+)"', svg))


def test_two_figures_of_a_page_share_no_id() -> None:
    first, second = (
        learning_curves([Curve("a", [1, 2, 3], [1, 2, 3], 0)], "Epoch", "Loss", alt)
        for alt in ("one", "two")
    )
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_the_same_figure_is_the_same_text() -> None:
    assert draw_all("arm") == draw_all("arm")


def test_learning_curves_name_axes_and_mark() -> None:
    curves = [Curve("training", [1, 2, 3], [1, 2, 3], 1), Curve("validation", [1], [2], 2)]
    svg = learning_curves(curves, "Epoch", "Loss (no unit)", "alt", mark=2, mark_name="kept")
    assert {"Epoch", "Loss (no unit)", "training", "validation", "kept"} <= set(texts(svg))


def test_confusion_matrix_writes_every_count() -> None:
    svg = confusion_matrix([[31, 7], [0, 1234]], ["sad", "happy"], "alt")
    assert {"31", "7", "0", "1234", "True class", "Predicted class"} <= set(texts(svg))


@pytest.mark.filterwarnings("error")  # as of matplotlib, where names leave the axes no room
def test_long_names_of_classes_are_shortened() -> None:
    names = ["W" * 200, "M" * 200]
    for svg in (
        confusion_matrix([[31, 7], [0, 1234]], names, "alt"),
        class_bars(names, {"train": [3, 2], "val": [1, 1]}, "alt"),
    ):
        assert {"W" * 19 + "…", "M" * 19 + "…"} <= set(texts(svg))


def test_a_confusion_matrix_is_drawn_without_pixels() -> None:
    """Pages under ``docs`` hold no pictures, so that none of a data set can slip in."""
    assert "data:image" not in confusion_matrix([[31, 7], [0, 1234]], ["sad", "happy"], "alt")


def test_large_confusion_matrix_leaves_the_counts_out() -> None:
    svg = confusion_matrix(np.full((14, 14), 777), [f"c{index}" for index in range(14)], "alt")
    assert "777" not in texts(svg)
    assert "c13" in texts(svg)


def test_a_reliability_diagram_has_a_point_for_each_filled_bin() -> None:
    def drawn(*confidence: float) -> str:
        values = np.array(confidence)
        svg = reliability_diagram(reliability(values, values > 0.5), "alt")
        shown = {"Accuracy (%)", "Confidence in the predicted class (%)", "Pictures"}
        assert shown | {"perfect calibration", "right", "wrong"} <= set(texts(svg))
        assert ElementTree.fromstring(svg).get("aria-label") == "alt"
        return svg

    # Ticks and the points are what is drawn by <use>; bars of one picture have the same ticks.
    assert drawn(0.0, 0.41, 0.75, 1.0).count("<use") - drawn(0.41).count("<use") == 3


def test_text_stays_readable_on_a_phone() -> None:
    """A figure scrolls before its text of 12 points is less than 10 pixels high."""
    for svg in draw_all("arm"):
        root = ElementTree.fromstring(svg)
        units = float(str(root.get("viewBox")).split()[2])
        least = re.search(r"min-width:(\d+)px", str(root.get("style")))
        assert least is not None
        assert 12 * float(least[1]) / units > 10


def test_intervals_without_bounds_are_drawn() -> None:
    nothing = Interval(0.5, math.nan, math.nan)
    assert "one seed" in texts(dot_intervals([Dots("one seed", nothing, 0)], "x", "alt"))
    assert "one seed" in texts(
        gain_versus_compute([Gain("one seed", 1, nothing, 0)], "x", "y", "a")
    )


def test_data_address_is_the_picture() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    address = data_address(pixels)
    head, _, content = address.partition(",")
    assert head == "data:image/png;base64"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))), pixels)


def test_large_pictures_are_made_smaller() -> None:
    content = data_address(np.zeros((400, 200, 3), np.uint8)).partition(",")[2]
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == (80, 160)


def test_contact_rows_keep_order_and_pair_pictures() -> None:
    def pictures(count: int, value: int) -> np.ndarray:
        return np.full((count, 4, 4, 3), value, np.uint8)

    samples = {
        "puzzle/intact": pictures(9, 1),
        "inpaint/masked": pictures(2, 2),
        "puzzle/dealt": pictures(7, 3),
    }
    puzzle, inpaint = contact_rows(samples, "arm: ", limit=5)
    assert (puzzle.caption, puzzle.heads, len(puzzle.rows)) == (
        "arm: puzzle",
        ["intact", "dealt"],
        5,
    )
    assert (inpaint.caption, inpaint.heads, len(inpaint.rows)) == ("arm: inpaint", ["masked"], 2)
    assert puzzle.rows[0][0].address == data_address(pictures(1, 1)[0])
    assert puzzle.rows[4][1].alt == "puzzle, dealt, picture 5"
