"""FER+ (Barsoum et al. 2016): FER2013's pictures with the votes of ten people each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from hybridface.data.source import (
    MISSING,
    Labels,
    Problem,
    Rows,
    Source,
    SourceOptions,
    describe_folder,
    is_file,
    is_folder,
)
from hybridface.data.sources.fer2013 import NAMES, class_number
from hybridface.data.sources.tables import (
    Table,
    Tally,
    no_usable_row,
    open_table,
    split_name,
    whole_number,
)

VOTED = (*NAMES, "contempt")
_COLUMNS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt")
_NO_FACE = ("unknown", "NF")
_FOLDERS = {"train": "FER2013Train", "val": "FER2013Valid", "test": "FER2013Test"}


class FerPlusOptions(SourceOptions):
    """Which labels to take.

    Attributes:
        labels: ``original`` (FER2013's own), ``majority`` or ``votes`` (FER+); by default
            ``original`` where fer2013_labels.csv is there, else ``majority``.
    """

    labels: Literal["original", "majority", "votes"] | None = None


@dataclass
class _Faces:
    keys: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    votes: list[list[int] | None] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


class FerPlus(Source):
    """FER2013's pictures as FER+ has them, with FER+ votes or the original labels.

    Ten people voted on each picture for eight expressions, "unknown" and "NF" (not a face). Both
    uses of the votes follow FER+'s own code: a single vote for anything is an outlier and does
    not count.

    * ``majority``: the expression with over half of the votes left (those for unknown and NF
      count too).
    * ``votes``: ``Labels.soft`` shares of the votes. Expressions are taken by falling votes,
      equal ones together, until three or three quarters of the votes are in, or unknown or NF is
      met. The shares are those of the expressions taken; unknown and NF have none. The id is the
      leading expression, missing where two lead.

    Where no expression has the majority; or those taken hold half of the votes or less, or are
    more than three, the picture stays with a missing label (and soft labels of zero). FER+'s own
    code drops such pictures.
    """

    kind = "ferplus"
    layout = (
        "PATH/fer2013new.csv (columns Usage, Image name, neutral, happiness, surprise, sadness, "
        "anger, disgust, fear, contempt, unknown, NF) with the pictures in PATH/FER2013Train, "
        "PATH/FER2013Valid and PATH/FER2013Test, or these below PATH/data, where FER+'s "
        "generate_training_data.py writes them from the challenge's fer2013.csv; and for the "
        "original labels PATH/fer2013_labels.csv (columns Image name, emotion)"
    )
    Options = FerPlusOptions
    options: FerPlusOptions

    def read(self) -> Rows:
        """Read the votes or labels; see :meth:`hybridface.data.source.Source.read`."""
        inside = next(
            (name for name in ("", "ferplus") if is_file(self.root / name / "fer2013new.csv")), None
        )
        if inside is None:
            raise self.refuse(describe_folder(self.root))
        problems: list[Problem] = []
        tally = Tally()
        table = open_table(self.root / inside / "fer2013new.csv")
        faces = self._faces(table, inside, problems, tally)
        original = self.root / inside / "fer2013_labels.csv"
        taken = self.options.labels or ("original" if is_file(original) else "majority")
        if taken == "original":
            labels, note = _original(open_table(original), faces, problems)
        else:
            labels, note = _voted(faces, soft=taken == "votes")
            for key, line, votes in zip(faces.keys, faces.lines, faces.votes, strict=True):
                if votes is None:
                    what = f"votes that are not whole numbers in {table.where(line)}"
                    problems.append(Problem(key, what))
        missing = int((labels.ids == MISSING).sum())
        return Rows(
            faces.keys,
            np.array(faces.splits),
            {"expression": labels},
            problems=problems + tally.problems(),
            notes=[f"labels: {note}; {missing} of {len(faces.keys)} pictures have none"],
        )

    def _faces(self, table: Table, inside: str, problems: list[Problem], tally: Tally) -> _Faces:
        usage, image, *votes = table.need(("Usage", "Image name", *_COLUMNS, *_NO_FACE))
        folders = {split: self._pictures(inside, name) for split, name in _FOLDERS.items()}
        faces = _Faces()
        for line, cells in table.rows(problems):
            split, name = split_name(cells[usage]), cells[image]
            if split is None:
                tally.add(table.where(line), "unknown Usage; row left out")
            elif not name:
                tally.add(table.where(line), "no picture named; row left out")
            elif name not in folders[split]:
                tally.add(table.where(line), f"no such picture in {_FOLDERS[split]}; row left out")
            else:
                faces.keys.append(folders[split][name])
                faces.splits.append(split)
                faces.lines.append(line)
                faces.votes.append(_counts(cells[place] for place in votes))
        if not faces.keys:
            raise self.refuse(no_usable_row(table.path, problems + tally.problems()))
        return faces

    def _pictures(self, inside: str, folder: str) -> dict[str, str]:
        """Return the key of each picture of a split by its file name."""
        for above in (Path(inside), Path(inside, "data")):
            if is_folder(self.root / above / folder):
                names = (entry.name for entry in (self.root / above / folder).iterdir())
                return {name: (above / folder / name).as_posix() for name in names}
        return {}


def _counts(cells: Iterable[str]) -> list[int] | None:
    counts = [whole_number(cell) for cell in cells]
    known = [count for count in counts if count is not None]
    return known if len(known) == len(counts) else None


def _original(table: Table, faces: _Faces, problems: list[Problem]) -> tuple[Labels, str]:
    hint = " (or say ?labels=majority to use FER+ votes)"
    image, emotion = table.need(("Image name", "emotion"), hint)
    known: dict[str, int] = {}
    unknown: dict[str, str] = {}
    for line, cells in table.rows(problems):
        known[cells[image]] = number = class_number(cells[emotion])
        if number == MISSING:
            unknown[cells[image]] = f"unknown label '{cells[emotion][:20]}' in {table.where(line)}"
    names = [Path(key).name for key in faces.keys]
    for key, name in zip(faces.keys, names, strict=True):
        if name in unknown:
            what = f"{unknown[name]}, expected 0 to {len(NAMES) - 1}"
            problems.append(Problem(key, what))
    ids = [known.get(name, MISSING) for name in names]
    note = f"original FER2013 labels from {table.path.name}"
    return Labels(NAMES, np.array(ids, dtype=np.int64)), note


def _voted(faces: _Faces, soft: bool) -> tuple[Labels, str]:
    rule = _shares if soft else _majority
    shares = np.array([rule(votes or []) for votes in faces.votes], dtype=np.float32)
    top = shares.max(axis=1, keepdims=True)
    alone = (shares == top).sum(axis=1) == 1
    ids = np.where(alone, shares.argmax(axis=1), MISSING).astype(np.int64)
    if soft:
        return Labels(VOTED, ids, shares), "shares of FER+ votes"
    return Labels(VOTED, ids), "majority of FER+ votes"


def _majority(votes: Sequence[int]) -> list[float]:
    counted = [count if count > 1 else 0 for count in votes]
    won = [float(2 * count > sum(counted)) for count in counted[: len(VOTED)]]
    return won or [0.0] * len(VOTED)


def _shares(votes: Sequence[int]) -> list[float]:
    counted = [count if count > 1 else 0 for count in votes]
    total = sum(counted)
    taken = [0] * len(VOTED)
    number = 0
    for value in sorted(set(counted) - {0}, reverse=True):
        if number >= 3 or 4 * sum(taken) >= 3 * total:
            break
        equal = [place for place, count in enumerate(counted) if count == value]
        for place in equal:
            if place < len(VOTED):
                taken[place] = value
                number += 1
        if equal[-1] >= len(VOTED):
            break
    if number > 3 or 2 * sum(taken) <= total:
        return [0.0] * len(VOTED)
    return [count / sum(taken) for count in taken]
