from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hybridface.data.cache import open_cache
from hybridface.data.source import MISSING, Problem, Rows
from hybridface.data.sources import fer2013 as fer2013_module
from hybridface.data.sources import open_source
from hybridface.errors import DataError

pytestmark = pytest.mark.usefixtures("hybridface_cache")

ORIGINAL = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def grey_cell(seed: int) -> str:
    return " ".join(map(str, np.random.default_rng(seed).integers(0, 256, 48 * 48)))


def read_fer(path: Path, *lines: str) -> Rows:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return open_source(f"fer2013:{path}").read()


def test_fer2013(tmp_path: Path) -> None:
    rows = read_fer(
        tmp_path / "fer2013.csv",
        "emotion,pixels,Usage",
        f"0,{grey_cell(1)},Training",
        f"6,{grey_cell(2)},PublicTest",
        f"3,{grey_cell(3)},PrivateTest",
    )
    assert rows.keys == ["fer2013.csv:2", "fer2013.csv:3", "fer2013.csv:4"]
    assert rows.split.tolist() == ["train", "val", "test"]
    assert rows.labels["expression"].names == ORIGINAL
    assert rows.labels["expression"].ids.tolist() == [0, 6, 3]
    source = open_source(f"fer2013:{tmp_path}")
    for decoded, seed in zip(source.decode(source.read(), [2, 0]), (3, 1), strict=True):
        assert isinstance(decoded, np.ndarray)
        expected = np.random.default_rng(seed).integers(0, 256, (48, 48))
        for channel in range(3):
            np.testing.assert_array_equal(decoded[..., channel], expected)


def test_fer2013_is_read_where_nothing_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("HYBRIDFACE_CACHE", str(tmp_path / "a file"))
    rows = read_fer(tmp_path / "fer2013.csv", "emotion,pixels", f"1,{grey_cell(1)}")
    (pixels,) = open_source(f"fer2013:{tmp_path}").decode(rows, [0])
    assert isinstance(pixels, np.ndarray) and pixels.shape == (48, 48, 3)


@pytest.mark.parametrize("name", ["icml_face_data.csv", "train.csv", "fer2013/fer2013.csv"])
def test_fer2013_newer_form(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(f"emotion, Usage, pixels\n4,PublicTest,{grey_cell(1)}\n")
    rows = open_source(f"fer2013:{tmp_path}").read()
    assert rows.split.tolist() == ["val"]
    assert rows.labels["expression"].ids.tolist() == [4]


def test_fer2013_without_usage_has_no_splits(tmp_path: Path) -> None:
    rows = read_fer(tmp_path / "train.csv", "emotion,pixels", f"1,{grey_cell(1)}")
    assert rows.split.tolist() == [""]
    assert rows.notes == ["train.csv has no column Usage: no splits"]


def test_fer2013_bad_rows_are_named(tmp_path: Path) -> None:
    good = grey_cell(1)
    rest = good.split(" ", 1)[1]
    rows = read_fer(
        tmp_path / "fer2013.csv",
        "emotion,pixels,Usage",
        f"0,{good},Training",
        f"0,{rest},Training",
        f"0,x {rest},Training",
        f"0,256 {rest},Training",
        f"0,-1 {rest},Training",
        f"0,1.5 {rest},Training",
        f"0,{good},Holiday",
        f"7,{good},Training",
        f",{good},Training",
        f"²,{good},Training",
    )
    assert rows.keys == [f"fer2013.csv:{line}" for line in (2, 9, 10, 11)]
    assert rows.labels["expression"].ids.tolist() == [0, MISSING, MISSING, MISSING]
    what = {problem.where: problem.what for problem in rows.problems}
    assert sorted(what, key=lambda where: int(where.rpartition(":")[2])) == [
        f"fer2013.csv:{line}" for line in range(3, 12)
    ]
    assert what["fer2013.csv:3"].startswith("2303 pixels, expected 2304")
    for line, pixel in ((4, "x"), (5, "256"), (6, "-1"), (7, "1.5")):
        assert what[f"fer2013.csv:{line}"].startswith(
            f"pixel '{pixel}', expected whole numbers from 0 to 255"
        )
    assert what["fer2013.csv:8"] == "unknown Usage 'Holiday'; row left out"
    assert what["fer2013.csv:9"] == "unknown label '7', expected 0 to 6"


def test_fer2013_rows_of_no_known_usage_are_counted_together(tmp_path: Path) -> None:
    good = grey_cell(1)
    lines = [f"0,{good},{usage}" for usage in ("Training", "Holiday", "", "Work")]
    rows = read_fer(tmp_path / "fer2013.csv", "emotion,pixels,Usage", *lines)
    assert rows.keys == ["fer2013.csv:2"]
    what = "unknown Usage 'Holiday'; row left out; 3 rows, this is the first"
    assert rows.problems == [Problem("fer2013.csv:3", what)]


def test_fer2013_that_is_not_one_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found: an empty folder"):
        open_source(f"fer2013:{tmp_path}").read()
    for lines, found in (
        (["a,b", "1,2"], "has the columns a, b; expected emotion, pixels"),
        (["emotion,pixels,Usage"], "no usable row"),
        (["emotion,pixels,Usage", "0,1 2,Training"], "fer2013.csv:2: 2 pixels, expected 2304"),
    ):
        with pytest.raises(DataError) as raised:
            read_fer(tmp_path / "fer2013.csv", *lines)
        assert found in str(raised.value)


def test_fer2013_is_parsed_once_and_cached_by_content(
    tmp_path: Path, hybridface_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fer2013.csv"
    rows = read_fer(path, "emotion,pixels,Usage", f"0,{grey_cell(1)},Training")
    source = open_source(f"fer2013:{path}")
    assert source.read() is source.read()
    first = open_cache(source, rows, 48)
    assert (
        first.images[0, :, :, 0].tolist()
        == np.array(grey_cell(1).split(), dtype=int).reshape(48, 48).tolist()
    )
    read_fer(path, "emotion,pixels,Usage", f"0,{grey_cell(2)},Training")
    changed = open_source(f"fer2013:{path}")
    assert open_cache(changed, changed.read(), 48).folder != first.folder


def test_fer2013_is_parsed_at_the_first_start_only(
    tmp_path: Path, hybridface_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["emotion,pixels", f"0,{grey_cell(1)}", "3,1 2", f"9,{grey_cell(2)}"]
    first = read_fer(tmp_path / "train.csv", *lines)
    with monkeypatch.context() as patch:
        patch.setattr(fer2013_module, "open_table", None)
        source = open_source(f"fer2013:{tmp_path}")
        again = source.read()
        decoded = source.decode(again, [1])[0]
    assert (again.keys, again.notes, again.problems) == (first.keys, first.notes, first.problems)
    assert len(again.problems) == 2
    np.testing.assert_array_equal(again.split, first.split)
    labels = again.labels["expression"]
    assert labels.names == ORIGINAL
    assert labels.ids.dtype == np.int64
    assert labels.ids.tolist() == [0, MISSING]
    assert isinstance(decoded, np.ndarray)
    expected = np.array(grey_cell(2).split(), dtype=int).reshape(48, 48)
    np.testing.assert_array_equal(decoded[..., 0], expected)
    # Of another name the same content has other keys.
    (tmp_path / "train.csv").rename(tmp_path / "fer2013.csv")
    assert open_source(f"fer2013:{tmp_path}").read().keys[0] == "fer2013.csv:2"


@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
def test_fer2013_is_parsed_again_where_what_was_kept_is_damaged(
    tmp_path: Path, hybridface_cache: Path, damage: bytes | None
) -> None:
    lines = ["emotion,pixels", f"5,{grey_cell(1)}"]
    first = read_fer(tmp_path / "train.csv", *lines)
    [store] = (hybridface_cache / "tables").iterdir()
    whole = store.read_bytes()
    store.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    source = open_source(f"fer2013:{tmp_path}")
    assert source.read().keys == first.keys
    assert store.stat().st_size == len(whole)
    store.unlink()
    assert isinstance(source.decode(source.read(), [0])[0], np.ndarray)


@pytest.mark.parametrize(
    "cell", ["7", "00000000099", "0" * 5000, "9" * 5000, "\u0661", "\u00b2", "-1"]
)
def test_no_cell_is_a_class_that_is_not_there(cell: str) -> None:
    assert fer2013_module.class_number(cell) == MISSING
