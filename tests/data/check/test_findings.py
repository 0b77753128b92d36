"""What a check says of data sets with planted faults."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hybridface.data.check.findings import check_data
from hybridface.data.check.looks import open_looks
from hybridface.data.drawn_faces import draw_faces
from hybridface.data.source import SPLITS, Labels, NumericLabels, Rows
from hybridface.data.sources import open_source
from hybridface.data.sources.folder import Folder
from hybridface.errors import DataError, UsageError
from planted import changed

CLASSES = ("happy", "sad")
FACES = 40


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return draw_faces(11, FACES, 80).images


@pytest.fixture
def faces(tmp_path: Path, pixels: np.ndarray, hybridface_cache: Path) -> Path:
    """Return a folder of different faces: 24 to train, 8 each to validate and test."""
    for number, picture in enumerate(pixels):
        split = "train" if number < 24 else SPLITS[1 + number % 2]
        save(tmp_path / "faces" / split / CLASSES[number // 2 % 2] / f"{number}.png", picture)
    return tmp_path / "faces"


def save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def check(*specs: Path | str) -> dict[str, Any]:
    named = [spec if isinstance(spec, str) else f"folder:{spec}" for spec in specs]
    result = check_data(named).result
    assert json.loads(json.dumps(result)) == result
    return result


def places(counts: dict[str, Any]) -> tuple[int, int, int]:
    return tuple(counts[f"{key}"] for key in ("within_splits", "across_splits", "across_sources"))


def test_a_sound_data_set_has_no_findings(faces: Path) -> None:
    result = check(faces)
    [data] = result["data"]
    assert result["findings"] == []
    assert data["splits"] == {"train": 24, "val": 8, "test": 8}
    assert data["classes"]["expression"]["splits"]["train"] == {"counts": [12, 12], "unknown": 0}
    for kind in ("exact", "near"):
        assert places(result["duplicates"][kind]) == (0, 0, 0)
        assert data["duplicates"][kind]["first"] == []
    assert data["persons"] is data["persons_across_splits"] is None
    assert result["persons_across_splits"] is None
    assert data["sizes"]["most_common"] == [{"width": 80, "height": 80, "count": FACES}]


def test_planted_copies_are_counted_where_they_stand(faces: Path, pixels: np.ndarray) -> None:
    shutil.copy(faces / "train/happy/0.png", faces / "train/happy/again.png")
    Image.open(faces / "train/happy/1.png").save(faces / "test/happy/other.bmp")
    for split in ("train", "test"):  # within and across at once: counts as across
        shutil.copy(faces / "train/sad/2.png", faces / split / "sad" / "more.png")
    save(faces / "train" / "sad" / "small.png", changed(pixels[4], "resized"))
    save(faces / "val" / "happy" / "cut.png", changed(pixels[5], "cropped"))
    save(faces / "val" / "happy" / "mirror.png", changed(pixels[6], "mirrored"))
    result = check(faces)
    exact, near = (result["duplicates"][kind] for kind in ("exact", "near"))
    assert places(exact) == (1, 2, 0)
    assert (exact["groups"], exact["pictures"], exact["largest"]) == (3, 7, 3)
    assert places(near) == (1, 2, 0)
    assert (near["groups"], near["pictures"], near["largest"], near["mirrored"]) == (3, 6, 2, 1)
    assert near["with_different_labels"] == 2  # 4 is happy and its copy sad; 6 the other way
    assert exact["with_different_labels"] == 0
    assert [len(group) for group in exact["first"]] == [3, 2, 2]
    assert {member["split"] for member in exact["first"][0][:2]} == {"train", "test"}
    assert {member["key"] for member in exact["first"][2]} == {
        "train/happy/0.png", "train/happy/again.png",
    }  # fmt: skip
    assert result["data"][0]["duplicates"] == result["duplicates"]
    assert result["findings"] == [
        "2 groups of equal pictures across splits",
        "2 groups of nearly equal pictures across splits",
    ]


def test_copies_of_a_near_copy_are_in_its_group(faces: Path, pixels: np.ndarray) -> None:
    save(faces / "train" / "happy" / "near.png", changed(pixels[0], "brightened"))
    shutil.copy(faces / "train/happy/near.png", faces / "test/happy/near.png")
    duplicates = check(faces)["duplicates"]
    assert places(duplicates["exact"]) == places(duplicates["near"]) == (0, 1, 0)
    assert duplicates["near"]["pictures"] == 3
    assert duplicates["near"]["largest"] == 3


def test_data_sets_are_compared_with_each_other(
    faces: Path, tmp_path: Path, pixels: np.ndarray
) -> None:
    other = tmp_path / "other"
    for number, picture in enumerate(draw_faces(12, 10, 80).images):
        save(other / CLASSES[number % 2] / f"{number}.png", picture)
    shutil.copy(other / "sad" / "1.png", other / "sad" / "twice.png")
    shutil.copy(faces / "train/happy/0.png", other / "sad" / "theirs.png")
    save(other / "happy" / "theirs.png", changed(pixels[3], "encoded"))
    result = check(faces, other)
    exact, near = (result["duplicates"][kind] for kind in ("exact", "near"))
    assert (places(exact), places(near)) == ((1, 0, 1), (0, 0, 1))
    assert exact["with_different_labels"] == near["with_different_labels"] == 1
    assert [each["duplicates"]["exact"]["groups"] for each in result["data"]] == [0, 1]
    assert [each["duplicates"]["near"]["groups"] for each in result["data"]] == [0, 0]
    assert {member["source"] for member in exact["first"][0]} == {
        f"folder:{faces}", f"folder:{other}",
    }  # fmt: skip
    assert result["data"][1]["splits"] == {"none": 11 + 2 - 0}
    assert len(result["findings"]) == 2
    assert all(line.endswith("across the data sets") for line in result["findings"])


def test_broken_files_are_counted_and_the_first_named(faces: Path) -> None:
    for number in range(30):
        (faces / "train" / "sad" / f"bad{number:02}.jpg").write_bytes(b"no picture")
    [data] = check(faces)["data"]
    assert data["broken_files"]["count"] == 30
    assert data["broken_files"]["first"][0] == {
        "where": "train/sad/bad00.jpg", "what": "not a picture that can be read",
    }  # fmt: skip
    assert len(data["broken_files"]["first"]) == 20
    assert (data["rows"], data["pictures"]) == (FACES + 30, FACES)
    assert data["duplicates"]["exact"]["groups"] == 0


def test_a_data_set_of_broken_files_alone_is_described(
    tmp_path: Path, hybridface_cache: Path
) -> None:
    (tmp_path / "bad" / "sad").mkdir(parents=True)
    (tmp_path / "bad" / "sad" / "1.png").write_bytes(b"")
    result = check(tmp_path / "bad")
    assert result["data"][0]["pictures"] == 0
    assert result["data"][0]["brightness"]["known"] == 0
    assert result["data"][0]["brightness"]["mean"] is None
    assert len(result["findings"]) == 1


def test_persons_in_several_splits_are_counted(tmp_path: Path, hybridface_cache: Path) -> None:
    drawn = draw_faces(2, 8, 64).images
    lines = ["image,expression,split,person"]
    persons = ("anna", "anna", "bert", "bert", "carl", "carl", "dora", "dora")
    splits = ("train", "test", "train", "train", "val", "test", "train", "val")
    for number, (picture, person, split) in enumerate(zip(drawn, persons, splits, strict=True)):
        save(tmp_path / f"{number}.png", picture)
        lines.append(f"{number}.png,happy,{split},{person}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    result = check(f"csv:{tmp_path / 'labels.csv'}")
    assert result["data"][0]["persons"] == 4
    assert result["persons_across_splits"] == result["data"][0]["persons_across_splits"] == 3
    assert "3 persons in several splits" in result["findings"]


class Numbered(Folder):
    """A folder whose pictures also have an age and the angles of the head, some unknown."""

    def read(self) -> Rows:
        rows = super().read()
        age = np.arange(len(rows), dtype=np.float32)[:, None]
        age[::4] = np.nan
        nothing = np.full((len(rows), 2), np.nan, dtype=np.float32)
        nothing[0] = (1, 2)
        numeric = {
            "age": NumericLabels(("age",), age, "years"),
            "pose": NumericLabels(("yaw", "pitch"), nothing, "degrees"),
        }
        ids = np.where(np.arange(len(rows)) < 3, -1, rows.labels["expression"].ids)
        labels = {"expression": Labels(rows.labels["expression"].names, ids)}
        return Rows(rows.keys, rows.split, labels, numeric=numeric)


def test_labels_are_described_unknown_ones_apart(
    faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "hybridface.data.check.findings.open_source",
        lambda spec: Numbered(str(faces), Folder.Options()),
    )
    [data] = check("folder:numbered")["data"]
    age = data["numbers"]["age"]
    assert age["unit"] == "years"
    known = np.delete(np.arange(FACES), np.s_[::4])
    assert age["parts"]["age"] == {
        "known": 30, "unknown": 10, "min": 1, "max": 39,
        "mean": pytest.approx(known.mean(), abs=1e-4),
        "deviation": pytest.approx(known.std(), abs=1e-4),
        "quantiles": {
            f"{part:g}": pytest.approx(np.quantile(known, part), abs=1e-4)
            for part in (0.05, 0.25, 0.5, 0.75, 0.95)
        },
    }  # fmt: skip
    assert data["numbers"]["pose"]["parts"]["pitch"]["known"] == 1
    assert data["classes"]["expression"]["unknown"] == 3
    assert sum(each["unknown"] for each in data["classes"]["expression"]["splits"].values()) == 3


def test_light_and_sizes_are_those_of_the_pictures(tmp_path: Path, hybridface_cache: Path) -> None:
    random = np.random.default_rng(0)
    shapes = [(20, 30), (20, 30), (40, 24)]
    pictures = [random.integers(0, 200, (*shape, 3), dtype=np.uint8) for shape in shapes]
    pictures.append(np.full((16, 16, 3), 7, dtype=np.uint8))
    for number, picture in enumerate(pictures):
        save(tmp_path / "set" / "sad" / f"{number}.png", picture)
    [data] = check(tmp_path / "set")["data"]
    grey = [np.asarray(Image.fromarray(each).convert("L"), dtype=float) for each in pictures]
    assert data["brightness"]["mean"] == pytest.approx(np.mean([g.mean() for g in grey]), abs=1e-3)
    assert data["contrast"]["max"] == pytest.approx(max(g.std() for g in grey), abs=1e-3)
    assert data["sizes"]["most_common"][0] == {"width": 30, "height": 20, "count": 2}
    assert data["sizes"]["different"] == 3
    assert data["sizes"]["height"]["max"] == 40
    assert data["showing_nothing"] == {"count": 1, "first": ["sad/3.png"]}


def test_looks_are_kept_by_content(faces: Path, hybridface_cache: Path) -> None:
    source = open_source(f"folder:{faces}")
    told: list[tuple[int, int]] = []
    progress: Callable[[int, int], None] = lambda done, total: told.append((done, total))  # noqa: E731
    first = open_looks(source, source.read(), progress)
    assert told[-1] == (FACES, FACES)
    told.clear()
    again = open_looks(source, source.read(), progress)
    assert not told
    for name in ("decoded", "digests", "sizes", "brightness", "contrast", "small"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    [kept] = (hybridface_cache / "looks").glob("*.npz")
    kept.write_bytes(kept.read_bytes()[:1000])
    assert len(open_looks(source, source.read(), progress)) == FACES
    assert told
    told.clear()
    shutil.copy(faces / "train/happy/0.png", faces / "train/happy/1.png")
    assert open_looks(source, source.read(), progress).digests[0] == first.digests[0]
    assert told


def test_wrong_names_are_refused(faces: Path) -> None:
    with pytest.raises(UsageError, match="named twice"):
        check(faces, faces)
    with pytest.raises(UsageError, match="unknown kind of data"):
        check("foldr:x")
    with pytest.raises(DataError, match="expected"):
        check(faces / "nothing")


@pytest.mark.data
@pytest.mark.slow
def test_ferplus_has_269_groups_of_equal_pictures_across_its_splits(
    shared_data: Callable[[str, str], Path], hybridface_cache: Path
) -> None:
    result = check(f"ferplus:{shared_data('ferplus.zip', 'ferplus')}")
    assert result["duplicates"]["exact"]["across_splits"] == 269
    assert result["data"][0]["splits"] == {"train": 28558, "val": 3579}
    near = result["duplicates"]["near"]
    assert near["across_splits"] > 269
    assert near["largest"] < 200
