"""Several data sets in one run: rows, labels, splits, what is held out, how often rows come."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hybridface.config import DataConfig
from hybridface.data.batches import PictureBatches
from hybridface.data.prepare import PreparedData, prepare_data
from hybridface.data.sources import from_one_line, in_one_line, open_source
from hybridface.errors import DataError, UsageError

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache(hybridface_cache: Path) -> None:
    """Each test has a cache of its own."""


@pytest.fixture
def faces(tmp_path: Path, write_picture: Write) -> Path:
    """Two classes of 20 pictures each, no two alike."""
    for number in range(40):
        name = ("happy", "sad")[number % 2]
        write_picture(tmp_path / "faces" / name / f"{number}.png", number)
    return tmp_path / "faces"


@pytest.fixture
def others(tmp_path: Path, write_picture: Write) -> Path:
    """The same classes and one more in another order and spelling, with splits of their own."""
    for number in range(30):
        name = ("Anger", "Sadness", "happiness")[number % 3]
        split = "train" if number < 21 else "test"
        write_picture(tmp_path / "others" / split / name / f"{number}.png", 100 + number)
    return tmp_path / "others"


@pytest.fixture
def ages(tmp_path: Path, write_picture: Write) -> Path:
    """Ten faces of 20 to 29 years, as UTKFace names them."""
    for number in range(10):
        write_picture(tmp_path / "ages" / f"{20 + number}_{number % 2}_0_2017.jpg", 200 + number)
    return tmp_path / "ages"


def prepare(columns: tuple[str, ...], sources: dict[str, Any], **options: Any) -> PreparedData:
    return prepare_data(DataConfig(sources=sources, size=16, **options), columns, 0)


def test_rows_and_labels_are_those_of_each(faces: Path, others: Path) -> None:
    sources = {"a": {"source": f"folder:{faces}"}, "b": {"source": f"folder:{others}"}}
    data = prepare(("expression",), sources)
    assert data.images.shape == (70, 16, 16, 3)
    labels = data.labels["expression"]
    assert labels.names == ("happy", "sad", "Anger")
    said = dict(zip(data.keys, labels.ids.tolist(), strict=True))
    assert said["a/happy/0.png"] == said["b/train/happiness/2.png"] == 0
    assert said["a/sad/1.png"] == said["b/train/Sadness/1.png"] == 1
    assert said["b/train/Anger/0.png"] == 2
    for number, (name, spec) in enumerate(data.sources.items()):
        alone = prepare_data(DataConfig(source=spec, size=16), ("expression",), 0)
        rows = np.flatnonzero(data.origin == number)
        assert [data.keys[row] for row in rows] == [f"{name}/{key}" for key in alone.keys]
        assert np.array_equal(data.images[rows], alone.images)
        for split in ("train", "val", "test"):
            mine = np.intersect1d(data.splits[split], rows) - rows[0]
            assert np.array_equal(mine, alone.splits[split])
    mixed = np.array([69, 0, 40, 3])
    one_by_one = np.concatenate([data.images[mixed[i : i + 1]] for i in range(4)])
    assert np.array_equal(data.images[mixed], one_by_one)


VOTED = """
import numpy as np
from hybridface.data.source import Labels, Rows, Source

class Voted(Source):
    layout = "PATH/NUMBER.png"

    def read(self):
        keys = sorted(path.name for path in self.root.glob("*.png"))
        votes = np.tile(np.array([0.25, 0.125, 0.5, 0.125], dtype=np.float32), (len(keys), 1))
        names = ("sad", "happy", "happiness", "bored")
        labels = Labels(names, np.full(len(keys), 2), votes)
        return Rows(keys, np.full(len(keys), "", dtype="U5"), {"expression": labels})
"""


def test_votes_for_classes_that_are_one_in_the_first_are_added_up(
    faces: Path, tmp_path: Path, write_picture: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        write_picture(tmp_path / "voted" / f"{number}.png", 300 + number)
    (tmp_path / "votes_of").mkdir()
    (tmp_path / "votes_of" / "several.py").write_text(VOTED)
    monkeypatch.syspath_prepend(str(tmp_path))
    voted = f"votes_of.several:Voted:{tmp_path / 'voted'}"
    data = prepare(("expression",), {"a": {"source": f"folder:{faces}"}, "b": {"source": voted}})
    labels = data.labels["expression"]
    assert labels.names == ("happy", "sad", "bored")
    assert labels.soft is not None
    first = data.origin == 0
    assert (labels.soft[~first] == np.array([0.625, 0.25, 0.125])).all()
    assert (labels.ids[~first] == 0).all()
    assert (labels.soft[first] == np.eye(3)[labels.ids[first]]).all()


def test_labels_that_a_data_set_lacks_are_missing(faces: Path, ages: Path) -> None:
    sources = {"a": {"source": f"folder:{faces}"}, "b": {"source": f"utkface:{ages}"}}
    data = prepare(("expression", "age"), sources, validation=0.3)
    first = data.origin == 0
    assert (data.labels["expression"].ids[first] >= 0).all()
    assert (data.labels["expression"].ids[~first] == -1).all()
    assert np.isnan(data.numeric["age"].values[first]).all()
    assert data.numeric["age"].values[~first, 0].tolist() == list(range(20, 30))
    batch = PictureBatches(data, np.arange(50))[np.array([0, 45])]
    assert batch.labels["expression"].tolist() == [0, -1]
    assert torch.isnan(batch.numeric["age"][0]).all()
    assert batch.numeric["age"][1].tolist() == [25]
    report = data.report()["sources"]
    assert report["b"]["rows"]["train"] + report["b"]["rows"]["val"] == 10


def test_a_picture_held_out_in_one_trains_in_none(faces: Path, others: Path) -> None:
    shutil.copy(others / "test" / "Anger" / "21.png", faces / "sad" / "copy.png")
    sources = {"a": {"source": f"folder:{faces}"}, "b": {"source": f"folder:{others}"}}
    data = prepare(("expression",), sources)
    assert [*data.duplicates, *data.validation_duplicates] == ["a/sad/copy.png"]
    used = np.concatenate(list(data.splits.values()))
    assert "a/sad/copy.png" not in {data.keys[row] for row in used}
    kept = prepare(("expression",), sources, drop_duplicates=False)
    assert not kept.duplicates


def test_a_data_set_that_is_held_out_in_another_is_refused(faces: Path, others: Path) -> None:
    for name in ("happy", "sad"):
        shutil.copytree(faces / name, others / "test" / name)
    sources = {"a": {"source": f"folder:{faces}"}, "b": {"source": f"folder:{others}"}}
    with pytest.raises(DataError, match=r"data\.sources\.a: each of its \d+ pictures .* 'train'"):
        prepare(("expression",), sources)


def test_each_is_cut_as_it_says(faces: Path, others: Path) -> None:
    sources = {
        "a": {"source": f"folder:{faces}", "folds": {"count": 4, "test": 1}},
        "b": {"source": f"folder:{others}", "fraction": 0.5},
    }
    data = prepare(("expression",), sources, validation=0.2)
    report = data.report()["sources"]
    assert report["a"]["rows"] == {"train": 24, "val": 6, "test": 10}
    assert report["b"]["rows"]["test"] == 9
    assert report["b"]["rows"]["train"] in (8, 9)
    rest = prepare(("expression",), sources, validation=0.2, unlabelled="rest")
    assert rest.unlabelled is not None
    assert rest.unlabelled.specs == [f"rest of folder:{others}"]
    trained = {rest.keys[row] for row in rest.splits["train"] if rest.origin[row] == 1}
    keys = open_source(f"folder:{others}").read().keys
    assert not trained & {f"b/{keys[row]}" for row in rest.unlabelled.rows[0]}


def test_what_no_data_set_has_is_named(faces: Path, ages: Path) -> None:
    both = {"a": {"source": f"folder:{faces}"}, "b": {"source": f"utkface:{ages}"}}
    with pytest.raises(
        UsageError, match="no label column 'pose'; it has: age, ethnicity, expression, gender"
    ):
        prepare(("expression", "age", "pose"), both)
    with pytest.raises(UsageError, match=r"ages.*has no label column 'expression'; it has: gender"):
        prepare(("expression",), both)
    with pytest.raises(ValueError, match="both given"):
        DataConfig(source="drawn:9", sources={"a": {"source": "drawn:9"}})
    with pytest.raises(ValueError, match="is no name"):
        DataConfig(sources={"a/b": {"source": "drawn:9"}})


def test_one_column_of_unlike_kinds_is_refused(tmp_path: Path, faces: Path, ages: Path) -> None:
    sources = {
        "a": {"source": f"folder:{faces}?label=age"},
        "b": {"source": f"utkface:{ages}"},
    }
    with pytest.raises(UsageError, match=r"data\.sources\.b: its column 'age' holds numbers"):
        prepare(("age",), sources)


def test_several_in_one_line_and_back() -> None:
    for specs in (
        {"": "folder:/a + b/c=d:e"},
        {"": "csv:/t.csv?labels=a,b"},
        {"one": "rafdb:/data/rafdb", "other one": "csv:/t.csv?labels=a&names=b"},
        {"mine": "pkg.module:Class:/path + more"},
    ):
        assert from_one_line(in_one_line(specs)) == specs
