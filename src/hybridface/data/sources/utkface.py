"""UTKFace (Zhang, Song and Qi, CVPR 2017): age, gender and ethnicity in the file names."""

from __future__ import annotations

import re

import numpy as np

from hybridface.data.source import Labels, NumericLabels, Rows, Source, as_text, is_folder
from hybridface.data.sources.label_files import first_folder, key, names_in, not_there
from hybridface.data.sources.tables import Tally, no_usable_row
from hybridface.labels import GENDERS

ETHNICITIES = ("white", "black", "asian", "indian", "other")
_CROPS = ("UTKFace", "crop_part1")
_FOLDERS = ("", *_CROPS, *(key("utkface_aligned_cropped", name) for name in _CROPS))
_PARTS = ("part1", "part2", "part3")  # of the photos that the faces were cut out of
_NAME = re.compile(r"([0-9]{1,3})_([01])_([0-4])_[^_]*\.jpg", re.IGNORECASE)

_ODD = "its name is not AGE_GENDER_RACE_DATE.jpg, with gender 0 or 1, race 0 to 4; left out"


class UtkFace(Source):
    """Ages from 0 to 116, gender and ethnicity as the data set names them; no splits, no persons.

    Some names of the real set lack a label. Which one cannot be told, so these pictures are left
    out and named.
    """

    kind = "utkface"
    layout = (
        "PATH/AGE_GENDER_RACE_DATE.jpg.chip.jpg or .jpg (gender 0 male, 1 female; race 0 white, "
        "1 black, 2 asian, 3 indian, 4 other), or these below PATH/UTKFace or PATH/crop_part1 "
        "(or these in PATH/utkface_aligned_cropped), or the whole photos of the same names in "
        "PATH/part1, PATH/part2 and PATH/part3"
    )

    def read(self) -> Rows:
        """Read the names; see :meth:`hybridface.data.source.Source.read`."""
        inside = first_folder(self, (*_FOLDERS, *_PARTS), _NAME.fullmatch)
        tally = Tally()
        keys, values, odd = [], [], []
        for folder in _PARTS if inside in _PARTS else (inside,):
            for name in names_in(self.root / folder):
                if match := _NAME.fullmatch(name):
                    keys.append(key(folder, name))
                    values.append([int(match[part]) for part in (1, 2, 3)])
                elif name.lower().endswith(".jpg"):
                    odd.append(name)
                    tally.add(key(folder, name), _ODD)
        if not keys:
            raise self.refuse(no_usable_row(self.root, tally.problems(), "no picture"))
        age, gender, ethnicity = np.array(values, dtype=np.int64).T
        years = age.astype(np.float32)[:, None]
        return Rows(
            keys,
            np.full(len(keys), "", dtype="U5"),
            {"gender": Labels(GENDERS, gender), "ethnicity": Labels(ETHNICITIES, ethnicity)},
            problems=tally.problems(),
            notes=self._notes(inside, odd),
            numeric={"age": NumericLabels(("age",), years, "years")},
        )

    def _notes(self, inside: str, odd: list[str]) -> list[str]:
        notes = [f"left out for their names: {as_text(', '.join(odd[:20]))}"] if odd else []
        if inside in _PARTS:
            notes += not_there([part for part in _PARTS if not is_folder(self.root / part)])
            notes.append("whole photos, which are not cut to the faces")
        return notes
