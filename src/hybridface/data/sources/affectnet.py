"""AffectNet (Mollahosseini, Hasani and Mahoor, IEEE TAC 2017): expressions, valence, arousal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from hybridface.data.source import (
    MISSING,
    Labels,
    NumericLabels,
    Problem,
    Rows,
    Source,
    SourceOptions,
    describe_folder,
    is_folder,
)
from hybridface.data.sources.label_files import (
    find_file,
    find_folder,
    key,
    not_there,
    pictures_in,
    read_bytes,
    read_each,
)
from hybridface.data.sources.tables import BREAK, Table, Tally, no_usable_row, open_table
from hybridface.errors import DataError

NAMES = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")
NO_EXPRESSION = ("none", "uncertain", "no-face")
_TABLES = {"train": "training.csv", "val": "validation.csv"}
_ABOVE = ("", "AffectNet")
_TABLE_FOLDERS = ("", "Manually_Annotated_file_lists")
_PICTURES = (
    "Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images",
    "Manually_Annotated_compressed/Manually_Annotated_Images", "Manually_Annotated_compressed",
    "Manually_Annotated",
)  # fmt: skip
_PATH = "subDirectory_filePath"
_LABELS = ("expression", "valence", "arousal")
_BOX = ("face_x", "face_y", "face_width", "face_height")
_COLUMNS = (_PATH, *_BOX, "facial_landmarks", *_LABELS)
_SETS = {"train": "train_set", "val": "val_set"}


class AffectNetOptions(SourceOptions):
    """Which expressions.

    Attributes:
        classes: 8 expressions, or 7 without contempt, whose pictures are then left out.
    """

    classes: Annotated[Literal[8, 7], BeforeValidator(int)] = Field(8)


@dataclass
class _Faces:
    keys: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    labels: list[NDArray[np.float64]] = field(default_factory=list)  # expression, valence, arousal
    boxes: list[NDArray[np.float64]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)


class AffectNet(Source):
    """Official training and validation sets; the latter is what the literature reports on.

    Both layouts are read: the original one of whole tables, whose boxes of the faces are cut out,
    and the later one of face crops with ``.npy`` files. A table may lack the line that names its
    columns, as copies of the original ``validation.csv`` do. Pictures without an expression (8
    none, 9 uncertain, 10 no face) are left out and counted. Valence and arousal lie from -1 to 1.
    """

    kind = "affectnet"
    layout = (
        f"PATH/training.csv and validation.csv (columns {_PATH}, {', '.join((*_BOX, *_LABELS))}) "
        "with the pictures in PATH/Manually_Annotated_Images; or PATH/train_set and PATH/val_set "
        "with images/ID.jpg and annotations/ID_exp.npy, ID_val.npy and ID_aro.npy in each; or "
        "these below PATH/AffectNet"
    )
    Options = AffectNetOptions
    options: AffectNetOptions

    def read(self) -> Rows:
        """Read the labels; see :meth:`hybridface.data.source.Source.read`."""
        faces = _Faces()
        above = next((each for each in _ABOVE if self._tables(each) or self._sets(each)), None)
        if above is None:
            raise self.refuse(describe_folder(self.root))
        if tables := self._tables(above):
            absent = [name for split, name in _TABLES.items() if split not in tables]
            for split, path in tables.items():
                self._read_table(split, open_table(path, _COLUMNS), above, faces)
        else:
            sets = self._sets(above)
            absent = [name for split, name in _SETS.items() if split not in sets]
            for split, folder in sets.items():
                self._read_set(split, folder, faces)
        problems = faces.problems + faces.tally.problems()
        if not faces.keys:
            raise self.refuse(no_usable_row(self.root, problems, "no picture"))
        return self._rows(faces, problems, absent)

    def _tables(self, above: str) -> dict[str, Path]:
        """Return the table of each split that has one."""
        inside = [key(above, place) for place in _TABLE_FOLDERS]
        found = {split: find_file(self, name, inside) for split, name in _TABLES.items()}
        return {split: path for split, path in found.items() if path is not None}

    def _sets(self, above: str) -> dict[str, str]:
        """Return the folder of each split that has one; some tools unpack it twice over."""
        return {
            split: place
            for split, name in _SETS.items()
            for place in (key(above, name), key(above, name, name))
            if is_folder(self.root / place / "images")
        }

    def _read_table(self, split: str, table: Table, above: str, faces: _Faces) -> None:
        picture, *labels = table.need((_PATH, *_LABELS))
        box = [place for name in _BOX if (place := table.find((name,))) is not None]
        places = [key(above, place) for place in _PICTURES]
        folder = find_folder(self.root, places) or places[0]
        for line, cells in table.rows(faces.problems):
            name = cells[picture]
            if not name or BREAK.search(name):
                faces.tally.add(table.where(line), "no picture named; row left out")
                continue
            faces.keys.append(key(folder, name))
            faces.splits.append(split)
            faces.labels.append(_numbers([cells[place] for place in labels]))
            corner = _numbers([cells[place] for place in box])
            if len(corner) < 4 or not np.isfinite(corner).all():
                faces.tally.add(faces.keys[-1], "no box of the face: the whole picture is used")
                corner = np.full(4, np.nan)
            faces.boxes.append(corner + np.array([0, 0, *corner[:2]]))

    def _read_set(self, split: str, folder: str, faces: _Faces) -> None:
        names = pictures_in(self.root / folder / "images")
        stems = [f"{folder}/annotations/{Path(name).stem}" for name in names]
        columns = []
        for end in ("exp", "val", "aro"):
            files = [f"{stem}_{end}.npy" for stem in stems]
            values, wrong = read_each(self.root, files, _parse, 1, memory=f"npy 1 {folder} {end}")
            columns.append(values[:, 0])
            for place, what in wrong.items():
                where, said = key(folder, "images", names[place]), f"its _{end}.npy {what}"
                if end == "exp":  # the picture has no label: each such one is named
                    faces.problems.append(Problem(where, said))
                else:
                    faces.tally.add(where, said)
        faces.keys += [key(folder, "images", name) for name in names]
        faces.splits += [split] * len(names)
        faces.labels += list(np.stack(columns, axis=1))
        faces.boxes += [np.full(4, np.nan)] * len(names)

    def _rows(self, faces: _Faces, problems: list[Problem], absent: list[str]) -> Rows:
        labels = np.array(faces.labels)
        code = np.where(np.isfinite(labels[:, 0]) & (labels[:, 0] % 1 == 0), labels[:, 0], MISSING)
        last = len(NAMES) + len(NO_EXPRESSION)
        unknown = np.flatnonzero((code < 0) | (code >= last)).tolist()
        named = {problem.where for problem in problems}
        problems = problems + [
            Problem(faces.keys[row], f"expression is not a whole number from 0 to {last - 1}")
            for row in unknown
            if faces.keys[row] not in named
        ]
        code = np.where((code >= 0) & (code < last), code, MISSING).astype(np.int64)
        kept = code < self.options.classes
        gone = Counter((*NAMES, *NO_EXPRESSION)[each] for each in code[~kept].tolist())
        notes = not_there(absent)
        if gone:
            counts = ", ".join(f"{count} {name}" for name, count in gone.items())
            notes.append(f"left out by their expression: {counts}")
        if not kept.any():
            raise self.refuse(f"no picture with an expression ({'; '.join(notes)})")
        felt = labels[kept, 1:].astype(np.float32)
        felt[~(np.abs(felt) <= 1)] = np.nan
        boxes = np.array(faces.boxes, dtype=np.float32)[kept]
        rows = np.flatnonzero(kept).tolist()
        return Rows(
            [faces.keys[row] for row in rows],
            np.array(faces.splits, dtype="U5")[kept],
            {"expression": Labels(NAMES[: self.options.classes], code[kept])},
            problems=problems,
            notes=notes,
            numeric={"valence_arousal": NumericLabels(("valence", "arousal"), felt)},
            boxes=None if np.isnan(boxes).all() else boxes,
        )


def _numbers(cells: list[str]) -> NDArray[np.float64]:
    values = np.full(len(cells), np.nan)
    for place, cell in enumerate(cells):
        try:
            values[place] = float(cell)
        except ValueError:
            continue
    return values


def _parse(path: Path) -> list[float]:
    """Return the number in a ``.npy`` file, which may hold it as text."""
    content = read_bytes(path)
    try:
        return [float(np.load(BytesIO(content), allow_pickle=False).item())]
    except Exception as error:  # numpy raises many kinds on damaged files
        what = str(error).partition("\n")[0][:60]
        raise DataError(f"is not one of a single number ({what})") from error
