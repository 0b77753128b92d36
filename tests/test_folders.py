from __future__ import annotations

import os
from pathlib import Path

import pytest

from hybridface.folders import ABOVE, AGAIN, BROKEN, entries_of, files_below


def below(*folders: Path) -> tuple[list[list[str]], dict[str, str]]:
    """Return the files below some folders of one folder, and what was told, by names below it."""
    told: dict[str, str] = {}
    root = folders[0].parent
    found = files_below(folders, lambda entry: entry.name.endswith(".x"), told.__setitem__)
    return [[os.path.relpath(path, root) for path in paths] for paths in found], {
        os.path.relpath(path, root): what for path, what in told.items()
    }


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a/2.x", "a/10.x", "a/b/1.x", "a/.hidden/1.x", "a/.1.x", "a/b.x", "a/note",
                 "a/__MACOSX/1.x"):  # fmt: skip
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).touch()
    return tmp_path / "root"


def test_files_come_in_order_without_hidden_ones(tree: Path) -> None:
    found, told = below(tree / "a")
    assert found == [["a/10.x", "a/2.x", "a/b/1.x", "a/b.x"]]
    assert told == {}
    assert [entry.name for entry in entries_of(tree / "a", print)] == [
        "10.x", "2.x", "b", "b.x", "note"
    ]  # fmt: skip


def test_links_are_followed_and_nothing_is_met_twice(tree: Path) -> None:
    (tree / "b").mkdir()
    (tree.parent / "far").mkdir()
    (tree.parent / "far" / "7.x").touch()
    (tree.parent / "far" / "loop").symlink_to(tree.parent / "far")
    links = {
        "a/0.x": "b.x",  # a file that has its own name below the folder
        "a/1": "../../far",
        "a/3": "../../far",
        "a/4.x": ".hidden/1.x",
        "b/5.x": "../a/.hidden/1.x",
        "b/6.x": "nowhere.x",
        "b/up": "..",
        "b/over": "../a",
    }
    for name, target in links.items():
        (tree / name).symlink_to(target)
    found, told = below(tree / "a", tree / "b")
    assert found == [["a/1/7.x", "a/10.x", "a/2.x", "a/4.x", "a/b/1.x", "a/b.x"], []]
    assert told == {
        "a/0.x": AGAIN, "a/3": AGAIN, "b/5.x": AGAIN, "b/over": AGAIN, "a/1/loop": AGAIN,
        "b/6.x": BROKEN, "b/up": ABOVE,
    }  # fmt: skip


def test_a_folder_that_is_a_link_comes_after_those_that_are_none(tree: Path) -> None:
    (tree / "0").symlink_to("a")
    found, told = below(tree / "0", tree / "a")
    assert [len(each) for each in found] == [0, 4]
    assert told == {"0": AGAIN}
    assert below(tree / "0")[0] == [["0/10.x", "0/2.x", "0/b/1.x", "0/b.x"]]


def test_many_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    names = [f"{number:02d}" for number in range(20)]
    for name in names:
        (tmp_path / "root" / name).mkdir(parents=True)
        (tmp_path / "root" / name / "1.x").touch()
        for other in names:
            (tmp_path / "root" / name / f"to-{other}").symlink_to(tmp_path / "root" / other)
    found, told = below(tmp_path / "root")
    assert [len(each) for each in found] == [20]
    assert len(told) == 400
