"""What of a check is printed."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from hybridface.data.check.findings import check_data
from hybridface.data.check.text import print_check
from hybridface.data.drawn_faces import draw_faces
from planted import changed


@pytest.fixture
def faces(tmp_path: Path, hybridface_cache: Path) -> Path:
    """Return six faces of one class, one of them again with other light."""
    pixels = draw_faces(11, 6, 80).images
    (tmp_path / "faces" / "sad").mkdir(parents=True)
    for number, picture in enumerate([*pixels, changed(pixels[0], "brightened")]):
        Image.fromarray(picture).save(tmp_path / "faces" / "sad" / f"{number}.png")
    return tmp_path / "faces"


def printed(root: Path, capsys: pytest.CaptureFixture[str]) -> str:
    print_check(check_data([f"folder:{root}"]).result)
    return capsys.readouterr().out


def test_what_cuts_may_part_is_named(faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = printed(faces, capsys)
    assert "nearly equal: sad/0.png (-), sad/6.png (-)" in said
    assert "cuts may part these, unless data.keep_together says near_duplicates" in said
    (faces / "train").mkdir()
    (faces / "sad").rename(faces / "train" / "sad")
    said = printed(faces, capsys)
    assert "nearly equal:" not in said
    assert "keep_together" not in said


def test_names_do_not_steer_the_terminal(faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (faces / "sad" / "\x1b[2J.png").write_bytes(b"no picture")
    said = printed(faces, capsys)
    assert "sad/\\x1b[2J.png: not a picture that can be read" in said
    assert "\x1b" not in said
