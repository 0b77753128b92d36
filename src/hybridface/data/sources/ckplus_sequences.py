"""The whole of CK+: sequences of frames, an emotion of some, landmarks. No kind of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hybridface.data.source import Labels, Rows, Source, describe_folder, is_folder
from hybridface.data.sources.boxes import box_of, widen
from hybridface.data.sources.folder import FolderOptions
from hybridface.data.sources.label_files import (
    find_folder,
    floats,
    key,
    names_in,
    pictures_in,
    read_bytes,
    read_each,
)
from hybridface.data.sources.tables import Tally, no_usable_row, numbered
from hybridface.errors import DataError

NAMES = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
PEAK = 3  # frames at the end of a sequence that show its expression
_ABOVE = ("", "CK+")
_SUBJECT = re.compile(r"S[0-9]{3}", re.IGNORECASE)
_EMOTION = "_emotion.txt"
_POINTS = 68


class CkPlusOptions(FolderOptions):
    """As of folders; and of the whole set what is taken, and how faces are cut out.

    Attributes:
        neutral: Take the first frame of each sequence too, as an eighth class ``neutral``.
        margin: Part of the width and height of the landmarks' box that is added at each side of
            it. The box ends at the brows and the chin; there is no usual value.
    """

    neutral: bool = False
    margin: float = Field(0.2, ge=0, le=2)


@dataclass(frozen=True)
class Whole:
    """Where the parts of the whole set lie, relative to its root; empty for one not there."""

    images: str
    emotions: str
    landmarks: str


def find_whole(root: Path) -> Whole | None:
    """Return where the whole of CK+ lies below a root, or None where its pictures are not there."""
    for above in _ABOVE:
        images = _first(root, above, "cohn-kanade-images", "extended-cohn-kanade-images")
        if images:
            emotions = _first(root, above, "Emotion", "Emotion_labels")
            return Whole(images, emotions, _first(root, above, "Landmarks", "Landmarks"))
    return None


def _first(root: Path, above: str, name: str, archive: str) -> str:
    """Return the folder of a name, or the one in a folder called as its archive is."""
    places = (key(above, archive, name), key(above, name))
    return find_folder(root, places) or ""


def read_sequences(source: Source, whole: Whole, options: CkPlusOptions) -> Rows:
    """Read the frames at the peak of each sequence that has an emotion.

    Args:
        source: Whose root it is.
        whole: Where the parts lie.
        options: What is taken.

    Raises:
        DataError: There are no emotions, or no sequence has one that can be used.
    """
    root = source.root
    if not whole.emotions:
        raise source.refuse(
            f"the frames in {whole.images}/, but no folder Emotion (unpack Emotion_labels.zip in "
            f"PATH); in PATH: {describe_folder(root)}"
        )
    tally = Tally()
    found = _emotions(root, whole)
    labelled = {folder: file for folder, file in found.items() if file}
    values, wrong = read_each(root, list(labelled.values()), _number, 1)
    names = ("neutral", *NAMES) if options.neutral else NAMES
    keys, subjects, ids = [], [], []
    for place, (folder, file) in enumerate(labelled.items()):
        frames = pictures_in(root / whole.images / folder)
        if place in wrong or not frames:
            why = wrong.get(place, "is of no frame that is there")
            tally.add(file, f"{why}; sequence left out")
            continue
        emotion = names.index(NAMES[int(values[place, 0]) - 1])
        taken = [(name, emotion) for name in frames[-PEAK:]]
        if options.neutral and len(frames) > PEAK:
            taken.insert(0, (frames[0], names.index("neutral")))
        keys += [f"{folder}/{name}" for name, _ in taken]
        ids += [label for _, label in taken]
        subjects += [folder[:4].upper()] * len(taken)
    if not keys:
        raise source.refuse(no_usable_row(root, tally.problems(), "no emotion of a sequence"))
    notes = [f"{len(found) - len(labelled)} of {len(found)} sequences have no emotion: left out"]
    boxes = _boxes(root, whole, keys, options.margin, tally)
    if boxes is None:
        notes.append("no Landmarks: whole pictures, which are not cut to the faces")
    return Rows(
        [f"{whole.images}/{name}" for name in keys],
        np.full(len(keys), "", dtype="U5"),
        {options.label: Labels(names, np.array(ids, dtype=np.int64))},
        group=numbered(subjects),
        problems=tally.problems(),
        notes=notes,
        boxes=boxes,
    )


def _emotions(root: Path, whole: Whole) -> dict[str, str]:
    """Return the file of the emotion of each sequence, ``SNNN/NNN``; empty where it has none."""
    folders = {
        f"{subject}/{sequence}"
        for place in (whole.images, whole.emotions)
        for subject in filter(_SUBJECT.fullmatch, names_in(root / place))
        for sequence in names_in(root / place / subject)
        if is_folder(root / place / subject / sequence)
    }
    found = {}
    for folder in sorted(folders):
        inside = f"{whole.emotions}/{folder}"
        files = [name for name in names_in(root / inside) if name.endswith(_EMOTION)]
        found[folder] = f"{inside}/{files[0]}" if files else ""
    return found


def _boxes(
    root: Path, whole: Whole, keys: list[str], margin: float, tally: Tally
) -> NDArray[np.float32] | None:
    """Return the boxes of the landmarks, widened; None where there are no landmarks."""
    if not whole.landmarks:
        return None
    files = [f"{whole.landmarks}/{Path(name).with_suffix('')}_landmarks.txt" for name in keys]
    boxes, wrong = read_each(root, files, _box, 4)
    for place, what in wrong.items():
        where = f"{whole.images}/{keys[place]}"
        tally.add(where, f"its file of landmarks {what}: the whole picture is used")
    return None if np.isnan(boxes).all() else widen(boxes, (margin,) * 4)


def _number(path: Path) -> list[float]:
    values = floats(read_bytes(path))
    if len(values) != 1 or values[0] not in range(1, len(NAMES) + 1):
        raise DataError(f"does not hold one whole number from 1 to {len(NAMES)}")
    return [float(values[0])]


def _box(path: Path) -> NDArray[np.float64]:
    values = floats(read_bytes(path))
    if len(values) != 2 * _POINTS or not np.isfinite(values).all():
        raise DataError(f"holds {len(values)} numbers, expected {_POINTS} times x and y")
    return box_of(values.reshape(-1, 2).T)
