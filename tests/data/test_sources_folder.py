from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hybridface.data.cache import open_cache
from hybridface.data.source import Rows, Source, SourceOptions
from hybridface.data.sources import open_source, source_kinds
from hybridface.errors import DataError, UsageError

Write = Callable[..., Path]


def read(root: Path, options: str = "") -> Rows:
    return open_source(f"folder:{root}{options}").read()


def table(rows: Rows, column: str = "expression") -> list[tuple[str, str, str]]:
    labels = rows.labels[column]
    return [
        (key, str(split), labels.names[number])
        for key, split, number in zip(rows.keys, rows.split, labels.ids, strict=True)
    ]


def problems(rows: Rows) -> dict[str, str]:
    return {problem.where: problem.what for problem in rows.problems}


def test_class_folders(tmp_path: Path, write_picture: Write) -> None:
    for key in ("sad/2.png", "sad/1.jpg", "Happy/a.PNG", "angry/deep/er/x.bmp", "angry/b.webp"):
        write_picture(tmp_path / key)
    (tmp_path / "readme.txt").write_text("hello")
    (tmp_path / "sad" / "Thumbs.db").write_text("x")
    (tmp_path / "sad" / ".hidden.jpg").write_text("x")
    (tmp_path / ".git").mkdir()
    rows = read(tmp_path)
    assert table(rows) == [
        ("Happy/a.PNG", "", "Happy"),
        ("angry/b.webp", "", "angry"),
        ("angry/deep/er/x.bmp", "", "angry"),
        ("sad/1.jpg", "", "sad"),
        ("sad/2.png", "", "sad"),
    ]
    assert rows.labels["expression"].names == ("angry", "Happy", "sad")
    assert rows.problems == []
    assert rows.group is None


def test_no_picture_is_passed_over_for_its_kind(tmp_path: Path) -> None:
    for name in ("a/1.avif", "a/2.HEIC", "b/3.jfif", "b/4.ppm", "b/5.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert read(tmp_path).keys == ["a/1.avif", "a/2.HEIC", "b/3.jfif", "b/4.ppm"]


@pytest.mark.parametrize(
    "names",
    [("train", "val", "test"), ("Train", "valid", "Test"), ("training", "validation", "test")],
)
def test_split_folders(tmp_path: Path, write_picture: Write, names: tuple[str, ...]) -> None:
    for name in names:
        write_picture(tmp_path / name / "sad" / "1.png")
        write_picture(tmp_path / name / "happy" / "1.png")
    rows = read(tmp_path)
    assert [split for _, split, _ in table(rows)] == ["train"] * 2 + ["val"] * 2 + ["test"] * 2
    assert rows.labels["expression"].names == ("happy", "sad")
    assert rows.keys[0] == f"{names[0]}/happy/1.png"


def test_classes_are_one_over_splits_case_aside(tmp_path: Path, write_picture: Write) -> None:
    for key in ("train/Happy/1.png", "train/Sad/1.png", "test/sad/1.png", "test/fear/1.png"):
        write_picture(tmp_path / key)
    rows = read(tmp_path)
    assert rows.labels["expression"].names == ("fear", "Happy", "Sad")
    assert [name for _, _, name in table(rows)] == ["Happy", "Sad", "fear", "Sad"]


def test_other_folders_beside_splits_are_named(tmp_path: Path, write_picture: Write) -> None:
    for key in ("train/sad/1.png", "extra/sad/1.png", "train/loose.png", "train/other.png"):
        write_picture(tmp_path / key)
    rows = read(tmp_path)
    assert rows.keys == ["train/sad/1.png"]
    assert "not train, val or test" in problems(rows)["extra/"]
    assert problems(rows)["train/"].startswith("2 pictures outside the class folders")


def test_label_name(tmp_path: Path, write_picture: Write) -> None:
    write_picture(tmp_path / "male" / "1.png")
    write_picture(tmp_path / "female" / "1.png")
    assert list(read(tmp_path, "?label=gender").labels) == ["gender"]


def test_broken_links_and_empty_classes_are_named(tmp_path: Path, write_picture: Write) -> None:
    write_picture(tmp_path / "sad" / "1.png")
    (tmp_path / "sad" / "2.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    (tmp_path / "fear").mkdir()
    os.mkfifo(tmp_path / "sad" / "pipe.png")
    rows = read(tmp_path)
    assert rows.keys == ["sad/1.png"]
    assert rows.labels["expression"].names == ("sad",)
    assert problems(rows) == {
        "sad/2.png": "a broken link",
        "lost": "a broken link",
        "fear/": "a class folder without pictures",
        "sad/pipe.png": "not a regular file",
    }


def test_links_are_followed_but_not_round_in_circles(tmp_path: Path, write_picture: Write) -> None:
    write_picture(tmp_path / "elsewhere" / "1.png")
    data = tmp_path / "data"
    write_picture(data / "sad" / "1.png")
    (data / "happy").symlink_to(tmp_path / "elsewhere")
    (data / "sad" / "again").symlink_to(data / "sad")
    rows = read(data)
    assert rows.keys == ["happy/1.png", "sad/1.png"]
    assert "not followed" in problems(rows)["sad/again"]


def test_a_file_or_folder_of_several_names_is_read_once_by_its_own(
    tmp_path: Path, write_picture: Write
) -> None:
    write_picture(tmp_path / "far" / "3.png")
    data = tmp_path / "data"
    for key in ("sad/1.png", "sad/deep/2.png"):
        write_picture(data / key)
    (data / "angry").mkdir()
    (data / "angry" / "0.png").symlink_to(data / "sad" / "1.png")
    (data / "angry" / "far").symlink_to(tmp_path / "far")
    (data / "angry" / "up").symlink_to(data)
    (data / "gloomy").symlink_to("sad")
    (data / "happy").symlink_to(tmp_path / "far")
    rows = read(data)
    assert table(rows) == [
        ("happy/3.png", "", "happy"),
        ("sad/1.png", "", "sad"),
        ("sad/deep/2.png", "", "sad"),
    ]
    again = "leads to what is read already; not followed"
    assert problems(rows) == {
        "angry/0.png": again,
        "angry/far": again,
        "angry/up": "leads to a folder above it; not followed",
        "angry/": "a class folder without pictures",
        "gloomy": again,
        "gloomy/": "a class folder without pictures",
    }
    assert len(rows.problems) == 6


def test_a_file_that_splits_link_to_is_in_the_one_that_tests(
    tmp_path: Path, write_picture: Write
) -> None:
    for name in ("1.png", "2.png"):
        write_picture(tmp_path / "all" / name)
    for link in ("train/sad/1.png", "train/sad/2.png", "val/sad/1.png", "test/sad/1.png"):
        place = tmp_path / "data" / link
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(tmp_path / "all" / place.name)
    rows = read(tmp_path / "data")
    assert rows.keys == ["train/sad/2.png", "test/sad/1.png"]
    assert set(problems(rows)) == {"train/sad/1.png", "val/sad/1.png", "val/sad/"}


def test_splits_in_one_folder_that_is_alone(tmp_path: Path, write_picture: Write) -> None:
    for key in ("images/train/sad/1.png", "images/validation/sad/1.png", "images/other/sad/1.png"):
        write_picture(tmp_path / key)
    rows = read(tmp_path)
    assert table(rows) == [
        ("images/train/sad/1.png", "train", "sad"),
        ("images/validation/sad/1.png", "val", "sad"),
    ]
    assert list(problems(rows)) == ["images/other/"]
    (tmp_path / "images" / "train").rename(tmp_path / "images" / "more")
    assert len(read(tmp_path)) == len(read(tmp_path, "?unlabelled=true")) == 3


def test_file_names_that_are_not_utf8(tmp_path: Path, picture_bytes: Callable[..., bytes]) -> None:
    (tmp_path / "sad").mkdir()
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / "sad" / name).write_bytes(picture_bytes())
    (tmp_path / "sad" / f"bad{name}").write_bytes(b"no picture")
    source = open_source(f"folder:{tmp_path}")
    rows = source.read()
    good, bad = sorted(range(2), key=lambda row: "bad" in rows.keys[row])
    decoded = source.decode(rows, [good, bad])
    assert isinstance(decoded[0], np.ndarray)
    assert str(decoded[1].where).encode() == b"sad/badcaf?.png"


def test_flat_folder_explains_itself(tmp_path: Path, write_picture: Write) -> None:
    write_picture(tmp_path / "1.png")
    write_picture(tmp_path / "2.png")
    with pytest.raises(DataError) as raised:
        read(tmp_path)
    message = str(raised.value)
    assert "2 pictures outside the class folders" in message
    assert "expected: PATH/CLASS/*.jpg" in message
    assert f"folder:{tmp_path}?unlabelled=true" in message


def test_unlabelled(tmp_path: Path, write_picture: Write) -> None:
    for key in ("1.png", "some/2.png", "some/deeper/3.jpg"):
        write_picture(tmp_path / key)
    (tmp_path / "some" / "4.jpg").symlink_to("gone")
    rows = read(tmp_path, "?unlabelled=true")
    assert rows.keys == ["1.png", "some/2.png", "some/deeper/3.jpg"]
    assert rows.labels == {}
    assert list(problems(rows)) == ["some/4.jpg"]
    write_picture(tmp_path / "test" / "1.png")
    assert read(tmp_path, "?unlabelled=true").split.tolist() == ["test"]


@pytest.mark.parametrize(
    ("prepare", "found"),
    [
        (lambda root: None, "does not exist"),
        (lambda root: root.mkdir(), "an empty folder"),
        (lambda root: root.write_text("x"), "a file of 1 bytes"),
        (lambda root: (root / "sad").mkdir(parents=True), "a class folder without pictures"),
    ],
)
def test_nothing_there_is_explained(
    tmp_path: Path, prepare: Callable[[Path], object], found: str
) -> None:
    prepare(tmp_path / "data")
    with pytest.raises(DataError) as raised:
        read(tmp_path / "data")
    assert found in str(raised.value)
    assert str(tmp_path / "data") in str(raised.value)
    assert "expected: " in str(raised.value)


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000])
def test_impossible_paths_are_refused(path: str) -> None:
    with pytest.raises(DataError):
        read(Path(path))


def test_no_path_is_not_the_working_folder(
    tmp_path: Path, write_picture: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(tmp_path / "a" / "1.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"folder: has no path; folder:\. is the working folder"):
        open_source("folder:").read()
    assert open_source("folder:.").read().keys == ["a/1.png"]


def test_only_one_class_is_noted(tmp_path: Path, write_picture: Write) -> None:
    write_picture(tmp_path / "sad" / "1.png")
    assert read(tmp_path).notes == ["there is one class folder only"]


def test_broken_pictures_are_problems(
    tmp_path: Path,
    hybridface_cache: Path,
    write_picture: Write,
    picture_bytes: Callable[..., bytes],
) -> None:
    data = tmp_path / "data"
    write_picture(data / "sad" / "good.png")
    jpeg = picture_bytes(1, 64, "JPEG")
    broken = {"cut.jpg": jpeg[: len(jpeg) // 2], "empty.jpg": b"", "text.jpg": b"words"}
    for name, content in broken.items():
        (data / "sad" / name).write_bytes(content)
    wide = np.full((8, 8), 65535, dtype=np.uint16)
    Image.fromarray(wide).save(data / "sad" / "wide.png")
    (data / "sad" / "folder.png").mkdir()
    write_picture(data / "sad" / "folder.png" / "in.png", 5)
    source = open_source(f"folder:{data}")
    rows = source.read()
    cached = open_cache(source, rows, 16)
    where = [problem.where for problem in cached.problems]
    assert where == ["sad/cut.jpg", "sad/empty.jpg", "sad/text.jpg"]
    assert [key for key, good in zip(rows.keys, cached.decoded, strict=True) if not good] == where
    assert (cached.images[rows.keys.index("sad/wide.png")] == 255).all()


def test_any_name_of_a_folder_can_be_a_class(tmp_path: Path, write_picture: Write) -> None:
    for seed, name in enumerate(("a\nb", "\udcff", "\udcfe", "früh 😀")):
        write_picture(tmp_path / name / "1.png", seed)
    names = read(tmp_path).labels["expression"].names
    assert sorted(names) == ["\\udcfe", "\\udcff", "a\\nb", "früh 😀"]


def test_kinds_are_found_and_whole() -> None:
    kinds = source_kinds()
    assert list(kinds) == [
        "300wlp", "adience", "affectnet", "aflw2000", "biwi", "celeba", "ckplus", "csv", "drawn",
        "fer2013", "ferplus", "folder", "lfw-gender", "pointing04", "rafdb", "utkface",
    ]  # fmt: skip
    for name, kind in kinds.items():
        assert kind.kind == name
        assert "PATH" in kind.layout
        assert issubclass(kind, Source)
        assert issubclass(kind.Options, SourceOptions)
        assert not getattr(kind, "__abstractmethods__", None)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("/some/path", "write KIND:PATH, as in folder:/some/path"),
        ("foldr:/x", "did you mean 'folder'"),
        ("folder:/x?lable=a", "unknown option of data kind 'folder' 'lable': did you mean 'label'"),
        ("folder:/x?unlabelled=perhaps", "option 'unlabelled'"),
        ("ferplus:/x?labels=best", "option 'labels': Input should be 'original', 'majority'"),
    ],
)
def test_wrong_specs_are_explained(spec: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        open_source(spec)
    assert message in str(raised.value)
