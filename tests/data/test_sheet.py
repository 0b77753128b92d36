"""Contact sheets, as a user asks for them and in their parts."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hybridface.data.source
from hybridface.data.sheet import MARK, choose, write_sheet
from hybridface.data.sources import open_source
from hybridface.errors import DataError, UsageError
from layouts import utkface


def test_the_command(tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    command = [sys.executable, "-m", "hybridface", "data", "sheet", "drawn:40?pixels=32",
               "--out", str(out), "--count", "8"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{out}: 8 pictures; pictures of data sets are not to be published\n"
    with Image.open(out) as image:
        assert image.info["Software"] == MARK


def test_only_sheets_are_replaced(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    assert write_sheet("drawn:16?pixels=16", sheet, count=4, columns=2) == 4
    first = sheet.read_bytes()
    assert write_sheet("drawn:16?pixels=16", sheet, count=4, columns=2) == 4
    assert sheet.read_bytes() == first
    write_sheet("drawn:16?pixels=16&seed=3", sheet, count=4, columns=2)
    assert sheet.read_bytes() != first
    for name, content in (("photo.png", None), ("text.png", b"text"), ("sheet.jpg", b"")):
        path = tmp_path / name
        if content is None:
            Image.new("RGB", (4, 4)).save(path)
        else:
            path.write_bytes(content)
        before = path.read_bytes()
        with pytest.raises(UsageError):
            write_sheet("drawn:16", path)
        assert path.read_bytes() == before


def test_pictures_are_spread_over_the_poses() -> None:
    rows = open_source("drawn:400").read()
    chosen = choose(rows, 40, 8, 0)
    assert chosen.shape == (40, 1)
    assert len(set(chosen[:, 0].tolist())) == 40
    yaw, pitch, _ = rows.numeric["pose"].values[chosen[:, 0]].reshape(5, 8, 3).transpose(2, 0, 1)
    assert (np.diff(yaw.mean(0)) > 0).all()
    assert (np.diff(pitch.mean(1)) < 0).all()
    assert yaw.max() - yaw.min() > 0.6 * np.ptp(rows.numeric["pose"].values[:, 0])


@pytest.mark.parametrize("count", [1, 5, 8, 10])
def test_no_more_pictures_than_asked_for(count: int) -> None:
    rows = open_source("drawn:40").read()
    assert 1 <= len(choose(rows, count, 8, 0)) <= count


def test_a_data_set_without_poses_and_with_unreadable_pictures(tmp_path: Path, write_files) -> None:
    files = utkface()
    for name in list(files)[:6]:
        files[name] = b"no picture"
    root = write_files(files)
    assert 1 <= write_sheet(f"utkface:{root}", tmp_path / "sheet.png", count=4) <= 4
    root = write_files(dict.fromkeys(files, b"no picture"))
    with pytest.raises(DataError, match=r"none of .* taken at random can be read"):
        write_sheet(f"utkface:{root}", tmp_path / "sheet.png", count=4)


def test_pictures_are_not_held_at_full_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hybridface.data.source, "MOST_THREADS", 1)
    for number in range(12):
        place = tmp_path / "faces" / "sad" / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2000, 2000), (number, 0, 0)).save(place)
    tracemalloc.start()
    assert write_sheet(f"folder:{tmp_path}/faces", tmp_path / "sheet.png", count=12) == 12
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 6 * 2000 * 2000 * 3
