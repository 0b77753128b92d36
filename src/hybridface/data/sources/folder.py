"""Folders of pictures, one a class: the layout that most data sets can be brought into."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hybridface import images
from hybridface.data.source import (
    SPLITS,
    Labels,
    Problem,
    Rows,
    Source,
    SourceOptions,
    describe_folder,
    is_folder,
)
from hybridface.data.sources.tables import split_name


class FolderOptions(SourceOptions):
    """What to make of the folders.

    Attributes:
        label: What the label column is called.
        unlabelled: Take every picture below PATH without a label, whatever its folder's name.
    """

    label: str = "expression"
    unlabelled: bool = False


@dataclass
class _Found:
    """Pictures in the order found; ``classes`` are by lower-case name, as two splits may differ."""

    keys: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    classes: dict[str, str] = field(default_factory=dict)
    loose: list[Problem] = field(default_factory=list)

    def add(self, key: str, split: str, name: str = "") -> None:
        self.keys.append(key)
        self.splits.append(split)
        self.names.append(name.casefold())
        self.classes.setdefault(name.casefold(), _printable(name))


class Folder(Source):
    """Class folders, with or without folders of splits above them.

    Everything below a class folder, however deep, belongs to the class. Classes are in the order
    of their names, case aside, and are called as their folders are; a character that cannot be
    printed, such as a line break or a byte that is not UTF-8, is escaped. Hidden files and files
    that are no pictures by their suffix are left alone; links are followed.
    """

    kind = "folder"
    layout = (
        "PATH/CLASS/*.jpg or PATH/{train,val,test}/CLASS/*.jpg (or another kind of picture), or "
        "with ?unlabelled=true any folder of pictures"
    )
    Options = FolderOptions
    options: FolderOptions

    def read(self) -> Rows:
        """Look through the folders; see :meth:`hybridface.data.source.Source.read`."""
        problems: list[Problem] = []
        if not is_folder(self.root):
            raise self.refuse(describe_folder(self.root))
        found = _Found()
        for split, folder in self._parts(problems):
            if self.options.unlabelled:
                for key in self._pictures(folder, problems):
                    found.add(key, split)
            else:
                self._read_classes(folder, split, found, problems)
        if not found.keys:
            raise self.refuse(self._describe(found, problems))
        problems.extend(found.loose)
        split_names = np.array(found.splits)
        if self.options.unlabelled:
            return Rows(found.keys, split_names, {}, problems=problems)
        order = sorted(found.classes)
        place = {name: number for number, name in enumerate(order)}
        ids = np.array([place[name] for name in found.names], dtype=np.int64)
        labels = Labels(tuple(found.classes[name] for name in order), ids)
        notes = ["there is one class folder only"] if len(order) == 1 else []
        return Rows(
            found.keys, split_names, {self.options.label: labels}, problems=problems, notes=notes
        )

    def _parts(self, problems: list[Problem]) -> list[tuple[str, Path]]:
        """Return the folders of the splits, else the root as one of no split."""
        folders = [entry for entry in self._entries(self.root, problems) if entry.is_dir()]
        parts = [(split_name(entry.name) or "", Path(entry.path)) for entry in folders]
        parts = sorted(
            ((split, path) for split, path in parts if split),
            key=lambda part: (SPLITS.index(part[0]), part[1]),
        )
        if not parts:
            return [("", self.root)]
        for entry in folders:
            if not split_name(entry.name):
                problems.append(
                    Problem(f"{entry.name}/", "not train, val or test as its neighbours; left out")
                )
        return parts

    def _read_classes(
        self, folder: Path, split: str, found: _Found, problems: list[Problem]
    ) -> None:
        loose = 0
        for entry in self._entries(folder, problems):
            if not entry.is_dir():
                loose += self._is_picture(entry, problems)
                continue
            before = len(found.keys)
            for key in self._pictures(Path(entry.path), problems):
                found.add(key, split, entry.name)
            if len(found.keys) == before:
                problems.append(Problem(f"{self._key(entry)}/", "a class folder without pictures"))
        if loose:
            where = f"{folder.relative_to(self.root).as_posix()}/"
            found.loose.append(
                Problem(where, f"{loose} pictures outside the class folders; left out")
            )

    def _describe(self, found: _Found, problems: list[Problem]) -> str:
        """Say what there is instead of pictures in class folders."""
        if found.loose:
            loose = "; ".join(f"{problem.where}: {problem.what}" for problem in found.loose)
            return f"{loose}. To use pictures without labels, write {self.kind}:{self.path}?" + (
                "unlabelled=true"
            )
        first = f" ({problems[0].where}: {problems[0].what})" if problems else ""
        return f"no pictures, but {describe_folder(self.root)}{first}"

    def _pictures(
        self, folder: Path, problems: list[Problem], above: tuple[str, ...] = ()
    ) -> Iterator[str]:
        """Walk a folder, in order of names; yields keys."""
        place = os.path.realpath(folder)
        if place in above:
            where = folder.relative_to(self.root).as_posix()
            problems.append(Problem(where, "a link to a folder above it; not followed"))
            return
        for entry in self._entries(folder, problems):
            if entry.is_dir():
                yield from self._pictures(Path(entry.path), problems, (*above, place))
            elif self._is_picture(entry, problems):
                yield self._key(entry)

    def _entries(self, folder: Path, problems: list[Problem]) -> list[os.DirEntry[str]]:
        """List what is not hidden and can be reached."""
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            where = f"{folder.relative_to(self.root).as_posix()}/"
            problems.append(Problem(where, f"the folder cannot be read ({error.strerror})"))
            return []
        kept = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_symlink() and not _is_there(entry):
                problems.append(Problem(self._key(entry), "a broken link"))
                continue
            kept.append(entry)
        return kept

    def _is_picture(self, entry: os.DirEntry[str], problems: list[Problem]) -> bool:
        if Path(entry.name).suffix.lower() not in images.SUFFIXES:
            return False
        if not entry.is_file():
            problems.append(Problem(self._key(entry), "not a regular file"))
            return False
        return True

    def _key(self, entry: os.DirEntry[str]) -> str:
        return Path(entry.path).relative_to(self.root).as_posix()


def _printable(name: str) -> str:
    """Escape what cannot be printed, so that the name of any folder can be a class's."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in name
    )


def _is_there(entry: os.DirEntry[str]) -> bool:
    try:
        entry.stat()
    except OSError:
        return False
    return True
