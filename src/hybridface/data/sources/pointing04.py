"""Pointing'04 head pose database (Gourier, Hall and Crowley 2004): angles in the file names."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hybridface.data.source import NumericLabels, Rows, Source, SourceOptions
from hybridface.data.sources.boxes import widen
from hybridface.data.sources.label_files import (
    first_folder,
    key,
    names_in,
    read_bytes,
    read_each,
)
from hybridface.data.sources.tables import Tally, no_usable_row, whole_number
from hybridface.errors import DataError
from hybridface.rotations import ANGLES

_PERSON = re.compile(r"Person(ne)?[0-9]{2}", re.IGNORECASE)
_NAME = re.compile(
    r"person(ne)?(?P<person>[0-9]{2})(?P<series>[0-9])(?P<number>[0-9]{2})"
    r"(?P<tilt>[+-][0-9]{1,2})(?P<pan>[+-][0-9]{1,2})\.jpg",
    re.IGNORECASE,
)


class Pointing04Options(SourceOptions):
    """How faces are cut out.

    Attributes:
        margin: Part of the given box that is added at each side of it. The box ends at the
            forehead and the chin; there is no usual value.
    """

    margin: float = Field(0.4, ge=0, le=2)


class Pointing04(Source):
    """15 people who look at 93 marks on a half sphere, twice; the layout has no splits.

    Positive tilt looks up and is the pitch; positive pan turns the nose to the left of the picture
    and is the negated yaw. Both are the angles of the mark that a person was to look at, the pan
    about the upright axis, taken as they are: the literature measures errors of these. A head that
    looks at a mark far up and aside would have other yaw and pitch, and some roll, in the order of
    :mod:`hybridface.rotations`. The roll is not known (NaN). A group is a person.

    The ``.txt`` file beside a picture gives the middle, the width and the height of the face.
    """

    kind = "pointing04"
    layout = (
        "PATH/PersonPP/personPPSNN+TT-PP.jpg (person, series, number, tilt and pan) with the same "
        "name's .txt beside it (name, 'Face', then x, y, width and height of the face, a line "
        "each), or with personne for person; or these below PATH/HeadPoseImageDatabase"
    )
    Options = Pointing04Options
    options: Pointing04Options

    def read(self) -> Rows:
        """Read names and boxes; see :meth:`hybridface.data.source.Source.read`."""
        tally = Tally()
        inside = first_folder(self, ("", "HeadPoseImageDatabase"), _PERSON.fullmatch)
        keys: list[str] = []
        found: list[tuple[int, int, int]] = []
        for folder in filter(_PERSON.fullmatch, names_in(self.root / inside)):
            for name in names_in(self.root / inside / folder):
                if match := _NAME.fullmatch(name):
                    keys.append(key(inside, folder, name))
                    found.append((int(match["person"]), int(match["tilt"]), int(match["pan"])))
                elif name.lower().endswith(".jpg"):
                    what = "its name is not personPPSNN+TT-PP.jpg; left out"
                    tally.add(key(inside, folder, name), what)
        values, wrong = read_each(self.root, [f"{name[:-4]}.txt" for name in keys], _parse, 4)
        for place, what in wrong.items():
            tally.add(keys[place], f"the file of its box {what}; row left out")
        kept = [row for row in range(len(keys)) if row not in wrong]
        if not kept:
            raise self.refuse(no_usable_row(self.root / inside, tally.problems(), "no picture"))
        person, tilt, pan = np.array(found, dtype=np.int64)[kept].T
        pose = np.stack([-pan, tilt, np.full(len(kept), np.nan)], axis=1).astype(np.float32)
        return Rows(
            [keys[row] for row in kept],
            np.full(len(kept), "", dtype="U5"),
            {},
            group=person,
            problems=tally.problems(),
            notes=["yaw and pitch are those of the mark looked at; the roll is not known"],
            numeric={"pose": NumericLabels(ANGLES, pose, "degrees")},
            boxes=widen(values[kept], (self.options.margin,) * 4),
        )


def _parse(path: Path) -> NDArray[np.float64]:
    """Return left, top, right and bottom."""
    words = read_bytes(path).decode("latin-1").split()
    numbers = [whole_number(word) for word in words[-4:]]
    if len(words) < 5 or words[-5].casefold() != "face" or None in numbers:
        raise DataError("does not end in 'Face' and four whole numbers")
    x, y, width, height = (float(number or 0) for number in numbers)
    if not (width and height):
        raise DataError("holds an empty box")
    return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
