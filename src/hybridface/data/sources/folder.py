"""Folders of pictures, one a class: the layout that most data sets can be brought into."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
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
from hybridface.errors import UsageError
from hybridface.folders import Tell, entries_of, files_below


class FolderOptions(SourceOptions):
    """What to make of the folders.

    Attributes:
        label: What the label column is called.
        unlabelled: Take every picture below PATH without a label, whatever its folder's name.
    """

    label: str = "expression"
    unlabelled: bool = False


@dataclass(frozen=True)
class _Place:
    """A folder whose pictures have one split and one class; both are empty where there is none."""

    folder: str
    split: str = ""
    label: str = ""


@dataclass
class _Found:
    """Pictures in the order found; ``classes`` are by lower-case name, as two splits may differ."""

    keys: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    classes: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, place: _Place) -> None:
        self.keys.append(key)
        self.splits.append(place.split)
        self.names.append(name := place.label.casefold())
        if name not in self.classes:
            self.classes[name] = _printable(place.label)


class Folder(Source):
    """Class folders, with or without folders of splits above them.

    Everything below a class folder, however deep, belongs to the class. Classes are in the order
    of their names, case aside, and are called as their folders are; a character that cannot be
    printed, such as a line break or a byte that is not UTF-8, is escaped. Hidden files and files
    that are no pictures by their suffix are left alone. Links are followed, and each file is read
    once. The folders of splits may lie in one folder that is alone in PATH, one for training among
    them.
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
        told: set[Problem] = set()
        if not self.path:  # as of a shell's variable that is not set
            raise UsageError(f"{self.kind}: has no path; {self.kind}:. is the working folder")
        if not is_folder(self.root):
            raise self.refuse(describe_folder(self.root))

        def tell(path: str, what: str) -> None:
            problem = Problem(self._key(path), what)
            if problem not in told:  # a folder may be listed twice
                told.add(problem)
                problems.append(problem)

        loose: list[Problem] = []
        places = self._parts(problems, tell)
        if not self.options.unlabelled:
            places = self._classes(places, loose, tell)
        wanted = partial(_is_picture, tell=tell)
        found = _Found()
        # The last split first: what is tested on under another name is not trained on.
        paths = files_below([place.folder for place in reversed(places)], wanted, tell)
        for place, inside in zip(places, reversed(paths), strict=True):
            for path in inside:
                found.add(self._key(path), place)
            if place.label and not inside:
                where = f"{self._key(place.folder)}/"
                problems.append(Problem(where, "a class folder without pictures"))
        if not found.keys:
            raise self.refuse(self._describe(loose, problems))
        return self._rows(found, problems + loose)

    def _rows(self, found: _Found, problems: list[Problem]) -> Rows:
        splits = np.array(found.splits)
        if self.options.unlabelled:
            return Rows(found.keys, splits, {}, problems=problems)
        order = sorted(found.classes)
        place = {name: number for number, name in enumerate(order)}
        ids = np.array([place[name] for name in found.names], dtype=np.int64)
        labels = Labels(tuple(found.classes[name] for name in order), ids)
        notes = ["there is one class folder only"] if len(order) == 1 else []
        return Rows(
            found.keys, splits, {self.options.label: labels}, problems=problems, notes=notes
        )

    def _parts(self, problems: list[Problem], tell: Tell) -> list[_Place]:
        """Return the folders of the splits, else the root as one of no split."""
        folders = _folders_in(self.root, tell)
        if len(folders) == 1 and not split_name(folders[0].name):
            inner = _folders_in(folders[0].path, tell)
            if any(split_name(entry.name) == "train" for entry in inner):  # as some archives are
                folders = inner
        parts = [_Place(entry.path, split_name(entry.name) or "") for entry in folders]
        parts = [part for part in parts if part.split]
        if not parts:
            return [_Place(os.fspath(self.root))]
        for entry in folders:
            if not split_name(entry.name):
                what = "not train, val or test as its neighbours; left out"
                problems.append(Problem(f"{self._key(entry.path)}/", what))
        return sorted(parts, key=lambda part: (SPLITS.index(part.split), part.folder))

    def _classes(self, parts: list[_Place], loose: list[Problem], tell: Tell) -> list[_Place]:
        """Return the folders of the classes in those of the splits."""
        classes = []
        for part in parts:
            entries = entries_of(part.folder, tell)
            classes += [_Place(e.path, part.split, e.name) for e in entries if e.is_dir()]
            if count := sum(_is_picture(e, tell) for e in entries if not e.is_dir()):
                what = f"{count} pictures outside the class folders; left out"
                loose.append(Problem(f"{self._key(part.folder)}/", what))
        return classes

    def _describe(self, loose: list[Problem], problems: list[Problem]) -> str:
        """Say what there is instead of pictures in class folders."""
        if loose:
            said = "; ".join(f"{problem.where}: {problem.what}" for problem in loose)
            return f"{said}. To use pictures without labels, write {self.kind}:{self.path}?" + (
                "unlabelled=true"
            )
        first = f" ({problems[0].where}: {problems[0].what})" if problems else ""
        return f"no pictures, but {describe_folder(self.root)}{first}"

    def _key(self, path: str) -> str:
        above = len(os.path.join(self.root, ""))  # noqa: PTH118 (a Path for each takes long)
        return path[above:].replace(os.sep, "/") or "."


def _folders_in(folder: str | Path, tell: Tell) -> list[os.DirEntry[str]]:
    return [entry for entry in entries_of(folder, tell) if entry.is_dir()]


def _is_picture(entry: os.DirEntry[str], tell: Tell) -> bool:
    if Path(entry.name).suffix.lower() not in images.SUFFIXES:
        return False
    if not entry.is_file():
        tell(entry.path, "not a regular file")
        return False
    return True


def _printable(name: str) -> str:
    """Escape what cannot be printed, so that the name of any folder can be a class's."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in name
    )
