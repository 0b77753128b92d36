from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybridface.errors import UsageError
from hybridface.inference.inputs import find_inputs

Write = Callable[..., Path]


def paths(*given: str | Path) -> list[Path]:
    return [each.path for each in find_inputs(given)]


@pytest.fixture
def folder(tmp_path: Path, write_picture: Write) -> Path:
    for name in ("c/1.png", "a/2.PNG", "b.png", "a/10.png", ".hidden/3.png", "a/._2.png"):
        write_picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "a" / "clip.MP4").touch()
    return tmp_path


def test_folders_are_expanded_sorted_without_what_is_hidden(folder: Path) -> None:
    names = ["a/10.png", "a/2.PNG", "a/clip.MP4", "b.png", "c/1.png"]
    assert paths(folder) == [folder / name for name in names]


def test_each_file_comes_once_at_its_first_place(folder: Path) -> None:
    found = paths(folder / "b.png", str(folder), folder / "notes.txt")
    assert found[0] == folder / "b.png"
    assert found[-1] == folder / "notes.txt"
    assert len(found) == len(set(found)) == 6


def test_patterns_are_expanded(folder: Path) -> None:
    assert paths(f"{folder}/a/*.png") == [folder / "a/10.png"]
    assert paths(f"{folder}/**/1*.png") == [folder / "a/10.png", folder / "c/1.png"]
    assert paths(f"{folder}/[ac]") == [
        folder / name for name in ("a/10.png", "a/2.PNG", "a/clip.MP4", "c/1.png")
    ]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(
    tmp_path: Path, write_picture: Write
) -> None:
    place = write_picture(tmp_path / "face[1].png")
    assert paths(place) == [place]


def test_what_leads_nowhere_is_kept_to_be_reported(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    given = [tmp_path / "absent.png", tmp_path / "empty", Path("l" * 300), Path("none-*.png")]
    assert paths(*given) == given


def test_kinds_are_told_by_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, write_picture: Write
) -> None:
    monkeypatch.chdir(folder)
    assert find_inputs(["webcam:99999999999"])[0].kind == "picture"  # which is not there
    found = find_inputs(["a/clip.MP4", "b.png", "webcam", "webcam:2"])
    assert [each.kind for each in found] == ["video", "picture", "camera", "camera"]
    assert [each.camera for each in found[2:]] == [0, 2]
    (folder / "webcam").mkdir()
    write_picture(folder / "webcam" / "1.png")
    assert [each.kind for each in find_inputs(["webcam"])] == ["picture"]


def test_a_pattern_may_go_on_from_a_folder_with_brackets_in_its_name(
    tmp_path: Path, write_picture: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write_picture(tmp_path / "trip [1]" / "a" / "1.png")
    for pattern in (f"{tmp_path}/trip [1]/*/*.png", f"{tmp_path}/trip [1]/**/[1].png"):
        assert paths(pattern) == [place]
    monkeypatch.chdir(tmp_path)
    assert paths("trip [1]/*/") == [Path("trip [1]/a/1.png")]
    assert paths("none [1]/*.png") == [Path("none [1]/*.png")]


def test_an_empty_name_is_not_the_folder_where_one_is() -> None:
    with pytest.raises(UsageError, match="an input is empty"):
        find_inputs(["a.jpg", ""])


def test_addresses_are_not_taken_for_files() -> None:
    for address in ("https://example.org/a.jpg", "RTSP://camera/1"):
        with pytest.raises(UsageError, match="addresses are not read; save it"):
            find_inputs([address])


def test_a_link_that_leads_nowhere_is_kept_to_be_reported(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    assert paths(tmp_path) == [tmp_path / "gone.jpg"]


def test_links_are_followed_and_each_file_comes_once(tmp_path: Path, write_picture: Write) -> None:
    write_picture(tmp_path / "far" / "1.png")
    photos = tmp_path / "photos"
    write_picture(photos / "a" / "2.png")
    (photos / "far").symlink_to(tmp_path / "far")
    (photos / "again").symlink_to("far")
    (photos / "0.png").symlink_to("a/2.png")
    (photos / "a" / "loop").symlink_to(photos)
    (photos / "a" / "up").symlink_to(tmp_path)
    found = paths(photos)
    assert len(found) == 2
    assert photos / "a" / "2.png" in found
    assert {each.resolve() for each in found} == {
        tmp_path / "far" / "1.png",
        photos / "a" / "2.png",
    }


def test_a_folder_that_cannot_be_read_is_kept_to_be_reported(
    tmp_path: Path, write_picture: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(tmp_path / "a" / "1.png")
    write_picture(tmp_path / "b" / "2.png")
    real = os.scandir

    def closed(path: str) -> Any:
        if str(path).endswith("a"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert paths(tmp_path) == [tmp_path / "a", tmp_path / "b" / "2.png"]
