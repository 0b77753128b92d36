from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hybridface.config import DataConfig
from hybridface.data.prepare import PreparedData, prepare_data
from hybridface.data.sources import open_source
from hybridface.errors import DataError, UsageError

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache(hybridface_cache: Path) -> None:
    """Each test has a cache of its own."""


def prepare(
    source: str, columns: tuple[str, ...] = ("expression",), seed: int = 0, **options: Any
) -> PreparedData:
    return prepare_data(DataConfig(source=source, size=16, **options), columns, seed)


def names(data: PreparedData, split: str) -> set[str]:
    return {data.keys[row] for row in data.splits[split]}


@pytest.fixture
def faces(tmp_path: Path, write_picture: Write) -> Path:
    """Three classes with 20 training and 5 test pictures each, no two alike."""
    folder = tmp_path / "faces"
    for number, name in enumerate(("happy", "neutral", "sad")):
        for picture in range(25):
            split = "train" if picture < 20 else "test"
            write_picture(folder / split / name / f"{picture:02}.png", 100 * number + picture)
    return folder


@pytest.fixture
def flat(tmp_path: Path, write_picture: Write) -> Path:
    """Two classes of 30 pictures each, of no split."""
    for number in range(60):
        write_picture(tmp_path / "flat" / ("happy", "sad")[number % 2] / f"{number}.png", number)
    return tmp_path / "flat"


def test_splits_are_the_layouts_own_and_validation_is_cut_from_train(faces: Path) -> None:
    data = prepare(f"folder:{faces}", validation=0.2)
    assert {split: len(rows) for split, rows in data.splits.items()} == {
        "train": 48, "val": 12, "test": 15,
    }  # fmt: skip
    assert all(key.startswith("test/") for key in names(data, "test"))
    assert not names(data, "train") & names(data, "val")
    ids = data.labels["expression"].ids
    assert np.bincount(ids[data.splits["val"]]).tolist() == [4, 4, 4]
    assert data.labels["expression"].names == ("happy", "neutral", "sad")
    for row in (*data.splits["train"][:3], *data.splits["test"][:3]):
        pixels = np.asarray(Image.open(faces / data.keys[row]).resize((16, 16), Image.BOX))
        assert np.abs(pixels.astype(int) - data.images[row]).mean() < 12


def test_validation_of_the_layout_is_kept(faces: Path, write_picture: Write) -> None:
    for number, name in enumerate(("happy", "neutral", "sad")):
        write_picture(faces / "val" / name / "v.png", 900 + number)
    data = prepare(f"folder:{faces}", validation=0.5)
    assert names(data, "val") == {f"val/{name}/v.png" for name in ("happy", "neutral", "sad")}
    assert len(data.splits["train"]) == 60


def test_planted_duplicates_are_dropped_and_named(faces: Path) -> None:
    shutil.copy(faces / "test/happy/24.png", faces / "train/happy/copy.png")
    # Another file and another label, but the same pixels.
    Image.open(faces / "test/sad/21.png").save(faces / "train/neutral/other.bmp")
    data = prepare(f"folder:{faces}")
    planted = {"train/happy/copy.png", "train/neutral/other.bmp"}
    assert set(data.duplicates) | set(data.validation_duplicates) == planted
    assert not planted & (names(data, "train") | names(data, "val"))
    assert len(data.splits["test"]) == 15
    assert data.report()["dropped_duplicates"] == data.duplicates
    kept = prepare(f"folder:{faces}", drop_duplicates=False)
    assert kept.duplicates == kept.validation_duplicates == []
    assert planted <= names(kept, "train") | names(kept, "val")


def test_selection_sees_no_test_picture(faces: Path, write_picture: Write) -> None:
    for name in ("happy", "sad"):
        write_picture(faces / "val" / name / "own.png", 900 + len(name))
    shutil.copy(faces / "test/happy/24.png", faces / "val/happy/shown.png")
    shutil.copy(faces / "train/sad/03.png", faces / "val/sad/trained.png")
    data = prepare(f"folder:{faces}")
    assert data.validation_duplicates == ["val/happy/shown.png"]
    assert names(data, "val") == {"val/happy/own.png", "val/sad/own.png", "val/sad/trained.png"}
    assert data.duplicates == ["train/sad/03.png"]
    assert data.report()["dropped_duplicates"] == ["train/sad/03.png"]
    assert data.report()["dropped_from_validation"] == ["val/happy/shown.png"]


def test_what_validation_was_cut_from_leaks_nothing(flat: Path) -> None:
    for number in range(0, 20):  # each of these pictures is there twice
        name = ("happy", "sad")[number % 2]
        shutil.copy(flat / name / f"{number}.png", flat / name / f"again{number}.png")
    data = prepare(f"folder:{flat}", validation=0.3, folds={"count": 4})
    seen: dict[bytes, set[str]] = {}
    for split, rows in data.splits.items():
        for row in rows:
            seen.setdefault(data.images[row].tobytes(), set()).add(split)
    assert all(splits == {"train"} or "train" not in splits for splits in seen.values())
    assert data.duplicates


@pytest.fixture
def flawed(faces: Path) -> Path:
    (faces / "train/happy/broken.png").write_bytes(b"no picture")
    (faces / "test/sad/empty.png").write_bytes(b"")
    return faces


def test_pictures_that_do_not_decode_are_skipped_and_named(flawed: Path) -> None:
    data = prepare(f"folder:{flawed}")
    bad = {"train/happy/broken.png", "test/sad/empty.png"}
    assert {problem.where for problem in data.problems} == bad
    assert not bad & (names(data, "train") | names(data, "val") | names(data, "test"))
    report = json.loads(json.dumps(data.report()))
    assert {problem["where"] for problem in report["problems"]} == bad
    assert report["rows"] == {"train": 54, "val": 6, "test": 15}


def test_problems_are_refused_where_the_recipe_says_so(flawed: Path) -> None:
    with pytest.raises(DataError, match="2 problems, and") as caught:
        prepare(f"folder:{flawed}", problems="refuse")
    assert "train/happy/broken.png: " in str(caught.value)
    (flawed / "train/happy/broken.png").unlink()
    (flawed / "test/sad/empty.png").unlink()
    assert prepare(f"folder:{flawed}", problems="refuse").problems == []


def test_folds_take_every_row_to_the_test_once(flat: Path) -> None:
    folds = [
        prepare(f"folder:{flat}", folds={"count": 5, "test": test}, seed=test) for test in range(5)
    ]
    tests = [names(data, "test") for data in folds]
    assert sum(map(len, tests)) == 60
    assert len(set().union(*tests)) == 60
    for data, test in zip(folds, tests, strict=True):
        assert names(data, "train") | names(data, "val") | test == set(data.keys)
        assert np.bincount(data.labels["expression"].ids[data.splits["test"]]).tolist() == [6, 6]
    with pytest.raises(UsageError, match="numbered from 0 to 4"):
        prepare(f"folder:{flat}", folds={"count": 5, "test": 5})


def test_a_fold_without_rows_is_refused(flat: Path) -> None:
    persons = "drawn:16?pixels=16"  # four persons
    with pytest.raises(DataError, match=r"split 'test'.* fold 4 of 5 has none of them"):
        prepare(persons, validation=0.3, folds={"count": 5, "test": 4})
    assert len(prepare(persons, validation=0.3, folds={"count": 4, "test": 3}).splits["test"]) == 4


def test_folds_do_not_depend_on_the_runs_seed(flat: Path) -> None:
    first, second = (prepare(f"folder:{flat}", folds={"count": 3}, seed=seed) for seed in (0, 1))
    assert names(first, "test") == names(second, "test")
    assert names(first, "val") != names(second, "val")


def test_fractions_are_nested_and_touch_training_alone(faces: Path) -> None:
    source = f"folder:{faces}"
    drawn = [prepare(source, fraction=f, validation=0.2) for f in (0.25, 0.5, 1.0)]
    small, middle, whole = (names(data, "train") for data in drawn)
    assert small < middle < whole
    ids = drawn[0].labels["expression"].ids
    assert np.bincount(ids[drawn[0].splits["train"]]).tolist() == [4, 4, 4]
    for split in ("val", "test"):
        assert names(drawn[0], split) == names(drawn[2], split)
    again = prepare(source, fraction=0.25, validation=0.2)
    assert names(again, "train") == small
    other = prepare(source, fraction=0.25, validation=0.2, seed=1)
    assert names(other, "train") != small


def test_a_fraction_of_rows_that_have_one_label_or_the_other(
    tmp_path: Path, write_picture: Write
) -> None:
    lines = ["image,expression,sex"]
    for number in range(40):
        write_picture(tmp_path / f"{number}.png", number)
        label = ("happy", "sad")[number % 2]
        lines.append(f"{number}.png," + (f"{label}," if number < 20 else ",f"))
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    source = f"csv:{tmp_path / 'labels.csv'}?labels=expression,sex"
    for columns in (("expression", "sex"), ("sex", "expression")):
        whole, half = (
            prepare(source, columns, fraction=fraction, validation=0.2) for fraction in (1, 0.5)
        )
        for column in columns:
            counts = [(d.labels[column].ids[d.splits["train"]] >= 0).sum() for d in (whole, half)]
            assert counts == [16, 8]


def test_a_seed_of_the_data_overrides_that_of_the_run(faces: Path) -> None:
    config = DataConfig(source=f"folder:{faces}", size=16, fraction=0.25, seed=5)
    one, other = (prepare_data(config, ["expression"], seed) for seed in (0, 1))
    assert one.splits["train"].tolist() == other.splits["train"].tolist()


def test_persons_never_stand_on_both_sides() -> None:
    for seed in range(3):
        data = prepare("drawn:200?pixels=16", folds={"count": 4, "test": seed}, seed=seed)
        group = open_source("drawn:200?pixels=16").read().group
        assert group is not None
        persons = {split: set(group[rows]) for split, rows in data.splits.items()}
        assert persons["train"]
        assert not persons["train"] & persons["val"]
        assert not persons["train"] & persons["test"]
        assert not persons["val"] & persons["test"]


@pytest.fixture
def table(tmp_path: Path, write_picture: Write) -> str:
    """A table of 40 pictures; some lack one label, some both."""
    lines = ["image,expression,sex"]
    for number in range(40):
        write_picture(tmp_path / "table" / f"{number}.png", number)
        expression = "" if number % 4 == 0 else ("happy", "sad")[number % 2]
        sex = "" if number % 8 == 0 else ("f", "m")[number // 2 % 2]
        lines.append(f"{number}.png,{expression},{sex}")
    (tmp_path / "table" / "labels.csv").write_text("\n".join(lines) + "\n")
    return f"csv:{tmp_path / 'table' / 'labels.csv'}?labels=expression,sex"


def test_rows_without_any_label_asked_for_are_left_out_counted_and_named(table: str) -> None:
    data = prepare(table)
    used = np.concatenate(list(data.splits.values()))
    assert len(used) == 30
    assert (data.labels["expression"].ids[used] >= 0).all()
    assert "10 rows without a label" in data.notes
    assert [problem.where for problem in data.problems] == [f"{n}.png" for n in range(0, 40, 4)]
    assert {problem.what for problem in data.problems} == {"no label in column 'expression'"}
    both = prepare(table, ("expression", "sex"))
    used = np.concatenate(list(both.splits.values()))
    assert len(used) == 35
    assert (both.labels["expression"].ids[used] < 0).sum() == 5
    assert "5 rows without a label" in both.notes
    assert both.problems[0].what == "no label in column 'expression' or 'sex'"
    with pytest.raises(DataError, match="10 problems, and") as caught:
        prepare(table, problems="refuse")
    assert "  0.png: no label in column 'expression'" in str(caught.value)
    assert "data.problems=skip" in str(caught.value)


def test_unknown_label_columns_are_refused(faces: Path) -> None:
    with pytest.raises(UsageError, match="no label column 'mood'; it has: expression"):
        prepare(f"folder:{faces}", ("mood",))
    with pytest.raises(UsageError, match="no label column 'expression'; it has: mood"):
        prepare(f"folder:{faces}?label=mood")


def test_grey_pictures_are_as_good(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(20):
        place = tmp_path / "grey" / ("happy", "sad")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (20, 20), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")
    data = prepare(f"folder:{tmp_path / 'grey'}", validation=0.2)
    assert data.problems == []
    assert data.images.shape == (20, 16, 16, 3)
    assert (data.images == data.images[..., :1]).all()


def test_too_little_is_refused(tmp_path: Path, write_picture: Write) -> None:
    write_picture(tmp_path / "one" / "happy" / "1.png", 1)
    with pytest.raises(DataError, match="no row is left for the split 'val'"):
        prepare(f"folder:{tmp_path / 'one'}")
    (tmp_path / "bad" / "happy").mkdir(parents=True)
    (tmp_path / "bad" / "happy" / "1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="no row is left for the split 'train': 1 rows, 0 of them"):
        prepare(f"folder:{tmp_path / 'bad'}")
    lines = ["image,expression,person"]
    for number in range(6):
        write_picture(tmp_path / "person" / f"{number}.png", number)
        lines.append(f"{number}.png,{number % 2},anna")
    (tmp_path / "person" / "labels.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"'train': 6 rows.*all are of one person"):
        prepare(f"csv:{tmp_path / 'person' / 'labels.csv'}")
    (tmp_path / "person" / "tests.csv").write_text(
        "image,expression,split\n" + "\n".join(f"{each}.png,{each % 2},test" for each in range(6))
    )
    with pytest.raises(DataError, match=r"says of none that it is for training; data\.folds cuts"):
        prepare(f"csv:{tmp_path / 'person' / 'tests.csv'}")
    for number in range(6):
        write_picture(tmp_path / "equal" / "ab"[number % 2] / f"{number}.png", 7)
    with pytest.raises(DataError, match=r"'train': 6 rows, 6 of .* equal one of validation"):
        prepare(f"folder:{tmp_path / 'equal'}", validation=0.5)
    with pytest.raises(DataError, match=r"'train': 6 rows, 6 of .*; lower data.validation"):
        prepare(
            f"csv:{tmp_path / 'person' / 'labels.csv'}?group=&labels=expression", validation=0.9
        )
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"expected: .*\n  found: .*an empty folder"):
        prepare(f"folder:{tmp_path / 'empty'}")


def test_the_report_counts_classes_in_each_split(faces: Path) -> None:
    report = prepare(f"folder:{faces}", validation=0.2).report()
    counts = report["classes"]["expression"]
    assert counts["names"] == ["happy", "neutral", "sad"]
    assert counts["train"] == [16, 16, 16]
    assert counts["test"] == [5, 5, 5]
    assert report["source"] == f"folder:{faces}"


def test_the_source_is_left_alone(faces: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in faces.rglob("*")}
    prepare(f"folder:{faces}")
    assert {path: path.stat().st_mtime_ns for path in faces.rglob("*")} == before


def test_a_test_split_is_cut_from_validation_with_equal_pictures_together(
    tmp_path: Path, write_picture: Write
) -> None:
    """FER2013's held-out pictures hold each other's copies; half of them chooses, half reports."""
    folder = tmp_path / "twins"
    for number in range(24):
        write_picture(folder / "train" / ("happy", "sad")[number % 2] / f"{number}.png", number)
    for number in range(30):  # each picture stands there twice
        for twin in "ab":
            path = folder / "val" / ("happy", "sad")[number % 2] / f"{number}{twin}.png"
            write_picture(path, 1000 + number)
    halves = [prepare(f"folder:{folder}", test_part=0.5, seed=seed) for seed in (0, 1)]
    for data in halves:
        val, test = names(data, "val"), names(data, "test")
        assert len(val) == len(test) == 30
        assert all(key[:-5] + twin + ".png" in val for key in val for twin in "ab")
        assert all(key.startswith("val/") for key in val | test)
        assert not data.validation_duplicates
        assert len(data.splits["train"]) == 24
    assert names(halves[0], "test") == names(halves[1], "test")  # of whatever seed


@pytest.mark.parametrize("folds", [None, {"count": 3}])
def test_a_second_test_split_is_refused(
    folds: dict[str, int] | None, faces: Path, flat: Path
) -> None:
    source = f"folder:{flat if folds else faces}"
    with pytest.raises(UsageError, match=r"test_part: folder.* has a test split already"):
        prepare(source, test_part=0.5, folds=folds)
    with pytest.raises(UsageError, match=r"no validation split to cut it from"):
        prepare(f"folder:{flat}", test_part=0.5)


def test_numbers_are_columns_too() -> None:
    both = prepare("drawn:120?pixels=16", ["expression", "pose"])
    assert list(both.labels) == ["expression"]
    assert both.numeric["pose"].values.shape == (120, 3)
    assert both.column("pose") is both.numeric["pose"]
    assert both.groups is not None
    alone = prepare("drawn:120?pixels=16", ["expression"])
    for split in ("train", "val", "test"):
        assert np.array_equal(both.splits[split], alone.splits[split])
    said = json.loads(json.dumps(both.report()))["numbers"]["pose"]
    assert said["names"] == ["yaw", "pitch", "roll"]
    yaw = both.numeric["pose"].values[both.splits["train"], 0]
    assert said["train"]["count"] == [len(yaw)] * 3
    assert said["train"]["mean"][0] == pytest.approx(yaw.mean(), rel=1e-4)
    assert said["train"]["least"][0] == pytest.approx(yaw.min())


def test_a_fraction_of_numbers_is_spread_over_their_range_and_nested() -> None:
    whole, some, few = (
        prepare("drawn:500?pixels=16", ["pose"], fraction=f) for f in (1.0, 0.3, 0.1)
    )
    rows = [set(data.splits["train"].tolist()) for data in (whole, some, few)]
    assert rows[2] < rows[1] < rows[0]
    assert len(rows[2]) == pytest.approx(len(rows[0]) / 10, abs=6)
    yaw = whole.numeric["pose"].values[:, 0]
    edges = np.quantile(yaw[whole.splits["train"]], [0.2, 0.4, 0.6, 0.8])
    parts = np.bincount(np.digitize(yaw[few.splits["train"]], edges), minlength=5)
    assert parts.min() >= 0.4 * parts.max()
    for data in (some, few):
        for split in ("val", "test"):
            assert np.array_equal(data.splits[split], whole.splits[split])
