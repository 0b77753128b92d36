"""AFLW2000-3D and 300W-LP (Zhu et al., CVPR 2016, arXiv:1511.07212): pictures with .mat files."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, PositiveInt

from hybridface.data.source import NumericLabels, Problem, Rows, Source, SourceOptions, is_folder
from hybridface.data.sources.boxes import Sides, box_of, widen
from hybridface.data.sources.label_files import (
    first_folder,
    key,
    names_in,
    not_there,
    read_bytes,
    read_each,
)
from hybridface.data.sources.mat_file import read_mat
from hybridface.data.sources.tables import Tally, no_usable_row, numbered, whole_number
from hybridface.errors import DataError, UsageError
from hybridface.rotations import ANGLES, FURTHEST, difference

BLOCK = 50
BETWEEN = "none"  # of a picture in no split
_IMAGE = re.compile(r"image([0-9]{1,9})\.jpg", re.IGNORECASE)
_PROFILED = re.compile(r"(.+)_[0-9]{1,9}\.jpg", re.IGNORECASE)
_SETS = ("AFW", "HELEN", "IBUG", "LFPW")


Counts = tuple[PositiveInt, PositiveInt, PositiveInt]


class MatPoseOptions(SourceOptions):
    """How faces are cut out, and which are left out.

    Attributes:
        margin: How much is added around the points; see the kind.
        points: The points that the face is cut out by: ``pt2d`` as in the literature, which has
            only the visible ones, or all of ``pt3d_68``.
        beyond_99: ``drop`` pictures with an angle beyond 99 degrees, as the usual protocol does,
            or ``keep`` them.
    """

    margin: float = Field(0.2, ge=0, le=2)
    points: Literal["pt2d", "pt3d_68"] = "pt2d"
    beyond_99: Literal["drop", "keep"] = "drop"


def _counts(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    counts = [whole_number(part.strip()) for part in value.split(",")]
    if len(counts) != 3 or not all(counts):
        raise ValueError("expected three whole numbers above 0, as in 1100,200,350")
    return counts


class Aflw2000Options(MatPoseOptions):
    """As of all ``.mat`` poses.

    Attributes:
        split: How many pictures by rising number train, how many after them validate, and how many
            at the end test, as in ``1100,200,350``; pictures between are left out. Counted before
            those beyond 99 degrees are dropped. Without it the pictures have no splits.
    """

    split: Annotated[Counts | None, BeforeValidator(_counts)] = None


class Poses300WLpOptions(MatPoseOptions):
    """As of AFLW2000-3D.

    Attributes:
        margin: By default the middle of the 0.2 to 0.4 that trainings in the literature draw from.
        flips: Read the folders ``*_Flip`` of mirrored copies too.
    """

    margin: float = Field(0.3, ge=0, le=2)
    flips: bool = True


class MatPoses(Source):
    """Poses from ``Pose_Para`` of a ``.mat`` file beside each picture, faces cut by its ``pt2d``.

    ``Pose_Para`` starts with pitch, yaw and roll in radians; the yaw is negated, and pitch, roll
    and the order of the three are already those of :mod:`hybridface.rotations`. A negative point
    of ``pt2d`` is an unknown one. The box is made square by its longer side, where the literature
    squeezes it into a square, so that faces keep their proportions.

    Attributes:
        sides: Parts of the width and height of the points' box that a margin of 1 adds at the
            left, top, right and bottom.
        grouped_by: What the pictures of a group share; see :class:`hybridface.data.source.Rows`.
    """

    sides: ClassVar[Sides]
    grouped_by: ClassVar[str] = "person"
    options: MatPoseOptions

    def splits(self, count: int) -> NDArray[np.str_]:
        """Return the split of each picture; ``BETWEEN`` for one to leave out."""
        return np.full(count, "", dtype="U5")

    @abstractmethod
    def names(self, tally: Tally) -> tuple[list[str], NDArray[np.int64], list[str]]:
        """Return the keys of the pictures in order, their groups, and notes.

        Args:
            tally: Gets files that cannot be meant.
        """

    def read(self) -> Rows:
        """Read the label files; see :meth:`hybridface.data.source.Source.read`."""
        tally = Tally()
        keys, group, notes = self.names(tally)
        mats = [f"{name[:-4]}.mat" for name in keys]
        points = self.options.points
        values, wrong = read_each(
            self.root, mats, partial(_parse, points=points), 7, memory=f"mat 1 {points}"
        )
        for place, what in wrong.items():
            tally.add(keys[place], f"its .mat file {what}; row left out")
        angles = values[:, [1, 0, 2]] * (-1, 1, 1)
        split = self.splits(len(keys))
        kept = ~np.isin(np.arange(len(keys)), list(wrong)) & (split != BETWEEN)
        beyond = kept & np.any(np.abs(angles) > FURTHEST, axis=1)
        if self.options.beyond_99 == "drop":
            kept &= ~beyond
            if beyond.any():
                notes.append(
                    f"{int(beyond.sum())} of {len(keys)} pictures have an angle beyond 99 degrees "
                    "and are left out, as usual (?beyond_99=keep keeps them)"
                )
        if not kept.any():
            raise self.refuse(self._nothing(tally.problems(), beyond))
        sides = tuple(self.options.margin * side for side in self.sides)
        pose = difference(angles[kept], np.zeros(3)).astype(np.float32)
        rows = np.flatnonzero(kept).tolist()
        return Rows(
            [keys[row] for row in rows],
            split[kept],
            {},
            group=group[kept],
            problems=tally.problems(),
            notes=notes,
            numeric={"pose": NumericLabels(ANGLES, pose, "degrees")},
            boxes=widen(values[kept, 3:], (sides[0], sides[1], sides[2], sides[3])),
            grouped_by=self.grouped_by,
        )

    def _nothing(self, problems: Sequence[Problem], beyond: NDArray[np.bool_]) -> str:
        if beyond.any():
            return f"{int(beyond.sum())} pictures with an angle beyond 99 degrees, and no other"
        return no_usable_row(self.root, problems, "no picture")


class Aflw2000(MatPoses):
    """AFLW2000-3D, usually a test set as a whole; the layout has no splits.

    The margin and its default are those of Hopenet (Ruiz, Chong and Rehg 2018, arXiv:1710.00925)
    on this data set: the box of the points grows by twice the margin of its width at both sides
    and of its height at the top, and by 0.6 of it at the bottom. Hopenet's own code takes the parts
    at the right and the bottom of the box as grown by then, and so has a little more there.

    Nothing names the person. Neighbours in number can show one, so blocks of 50 numbers are the
    groups that stay on one side of a cut; ``?split=`` cuts where it says, through a block too. Some
    nearly equal pictures lie far apart in number: ``data.keep_together`` keeps these together too.
    """

    kind = "aflw2000"
    layout = (
        "PATH/imageNNNNN.jpg with imageNNNNN.mat beside it (Pose_Para and pt2d), or these below "
        "PATH/AFLW2000 (or PATH/AFLW2000-3D/AFLW2000)"
    )
    Options = Aflw2000Options
    options: Aflw2000Options
    sides = (2.0, 2.0, 2.0, 0.6)
    grouped_by = "block of numbers"

    def splits(self, count: int) -> NDArray[np.str_]:
        """Return the splits that ``?split=`` asks for.

        Raises:
            UsageError: There are fewer pictures than it names.
        """
        split = super().splits(count)
        if self.options.split is None:
            return split
        train, val, test = self.options.split
        if train + val + test > count:
            raise UsageError(
                f"aflw2000:{self.path}: ?split={train},{val},{test} names {train + val + test} "
                f"pictures, and there are {count}; take numbers that make at most that"
            )
        split[:] = BETWEEN
        split[:train], split[train : train + val], split[count - test :] = "train", "val", "test"
        return split

    def names(self, tally: Tally) -> tuple[list[str], NDArray[np.int64], list[str]]:
        """Return the pictures by rising number."""
        places = ("", "AFLW2000", "AFLW2000-3D/AFLW2000")
        inside = first_folder(self, places, _IMAGE.fullmatch)
        numbers = {}
        for name in names_in(self.root / inside):
            if match := _IMAGE.fullmatch(name):
                numbers[key(inside, name)] = int(match[1])
            elif name.lower().endswith(".jpg"):
                tally.add(key(inside, name), "not called imageNNNNN.jpg; left out")
        keys = sorted(numbers, key=lambda each: (numbers[each], each))
        blocks = np.array([numbers[each] // BLOCK for each in keys], dtype=np.int64)
        note = f"groups are blocks of {BLOCK} numbers: nothing names the person"
        return keys, blocks, [note]


class Poses300WLp(MatPoses):
    """300W-LP: photos turned to profile step by step, and mirrored; the layout has no splits.

    All versions of a face in a photo, the mirrored ones included, are one group. The margin is
    Hopenet's here too, with 0.6 of it at both sides and the bottom and twice of it at the top.
    """

    kind = "300wlp"
    layout = (
        "PATH/{AFW,HELEN,IBUG,LFPW}/NAME_K.jpg with NAME_K.mat beside it (Pose_Para and pt2d), and "
        "the same in PATH/{AFW,HELEN,IBUG,LFPW}_Flip; or these below PATH/300W_LP (or "
        "PATH/300W-LP, or that one's 300W_LP)"
    )
    Options = Poses300WLpOptions
    options: Poses300WLpOptions
    sides = (0.6, 2.0, 0.6, 0.6)

    def names(self, tally: Tally) -> tuple[list[str], NDArray[np.int64], list[str]]:
        """Return the pictures by folder and name."""
        folders = [name + end for name in _SETS for end in ("", "_Flip")[: 1 + self.options.flips]]
        places = ("", "300W_LP", "300W-LP", "300W-LP/300W_LP")
        inside = first_folder(self, places, folders.__contains__)
        keys, photos = [], []
        for folder in folders:
            for name in names_in(self.root / inside / folder):
                if match := _PROFILED.fullmatch(name):
                    keys.append(key(inside, folder, name))
                    photos.append(f"{folder.removesuffix('_Flip')}/{match[1]}")
                elif name.lower().endswith(".jpg"):
                    tally.add(key(inside, folder, name), "not called NAME_NUMBER.jpg; left out")
        if not keys:
            raise self.refuse(no_usable_row(self.root / inside, tally.problems(), "no picture"))
        absent = [name for name in folders if not is_folder(self.root / inside / name)]
        return keys, numbered(photos), not_there(absent)


def _parse(path: Path, points: str) -> NDArray[np.float64]:
    """Return pitch, yaw and roll in degrees, then the box of the points."""
    found = read_mat(read_bytes(path), ("Pose_Para", points))
    arrays = []
    for name, least in (("Pose_Para", (1, 3)), (points, (2, 2))):
        array = found.get(name)
        if array is None or array.shape[0] < least[0] or array.shape[1] < least[1]:
            raise DataError(f"holds no {name} of at least {least[0]} x {least[1]} numbers")
        arrays.append(array.astype(np.float64))
    pose = np.degrees(arrays[0][0, :3])
    if not np.isfinite(pose).all():
        raise DataError("holds angles that are no numbers")
    known = arrays[1][:2]
    if points == "pt2d":
        known[:, np.any(known < 0, axis=0)] = np.nan
    box = box_of(known)
    if np.isnan(box).any():
        raise DataError(f"holds fewer than two known points in {points}")
    return np.concatenate([pose, box])
