from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hybridface.data import drawn_faces
from hybridface.data.cache import open_cache
from hybridface.data.drawn_faces.pose import rotation
from hybridface.data.sources import open_source
from hybridface.errors import UsageError
from hybridface.rotations import to_matrices


def test_default_count_and_balance() -> None:
    rows = open_source("drawn:").read()
    assert len(rows) == 2000
    assert rows.keys[17] == "drawn-0-000017"
    labels = rows.labels["expression"]
    assert labels.names == drawn_faces.EXPRESSIONS
    counts = np.bincount(labels.ids)
    assert counts.max() - counts.min() <= 1
    assert open_source("drawn").read().keys == rows.keys


def test_splits_are_by_person() -> None:
    rows = open_source("drawn:400?seed=3").read()
    assert rows.group is not None
    persons = {split: set(rows.group[rows.split == split]) for split in ("train", "val", "test")}
    assert {split: len(found) for split, found in persons.items()} == {
        "train": 60,
        "val": 10,
        "test": 30,
    }
    assert not persons["train"] & (persons["val"] | persons["test"])
    for person in persons["val"]:
        assert person % 10 == 6


def test_labels_are_those_of_the_faces_in_any_number_of_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hybridface.data.sources.drawn._BLOCK", 7)
    rows = open_source("drawn:30?seed=5").read()
    faces = drawn_faces.face_labels(5, 0, 30)
    np.testing.assert_array_equal(rows.labels["expression"].ids, faces.expression)
    np.testing.assert_array_equal(rows.group, faces.identity)


def test_any_rows_are_drawn_in_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source("drawn:12?seed=1&pixels=32")
    rows = source.read()
    whole = source.decode(rows, range(12))
    asked: list[tuple[int, int]] = []
    draw = drawn_faces.draw_faces

    def counting(seed: int, count: int, size: int, *, start: int) -> drawn_faces.DrawnFaces:
        asked.append((start, count))
        return draw(seed, count, size, start=start)

    monkeypatch.setattr(drawn_faces, "draw_faces", counting)
    index = [2, 3, 4, 9, 8, 8, 0]
    for row, pixels in zip(index, source.decode(rows, index), strict=True):
        assert isinstance(pixels, np.ndarray)
        assert pixels.shape == (32, 32, 3)
        np.testing.assert_array_equal(pixels, whole[row])
    assert asked == [(2, 3), (9, 1), (8, 1), (8, 1), (0, 1)]
    assert source.decode(rows, []) == []


def test_fingerprint_tells_what_decides_the_pictures(tmp_path: Path) -> None:
    specs = ["drawn:8", "drawn:9", "drawn:8?seed=1", "drawn:8?pixels=48"]
    found = [source.fingerprint(source.read(), tmp_path) for source in map(open_source, specs)]
    assert len(set(found)) == len(specs)
    again = open_source("drawn:8?seed=0&pixels=96")
    assert again.fingerprint(again.read(), tmp_path) == found[0]
    assert list(tmp_path.iterdir()) == []


def test_fingerprint_follows_the_renderer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = open_source("drawn:8")
    before = source.fingerprint(source.read(), tmp_path)
    draw = drawn_faces.draw_faces

    def changed(*arguments: int, **options: int) -> drawn_faces.DrawnFaces:
        faces = draw(*arguments, **options)
        faces.images[-1, -1, -1, -1] ^= 1
        return faces

    monkeypatch.setattr(drawn_faces, "draw_faces", changed)
    assert source.fingerprint(source.read(), tmp_path) != before


def test_large_faces_are_drawn_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybridface.data.sources.drawn._AT_ONCE", 3 * 32**2)
    source = open_source("drawn:8?pixels=32")
    seen = source.decode_each(source.read(), range(1, 8), lambda pixels: int(pixels.sum()))
    whole = drawn_faces.draw_faces(0, 8, 32).images
    assert seen == [int(pixels.sum()) for pixels in whole[1:]]


def test_cache(hybridface_cache: Path) -> None:
    source = open_source("drawn:8?pixels=48")
    rows = source.read()
    cached = open_cache(source, rows, 48)
    assert cached.decoded.all()
    np.testing.assert_array_equal(cached.images[5], source.decode(rows, [5])[0])


@pytest.mark.parametrize("path", ["0", "-3", "many", "1.5", "²", "1000001", "9" * 5000])
def test_what_is_no_count_is_explained(path: str) -> None:
    with pytest.raises(UsageError, match="a whole number from 1 to 1000000, as in drawn:2000"):
        open_source(f"drawn:{path}")


@pytest.mark.parametrize(
    ("name", "value"), [("seed", "-1"), ("seed", "x"), ("pixels", "8"), ("pixels", "100000")]
)
def test_wrong_options_are_explained(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"option '{name}'"):
        open_source(f"drawn:8?{name}={value}")


def test_pose_is_that_of_the_faces() -> None:
    column = open_source("drawn:70?seed=3").read().numeric["pose"]
    assert column.names == ("yaw", "pitch", "roll")
    assert column.unit == "degrees"
    assert column.known().all()
    # The drawing nods, then turns, then tilts; a label rolls, then turns, then nods.
    drawn = drawn_faces.face_labels(3, 0, 70).pose
    matrices = np.moveaxis(np.array(rotation(drawn))[..., 0], -1, 0)
    np.testing.assert_allclose(to_matrices(column.values), matrices, atol=1e-5)
    assert np.abs(column.values - drawn).max() > 1
