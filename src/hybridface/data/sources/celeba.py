"""CelebA (Liu et al., ICCV 2015): gender and other attributes of celebrities, with splits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybridface.data.source import (
    MISSING,
    SPLITS,
    Labels,
    Problem,
    Rows,
    Source,
    SourceOptions,
    describe_folder,
)
from hybridface.data.sources.csv_table import Names
from hybridface.data.sources.label_files import find_file, find_folder, key, names_in, read_lines
from hybridface.data.sources.tables import Tally, no_usable_row, numbered, open_table, whole_number
from hybridface.errors import DataError, UsageError, unknown
from hybridface.labels import GENDERS

GENDER = "Male"
_ABOVE = ("", "celeba", "CelebA")
_LISTS = tuple(key(above, place) for above in _ABOVE for place in ("", "Anno", "Eval"))
_AS_PNG = "img_align_celeba_png"  # the same pictures, called .jpg in the lists
_PICTURES = tuple(
    key(above, place, name)
    for above in _ABOVE
    for place in ("", "Img")
    for name in (
        "img_align_celeba/img_align_celeba",
        "img_align_celeba",
        f"{_AS_PNG}.7z/{_AS_PNG}",
        _AS_PNG,
    )
)
_VALUES = {"1": 1, "-1": 0, "0": 0}

Cells = tuple[str, list[str]]  # where a row stands, and its cells


class CelebAOptions(SourceOptions):
    """Which labels.

    Attributes:
        attributes: Attributes beside ``Male`` to give as labels of the classes ``no`` and ``yes``,
            with commas, as ``Smiling,Eyeglasses``; ``all`` for all.
    """

    attributes: Names = ()


class CelebA(Source):
    """Aligned faces of 178 x 218 with ``Male`` as gender, official splits, and the person's number.

    Where no list of splits is there, the rows have none; where no list of identities is there,
    persons are not known, and may stand on both sides of a cut.
    """

    kind = "celeba"
    layout = (
        "PATH/list_attr_celeba.txt or .csv with the pictures in PATH/img_align_celeba/, and where "
        "known list_eval_partition.txt or .csv and identity_CelebA.txt beside it; or the lists in "
        "PATH/Anno and PATH/Eval and the pictures in PATH/Img/img_align_celeba/; or these below "
        "PATH/CelebA or PATH/celeba; img_align_celeba_png/ where img_align_celeba/ is not there"
    )
    Options = CelebAOptions
    options: CelebAOptions

    def read(self) -> Rows:
        """Read the lists; see :meth:`hybridface.data.source.Source.read`."""
        problems: list[Problem] = []
        tally = Tally()
        pictures = find_folder(self.root, _PICTURES)
        found = self._find("list_attr_celeba")
        if pictures is None or found is None:
            raise self.refuse(describe_folder(self.root))
        columns, rows = _table(found, problems)
        wanted = self._wanted(found, columns)
        suffix = self._suffix(pictures)
        keys: list[str] = []
        values: list[list[int]] = []
        for where, cells in rows:
            if len(cells) != len(columns) + 1 or not cells[0] or "\0" in cells[0]:
                tally.add(where, f"not a picture and {len(columns)} attributes; row left out")
                continue
            keys.append(cells[0])
            values.append([_VALUES.get(cells[place + 1], MISSING) for place in wanted.values()])
            if MISSING in values[-1]:
                picture = _picture(pictures, cells[0], suffix)
                tally.add(picture, "an attribute that is neither 1 nor -1")
        if not keys:
            raise self.refuse(no_usable_row(found, problems + tally.problems()))
        ids = np.array(values, dtype=np.int64)
        male = ids[:, 0]
        labels = {"gender": Labels(GENDERS, np.where(male == MISSING, MISSING, 1 - male))}
        for place, name in enumerate([*wanted][1:], start=1):
            labels[name] = Labels(("no", "yes"), ids[:, place])
        notes: list[str] = []
        return Rows(
            [_picture(pictures, name, suffix) for name in keys],
            self._split(keys, notes, problems),
            labels,
            group=self._persons(keys, notes, problems),
            problems=problems + tally.problems(),
            notes=notes,
        )

    def _find(self, name: str) -> Path | None:
        paths = (find_file(self, f"{name}{end}", _LISTS) for end in (".txt", ".csv"))
        return next(filter(None, paths), None)

    def _suffix(self, pictures: str) -> str:
        """Return the suffix of the pictures where it is another than the lists say, else empty."""
        if not pictures.endswith(_AS_PNG):
            return ""
        names = names_in(self.root / pictures)
        return ".png" if any(name.endswith(".png") for name in names) else ""

    def _wanted(self, path: Path, columns: list[str]) -> dict[str, int]:
        """Return the place of the gender and of each other wanted attribute."""
        if GENDER not in columns:
            raise self.refuse(f"attributes {', '.join(columns)[:200]} in {path}, without {GENDER}")
        names = self.options.attributes
        if names == ("all",):
            names = tuple(name for name in columns if name != GENDER)
        if "gender" in names:
            raise UsageError(f"{self.kind}:{self.path}: 'gender' is what {GENDER} is called")
        for name in names:
            if name not in columns:
                raise unknown("attribute of CelebA", name, columns)
        return {name: columns.index(name) for name in (GENDER, *names)}

    def _split(
        self, keys: list[str], notes: list[str], problems: list[Problem]
    ) -> NDArray[np.str_]:
        path = self._find("list_eval_partition")
        if path is None:
            notes.append("no list_eval_partition: the rows have no official splits")
            return np.full(len(keys), "", dtype="U5")
        splits = {}
        tally = Tally()
        for where, cells in _pairs(path, problems):
            number = whole_number(cells[1])
            if number is None or number >= len(SPLITS):
                tally.add(where, "split", f"split '{cells[1][:20]}' is not 0, 1 or 2")
                continue
            splits[cells[0]] = SPLITS[number]
        problems += tally.problems()
        if without := sum(name not in splits for name in keys):
            notes.append(f"{without} pictures are in no split of {path.name}")
        return np.array([splits.get(name, "") for name in keys], dtype="U5")

    def _persons(
        self, keys: list[str], notes: list[str], problems: list[Problem]
    ) -> NDArray[np.int64] | None:
        path = self._find("identity_CelebA")
        if path is None:
            notes.append("no identity_CelebA.txt: the persons are not known")
            return None
        persons = {cells[0]: cells[1] for _, cells in _pairs(path, problems)}
        if without := sum(name not in persons for name in keys):
            notes.append(f"{without} pictures are of no person in {path.name}")
        return numbered([persons.get(name, f"\0{name}") for name in keys])


def _picture(folder: str, name: str, suffix: str) -> str:
    return key(folder, f"{name.removesuffix('.jpg')}{suffix}" if suffix else name)


def _table(path: Path, problems: list[Problem]) -> tuple[list[str], Iterator[Cells]]:
    """Return the names of the attributes, and the rows."""
    if path.suffix == ".csv":
        table = open_table(path)
        rows = ((table.where(line), cells) for line, cells in table.rows(problems))
        return list(table.columns[1:]), rows
    lines = read_lines(path)
    if len(lines) < 2 or whole_number(lines[0]) is None:
        raise DataError(
            f"{path}: does not start as expected: how many pictures there are, then a line of the "
            "names of the attributes"
        )
    numbered_lines = enumerate(lines[2:], start=3)
    return lines[1].split(), (
        (f"{path.name}:{place}", line.split()) for place, line in numbered_lines if line
    )


def _pairs(path: Path, problems: list[Problem]) -> Iterator[Cells]:
    """Return the rows of two cells, a picture and its number."""
    if path.suffix == ".csv":
        table = open_table(path)
        rows: Iterator[Cells] = ((table.where(line), cells) for line, cells in table.rows(problems))
    else:
        lines = enumerate(read_lines(path), start=1)
        rows = ((f"{path.name}:{place}", line.split()) for place, line in lines if line)
    for where, cells in rows:
        if len(cells) == 2:
            yield where, cells
        else:
            problems.append(Problem(where, "not a picture and a number"))
