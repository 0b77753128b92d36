"""Labeled Faces in the Wild (Huang et al. 2007) with lists of who is male and female."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybridface.data.source import MISSING, Labels, Rows, Source, describe_folder, is_folder
from hybridface.data.sources.label_files import find_file, key, names_in, read_lines
from hybridface.data.sources.tables import Tally, numbered, whole_number
from hybridface.labels import GENDERS

_PICTURES = ("lfw", "lfw-deepfunneled", "lfw-deepfunneled/lfw-deepfunneled", "lfw_funneled",
             "lfw-funneled", "lfw-funneled/lfw_funneled", "lfw_home/lfw_funneled", "")  # fmt: skip
_NAME = re.compile(r"(.+)_[0-9]{4}\.jpg", re.IGNORECASE)
_STEM = re.compile(r".+_[0-9]{4}")


class LfwGender(Source):
    """LFW's pictures with a gender; the layout has no splits, and ten folds by person.

    The lists are those of Afifi and Abdelhamed (2017, arXiv:1706.04277), which name pictures; a
    line may also name a person, who then has all of her pictures. A group is a person. Where
    ``people.txt`` of LFW's view 2 is there, its ten sets are the folds of
    ``data.folds.official``; the usual five folds by person are those of ``data.folds`` without it.
    """

    kind = "lfw-gender"
    layout = (
        "PATH/male_names.txt and PATH/female_names.txt with lines 'PERSON_0001.jpg' or 'PERSON', "
        "the pictures in PATH/lfw/PERSON/PERSON_0001.jpg (or PATH/lfw-deepfunneled, or "
        "PATH/lfw_funneled), and where known LFW's PATH/people.txt"
    )

    def read(self) -> Rows:
        """Read the lists; see :meth:`hybridface.data.source.Source.read`."""
        tally = Tally()
        inside, keys, persons = self._pictures()
        known = self._genders(tally)
        pairs = list(zip(keys, persons, strict=True))
        found = [known.get(Path(name).name, known.get(person)) for name, person in pairs]
        for (name, _), gender in zip(pairs, found, strict=True):
            if gender == MISSING:
                tally.add(name, "in both the list of men and that of women: no label")
        ids = np.array([MISSING if one is None else one for one in found], dtype=np.int64)
        present = {Path(name).name for name in keys} | set(persons)
        absent = [name for name in known if name not in present]
        notes = [f"{sum(one is None for one in found)} of {len(keys)} pictures are in no list"]
        if absent:
            notes.append(f"{len(absent)} listed names have no picture in {inside or 'PATH'}")
        return Rows(
            keys,
            np.full(len(keys), "", dtype="U5"),
            {"gender": Labels(GENDERS, ids)},
            group=numbered(persons),
            problems=tally.problems(),
            notes=notes,
            folds=self._folds(persons, notes),
        )

    def _pictures(self) -> tuple[str, list[str], list[str]]:
        for inside in filter(lambda place: is_folder(self.root / place), _PICTURES):
            found = [
                (key(inside, person, name), person)
                for person in names_in(self.root / inside)
                for name in names_in(self.root / inside / person)
                if _NAME.fullmatch(name)
            ]
            if found:
                return inside, [name for name, _ in found], [person for _, person in found]
        raise self.refuse(describe_folder(self.root))

    def _genders(self, tally: Tally) -> dict[str, int]:
        """Return the gender of each listed name, :data:`MISSING` where both lists have it."""
        known: dict[str, int] = {}
        for number, gender in enumerate(GENDERS):
            path = find_file(self, f"{gender}_names.txt", ("", "lists"))
            if path is None:
                raise self.refuse(f"no {gender}_names.txt, but {describe_folder(self.root)}")
            for place, line in enumerate(read_lines(path), start=1):
                if "\ufffd" in line:
                    tally.add(f"{path.name}:{place}", "bytes that are not UTF-8")
                if line:
                    name = f"{line}.jpg" if _STEM.fullmatch(line) else line
                    both = known.get(name, number) != number
                    known[name] = MISSING if both else number
        if not known:
            raise self.refuse("lists without a name in them")
        return known

    def _folds(self, persons: list[str], notes: list[str]) -> NDArray[np.int64] | None:
        """Read the sets of ``people.txt``: how many, then for each its length and its people."""
        path = find_file(self, "people.txt", ("", "lists", "view2"))
        if path is None:
            return None
        fold_of = dict(_sets(read_lines(path)))
        folds = np.array([fold_of.get(person, MISSING) for person in persons], dtype=np.int64)
        if without := int((folds == MISSING).sum()):
            notes.append(f"{without} pictures are of people who are in no set of people.txt")
        return folds


def _sets(lines: list[str]) -> Iterator[tuple[str, int]]:
    fold, left = -1, 0
    for line in lines[1:]:
        name, *rest = line.split("\t")
        if not left and not rest and (count := whole_number(line)) is not None:
            fold, left = fold + 1, count
        elif line and fold >= 0:
            yield name.strip(), fold
            left = max(0, left - 1)
