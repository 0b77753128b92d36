"""Adience (Eidinger, Enbar and Hassner, IEEE TIFS 2014): age groups and gender, five folds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np

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
from hybridface.data.sources.label_files import find_file, key, not_there
from hybridface.data.sources.tables import (
    BREAK,
    Tally,
    is_missing,
    no_usable_row,
    numbered,
    open_table,
)
from hybridface.labels import GENDERS

AGES = ((0, 2), (4, 6), (8, 12), (15, 20), (25, 32), (38, 43), (48, 53), (60, 100))
FOLDS = 5
_ABOVE = (
    "",
    "AdienceBenchmarkGenderAndAgeClassification",
    "AdienceBenchmarkOfUnfilteredFacesForGenderAndAgeClassification",
)
_LISTS = ("fold_{}_data.txt", "fold_frontal_{}_data.txt")
_COLUMNS = ("user_id", "original_image", "face_id", "age", "gender")
_NUMBERS = re.compile(r"\(([0-9]{1,3}), ?([0-9]{1,3})\)|([0-9]{1,3})")
_KINDS = {"faces": "coarse_tilt_aligned_face", "aligned": "landmark_aligned_face"}


class AdienceOptions(SourceOptions):
    """Which pictures and labels.

    Attributes:
        pictures: Those of ``faces`` or of ``aligned``; by default of the one that is there,
            ``aligned`` before ``faces``.
        midpoints: Give ages in years too: a single age as it is, a range by its middle.
    """

    pictures: Literal["faces", "aligned"] | None = None
    midpoints: bool = False


class Adience(Source):
    """Faces in albums of people's own, with gender and one of eight age groups.

    The folds of ``data.folds.official`` are the data set's five, which are disjoint in people's
    albums; a group is an album (``user_id``). Gender ``u`` is a missing label. A few ages are other
    ranges or single years: they are given the age group that their middle lies in, or none.

    Ages are classes, ``age_group``. Middles of ranges as years, which say 80 of everybody over 60,
    are given as ``age`` only where ``midpoints`` asks for them.
    """

    kind = "adience"
    layout = (
        f"PATH/fold_0_data.txt to fold_{FOLDS - 1}_data.txt (tabs; columns {', '.join(_COLUMNS)}) "
        "with the pictures in PATH/aligned/USER/landmark_aligned_face.FACE.IMAGE or in "
        "PATH/faces/USER/coarse_tilt_aligned_face.FACE.IMAGE; or these below the folder of the "
        f"archive, PATH/{_ABOVE[1]}; without these lists those of frontal faces, "
        f"fold_frontal_0_data.txt to fold_frontal_{FOLDS - 1}_data.txt"
    )
    Options = AdienceOptions
    options: AdienceOptions

    def read(self) -> Rows:
        """Read the lists of the folds; see :meth:`hybridface.data.source.Source.read`."""
        above, kind = self._pictures()
        problems: list[Problem] = []
        tally = Tally()
        cells = []
        name, lists = self._lists(above)
        for fold, path in enumerate(lists):
            if path is None:
                what = f"not there: the pictures of fold {fold} are left out"
                problems.append(Problem(name.format(fold), what))
                continue
            table = open_table(path)
            places = table.need(_COLUMNS)
            for line, row in table.rows(problems):
                user, image, face, age, gender = (row[place] for place in places)
                if not (user and image and face) or BREAK.search(user + image + face):
                    tally.add(table.where(line), "no picture named; row left out")
                    continue
                picture = key(above, kind, user, f"{_KINDS[kind]}.{face}.{image}")
                cells.append((picture, user, age, gender, fold))
        if not cells:
            raise self.refuse(no_usable_row(self.root, problems + tally.problems(), "no picture"))
        absent = [name.format(fold) for fold, path in enumerate(lists) if path is None]
        notes = not_there(absent)
        if name != _LISTS[0]:
            notes.append(f"frontal faces alone: no {_LISTS[0].format(0)}")
        return self._rows(cells, problems, tally, notes)

    def _rows(
        self,
        cells: list[tuple[str, str, str, str, int]],
        problems: list[Problem],
        tally: Tally,
        notes: list[str],
    ) -> Rows:
        keys, users, ages, genders, folds = (list(column) for column in zip(*cells, strict=True))
        years = np.array([_years(age) for age in ages], dtype=np.float32)
        for name, age, year in zip(keys, ages, years, strict=True):
            if np.isnan(year) and not is_missing(age) and age != "None":
                tally.add(name, f"unknown age '{age[:20]}'")
        known = {"m": 0, "f": 1}
        gender = np.array([known.get(cell.casefold(), MISSING) for cell in genders], dtype=np.int64)
        for name, cell in zip(keys, genders, strict=True):
            if cell.casefold() not in {"", "u", *known}:
                tally.add(name, f"unknown gender '{cell[:20]}', expected m, f or u")
        low, high = np.array(AGES, dtype=np.float32).T
        inside = (years[:, None] >= low) & (years[:, None] <= high)
        group = np.where(inside.any(axis=1), inside.argmax(axis=1), MISSING).astype(np.int64)
        names = tuple(f"{first}-{last}" for first, last in AGES)
        return Rows(
            keys,
            np.full(len(keys), "", dtype="U5"),
            {"gender": Labels(GENDERS, gender), "age_group": Labels(names, group)},
            group=numbered(users),
            problems=problems + tally.problems(),
            notes=notes,
            numeric=(
                {"age": NumericLabels(("age",), years[:, None], "years")}
                if self.options.midpoints
                else {}
            ),
            folds=np.array(folds, dtype=np.int64),
        )

    def _pictures(self) -> tuple[str, str]:
        """Return the folder that holds the data set, and which of its pictures to take."""
        for above in _ABOVE:
            for kind in ("aligned", "faces"):
                if self.options.pictures in (None, kind) and is_folder(self.root / above / kind):
                    return above, kind
        raise self.refuse(describe_folder(self.root))

    def _lists(self, above: str) -> tuple[str, list[Path | None]]:
        """Return the name of the lists, with braces for the fold's number, and the lists."""
        inside = ("", "folds", above, key(above, "folds"))
        for name in _LISTS:
            lists = [find_file(self, name.format(fold), inside) for fold in range(FOLDS)]
            if any(lists):
                return name, lists
        raise self.refuse(describe_folder(self.root / above))


def _years(cell: str) -> float:
    match = _NUMBERS.fullmatch(cell)
    if match is None:
        return float("nan")
    ages = [int(part) for part in match.groups() if part is not None]
    return sum(ages) / len(ages)
