"""``data.keep_together``: no cut parts near duplicates, and without it nothing changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hybridface.config import DataConfig
from hybridface.data.check import together
from hybridface.data.check.together import with_near_duplicates
from hybridface.data.drawn_faces import draw_faces
from hybridface.data.prepare import PreparedData, prepare_data
from hybridface.data.sources import open_source
from planted import CHANGES, changed

COUNT = 30


@pytest.fixture
def faces(tmp_path: Path, hybridface_cache: Path) -> Path:
    """Return faces of two classes, each with a changed copy."""
    names = list(CHANGES)
    for number, pixels in enumerate(draw_faces(8, COUNT, 80).images):
        for name, picture in (("a", pixels), ("b", changed(pixels, names[number % len(names)]))):
            path = tmp_path / "faces" / ("happy", "sad")[number % 2] / f"{number:02}{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    return tmp_path / "faces"


def prepare(faces: Path, seed: int, **options: Any) -> PreparedData:
    config = DataConfig(source=f"folder:{faces}", size=16, validation=0.3, **options)
    return prepare_data(config, ["expression"], seed)


def parted(data: PreparedData) -> int:
    """Count faces whose two pictures stand in different splits."""
    split = {data.keys[row]: name for name, rows in data.splits.items() for row in rows}
    return sum(key.endswith("a.png") and split[key] != split[key[:-5] + "b.png"] for key in split)


@pytest.mark.parametrize("folds", [None, {"count": 3, "seed": 1}])
def test_no_cut_parts_them(faces: Path, folds: dict[str, int] | None) -> None:
    for seed in range(3):
        kept = prepare(faces, seed, folds=folds, keep_together="near_duplicates")
        assert parted(kept) == 0
        assert sum(map(len, kept.splits.values())) == 2 * COUNT
        assert parted(prepare(faces, seed, folds=folds)) > 0


def test_the_cut_does_not_depend_on_the_size(faces: Path) -> None:
    options = {"source": f"folder:{faces}", "keep_together": "near_duplicates", "validation": 0.3}
    small, large = (
        prepare_data(DataConfig(size=s, **options), ["expression"], 0) for s in (16, 64)
    )
    assert small.splits["val"].tolist() == large.splits["val"].tolist()


def test_persons_stay_whole_and_are_joined_by_near_pictures(
    tmp_path: Path, hybridface_cache: Path
) -> None:
    pictures = list(draw_faces(9, 6, 80).images)
    pictures.append(changed(pictures[0], "encoded"))
    lines = ["image,expression,person"]
    for number, (pixels, person) in enumerate(zip(pictures, "aabbccb", strict=True)):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,happy,{person}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    source = open_source(f"csv:{tmp_path / 'labels.csv'}")
    group = with_near_duplicates(source, source.read()).group
    assert group is not None
    assert group.tolist() == [0, 0, 0, 0, 1, 1, 0]


def test_what_was_found_is_kept(
    faces: Path, hybridface_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(f"folder:{faces}")
    first = with_near_duplicates(source, source.read()).group
    monkeypatch.delattr(together, "near_duplicate_ids")
    again = with_near_duplicates(source, source.read()).group
    assert first is not None
    assert np.array_equal(first, again)
    assert len(np.unique(first)) == COUNT
