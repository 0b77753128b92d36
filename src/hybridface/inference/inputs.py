"""What a person names to be looked at: pictures, folders, patterns, video, a camera."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hybridface import images
from hybridface.errors import UsageError
from hybridface.folders import ABOVE, AGAIN, BROKEN, files_below

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".ogv", ".flv"}
)
_ADDRESS = re.compile(r"(https?|ftp|s3|rtsp|file)://", re.IGNORECASE)
_CAMERA = re.compile(r"webcam(?::(\d{1,9}))?")  # no system counts farther
Kind = Literal["picture", "video", "camera"]


@dataclass(frozen=True)
class Input:
    """One thing to look at.

    Attributes:
        path: The file; for a camera what was given.
        kind: What it is taken for, by its name alone.
        camera: The number of the camera.
    """

    path: Path
    kind: Kind
    camera: int = 0

    @property
    def name(self) -> str:
        """Return the path as text that any stream can take, whatever bytes are in it."""
        return os.fsencode(self.path).decode("utf-8", "replace")

    @property
    def moves(self) -> bool:
        """Whether it is a sequence of frames."""
        return self.kind != "picture"


def find_inputs(given: Iterable[str | Path]) -> list[Input]:
    """Expand folders and patterns to the pictures and videos in them, each file once.

    Files are taken as they are, whatever their suffix. What is in a folder, at any depth, comes
    sorted, hidden files and folders left out; links are followed, but not to a folder above it or
    to what was met before. A pattern begins where the folders that are there
    end, so these may have brackets in their names. What leads to nothing, as a link may, and a
    folder that cannot be read are kept as pictures, so that they are reported like broken files.

    Args:
        given: Files, folders, patterns such as ``photos/**/*.jpg``, and ``webcam`` or
            ``webcam:1``.

    Raises:
        UsageError: One is an empty name, or an address.
    """
    found: dict[Path, Input] = {}
    for each in given:
        path, text = Path(each), os.fspath(each)
        if not text:
            raise UsageError("an input is empty: name a picture, a folder, a pattern or a video")
        if _ADDRESS.match(text) and not exists(path):
            raise UsageError(f"{text}: addresses are not read; save it and name the file")
        camera = _CAMERA.fullmatch(text)
        if camera and not exists(path):
            found[path] = Input(path, "camera", int(camera[1] or 0))
            continue
        for inner in _files_at(path, text) or [path]:
            kind: Kind = "video" if inner.suffix.lower() in VIDEO_SUFFIXES else "picture"
            found.setdefault(inner, Input(inner, kind))
    return list(found.values())


def exists(path: Path) -> bool:
    """Say whether there is such a file or folder; no name is too long to be asked for."""
    try:
        return path.exists()
    except (OSError, ValueError):  # too long a name, a folder that may not be entered
        return False


def _files_at(path: Path, text: str) -> list[Path]:
    """Return the file itself, what is in the folder, what fits the pattern, or nothing."""
    if not exists(path):
        if not glob.has_magic(text):
            return []
        there = text
        while there and not exists(Path(there)):
            there = os.path.dirname(there)  # noqa: PTH120 (Path drops a slash at the end)
        pattern = glob.escape(there) + text[len(there) :]
        # Path.glob takes no absolute pattern.
        fitting = map(Path, sorted(glob.glob(pattern, recursive=True)))  # noqa: PTH207
        return [file for each in fitting for file in _files_at(each, str(each))]
    try:
        if not path.is_dir():
            return [path]
    except OSError:
        return []
    unusable: list[Path] = []

    def tell(place: str, what: str) -> None:
        # Kept, so that it is reported; what was met already or lies above is not.
        if what not in (AGAIN, ABOVE) and (what != BROKEN or _is_wanted(place)):
            unusable.append(Path(place))

    [files] = files_below([path], lambda entry: _is_wanted(entry.name), tell)
    return sorted([*map(Path, files), *unusable])


def _is_wanted(name: str) -> bool:
    return Path(name).suffix.lower() in images.SUFFIXES | VIDEO_SUFFIXES
