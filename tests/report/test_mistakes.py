"""The worst mistakes: the right ones, their own pictures, and what stands there without these."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hybridface.evaluation.numeric_predictions import NumericPredictions
from hybridface.evaluation.predictions import TaskPredictions
from hybridface.evaluation.run_predictions import load_run_predictions
from hybridface.images import read as read_picture
from hybridface.report.mistakes import worst_mistakes
from hybridface.report.pictures import data_address
from hybridface.report.run import write_run_report

from .conftest import CLASSES
from .helpers import RunBuilder, read

# The odd pictures are taken for the next class, the later the surer; 19 has no label.
WRONG = [17, 15, 13, 11, 9, 7, 5, 3, 1]
NOTICE = "This page holds pictures of the data set (drawn:4000). It must not be published"


def album(page: Path) -> list[tuple[str, str, list[str]]]:
    """Return address, alternative text and lines of every picture of a page's album."""
    entries = re.findall(
        r'<li><figure>\s*<img src="(.*?)" alt="(.*?)">(.*?)</figure>',
        page.read_text(encoding="utf-8"),
        re.S,
    )
    return [(src, alt, re.findall("<div>(.*?)</div>", lines)) for src, alt, lines in entries]


def test_the_surest_mistakes_come_first_with_their_pictures(
    predicted_run: RunBuilder, tmp_path: Path
) -> None:
    page = write_run_report(predicted_run())
    shown = album(page)
    assert len(shown) == len(WRONG)
    for number, (address, alt, lines) in zip(WRONG, shown, strict=True):
        truth, predicted = CLASSES[number // 5], CLASSES[(number // 5 + 1) % 4]
        key = f"{truth}/{number:02}.png"
        assert address == data_address(read_picture(tmp_path / "faces" / key))
        assert f"true class {truth}, predicted {predicted}" in alt
        sure = f"confidence: {50 + 2 * number}.00%"
        assert lines == [f"true: {truth}", f"predicted: {predicted}", sure, key]
    text = read(page).text
    assert "Of the test set, 9 of 19 pictures are taken for another class" in text
    assert NOTICE in text


def test_so_many_are_shown_as_are_asked_for(predicted_run: RunBuilder) -> None:
    folder = predicted_run()
    assert len(album(write_run_report(folder, mistakes=2))) == 2
    none = write_run_report(folder, mistakes=0)
    assert album(none) == []
    assert "Taken for another class: 9 of 19 pictures of the test set." in read(none).text


def test_twenty_four_unless_asked_otherwise(predicted_run: RunBuilder) -> None:
    count = 60
    folder = predicted_run(
        test_keys=np.array(["angry/00.png"] * count),
        test_labels=np.ones(count, int),
        test_probabilities=np.tile(np.float32([0.7, 0.1, 0.1, 0.1]), (count, 1)),
    )
    assert len(album(write_run_report(folder))) == 24


def test_without_pictures_there_is_neither_picture_nor_name(predicted_run: RunBuilder) -> None:
    page = write_run_report(predicted_run(), pictures=False)
    found = read(page)
    assert "img" not in found.tags
    assert ".png" not in found.text
    assert "Pictures and their names are left out of this page, as asked." in found.text
    assert "sad angry 84.00" in found.text
    assert "1 duplicate of held-out pictures dropped from training." in found.text
    assert "must not be published" not in found.text


def gone(faces: Path) -> None:
    shutil.rmtree(faces)


def changed(faces: Path) -> None:
    shutil.copy(faces / "angry" / "00.png", faces / "happy" / "07.png")


def renamed(faces: Path) -> None:
    (faces / "sad").rename(faces / "unhappy")


def grown(faces: Path) -> None:
    shutil.copy(faces / "angry" / "00.png", faces / "happy" / "extra.png")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (gone, "is not a data set of kind"),
        (changed, "the data set has changed since"),
        (renamed, "the data set has changed since"),
        (grown, "the data set has changed since"),
    ],
)
def test_where_the_data_is_no_longer_what_it_was_the_page_says_so(
    change: Callable[[Path], None], says: str, predicted_run: RunBuilder, tmp_path: Path
) -> None:
    folder = predicted_run()
    change(tmp_path / "faces")
    page = write_run_report(folder)
    assert album(page) == []
    text = read(page).text
    assert re.search(f"The pictures cannot be shown: folder:[^ ]*/faces: [^.]*{says}", text)
    assert "sad/17.png sad angry 84.00" in text


def test_a_picture_that_does_not_decode_is_said_to(
    predicted_run: RunBuilder, tmp_path: Path
) -> None:
    folder = predicted_run(fingerprint="")  # as of a run that kept none
    (tmp_path / "faces" / "sad" / "17.png").write_bytes(b"no picture")
    page = write_run_report(folder)
    assert len(album(page)) == len(WRONG) - 1
    assert "not a picture that can be read true: sad predicted: angry" in read(page).text


def test_no_mistake_is_no_album(predicted_run: RunBuilder) -> None:
    right = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0)
    text = read(write_run_report(predicted_run(test_probabilities=right))).text
    assert "Taken for another class: 0 of 19 pictures of the test set." in text


def test_equally_sure_mistakes_keep_their_order() -> None:
    task = TaskPredictions(
        label="expression",
        classes=("a", "b"),
        keys=np.array(["0", "1", "2", "3"]),
        targets=np.array([0, 0, 1, 0]),
        probabilities=np.float32([[0.2, 0.8], [0.1, 0.9], [0.3, 0.7], [0.2, 0.8]]),
    )
    assert [each.key for each in worst_mistakes(task, 9)] == ["1", "0", "3"]
    first = worst_mistakes(task, 1)[0]
    assert (first.truth, first.predicted) == ("a", "b")
    assert first.confidence == pytest.approx(0.9)


def test_each_task_has_its_own_sections(
    predicted_run: RunBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = predicted_run()
    kept = load_run_predictions(folder)["test"]
    task = kept.tasks["expression"]
    gender = TaskPredictions(
        label="gender",
        classes=("female", "male"),
        keys=task.keys,
        targets=task.targets % 2,
        probabilities=np.tile(np.float32([0.75, 0.25]), (len(task.keys), 1)),
    )
    both = replace(kept, tasks={"expression": task, "gender": gender})
    monkeypatch.setattr("hybridface.report.run.load_run_predictions", lambda _: {"test": both})
    text = read(write_run_report(folder)).text
    for title in ("Calibration", "Worst mistakes"):
        assert f"{title}: expression" in text
        assert f"{title}: gender" in text
    assert "true: male predicted: female confidence: 75.00%" in text
    ages = NumericPredictions(
        "age", "regression", ("age",), "years", task.keys, np.ones((len(task.keys), 1)),
        np.ones((len(task.keys), 2)),
    )  # fmt: skip
    one = replace(kept, tasks={"expression": task}, numbers={"age": ages})
    monkeypatch.setattr("hybridface.report.run.load_run_predictions", lambda _: {"test": one})
    text = read(write_run_report(folder)).text
    assert "Calibration: expression" in text and "Errors of age by what is true" in text


def test_hostile_names_are_text(predicted_run: RunBuilder, tmp_path: Path) -> None:
    hostile, odd = "<img src=x onerror=alert(1)>", "caf\udce9/\u202e.png"
    keys = np.array([odd] * 20)
    folder = predicted_run(classes=(hostile, "value", "rest", "higher"), test_keys=keys)
    page = write_run_report(folder)
    assert "<img src=x" not in page.read_text()
    text = read(page).text
    assert f"{odd.encode('utf-8', 'replace').decode()} higher {hostile} 84.00" in text
    assert "verdict" not in page.read_text().partition("<body>")[2]
