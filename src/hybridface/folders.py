"""Files below folders: links are followed, and no file comes twice."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

AGAIN = "leads to what is read already; not followed"
ABOVE = "leads to a folder above it; not followed"
BROKEN = "a broken link"

Tell = Callable[[str, str], None]  # a path, and what is wrong with it


def entries_of(folder: str | Path, tell: Tell) -> list[os.DirEntry[str]]:
    """List what lies in a folder, in order of names, without hidden ones and broken links.

    Args:
        folder: The folder.
        tell: Called with each broken link, and with the folder where it cannot be read.
    """
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        tell(os.fspath(folder), f"the folder cannot be read ({error.strerror})")
        return []
    kept = []
    for entry in entries:
        if entry.name.startswith(".") or entry.name == "__MACOSX":  # of archives made on a Mac
            continue
        if entry.is_symlink() and not _leads_somewhere(entry.path):
            tell(entry.path, BROKEN)
            continue
        kept.append(entry)
    return kept


def files_below(
    folders: Sequence[str | Path], wanted: Callable[[os.DirEntry[str]], bool], tell: Tell
) -> list[list[str]]:
    """Find the files at any depth below some folders; links are followed, hidden names left out.

    A file or folder to which several ways lead is met once: by its own name where that lies below
    one of the folders, else by the first link. So links in circles end.

    Args:
        folders: Where to begin.
        wanted: Says of a file whether it is one.
        tell: Called with what :func:`entries_of` tells, and with each link that is not followed.

    Returns:
        For each of ``folders`` the paths of its files, in order of names.
    """
    found = _Found(folders, wanted, tell)
    starts = [(os.fspath(folder), number) for number, folder in enumerate(folders)]
    found.links.extend(start for start in starts if Path(start[0]).is_symlink())
    for start in starts:
        if not Path(start[0]).is_symlink():
            found.walk(*start)
    while found.links:
        found.follow(*found.links.popleft())
    return [sorted(paths, key=_parts) for paths in found.paths]


class _Found:
    """What :func:`files_below` has met so far.

    Attributes:
        paths: The files below each folder.
        links: Links that were met and not followed yet, each with the number of its folder.
    """

    def __init__(
        self,
        folders: Sequence[str | Path],
        wanted: Callable[[os.DirEntry[str]], bool],
        tell: Tell,
    ) -> None:
        self.paths: list[list[str]] = [[] for _ in folders]
        self.links: deque[tuple[str, int]] = deque()
        self._wanted, self._tell = wanted, tell
        above = (Path(os.path.realpath(each)).parents for each in folders)
        self._above = {os.fspath(folder) for parents in above for folder in parents}
        self._met: set[str] = set()

    def walk(self, start: str, number: int) -> None:
        """Go through a folder and those in it; links are put by."""
        todo = [(start, os.path.realpath(start))]
        while todo:
            folder, place = todo.pop()
            if self._is_new(folder, place):
                for entry in entries_of(folder, self._tell):
                    inner = os.path.join(place, entry.name)  # noqa: PTH118
                    if entry.is_dir() and not entry.is_symlink():
                        todo.append((entry.path, inner))
                    elif entry.is_dir() or self._wanted(entry):
                        if entry.is_symlink():
                            self.links.append((entry.path, number))
                        elif self._is_new(entry.path, inner):
                            self.paths[number].append(entry.path)

    def follow(self, link: str, number: int) -> None:
        """Go where a link leads, unless what is there was met or is above."""
        place = os.path.realpath(link)
        if place in self._above:
            self._tell(link, ABOVE)
        elif os.path.isdir(link):  # noqa: PTH112
            self.walk(link, number)
        elif self._is_new(link, place):
            self.paths[number].append(link)

    def _is_new(self, path: str, place: str) -> bool:
        """Say whether a place is met for the first time; tell where it is not."""
        if place in self._met:
            self._tell(path, AGAIN)
            return False
        self._met.add(place)
        return True


def _parts(path: str) -> list[str]:
    return path.split(os.sep)  # noqa: PTH206 (a Path for each file takes long)


def _leads_somewhere(link: str) -> bool:
    try:
        os.stat(link)  # noqa: PTH116
    except OSError:
        return False
    return True
