"""Duplicates of data sets as pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from hybridface.data.check.findings import Checked
from hybridface.data.check.members import KINDS, Member, Opened, first_groups
from hybridface.data.source import Pixels, Problem, as_text
from hybridface.report.document import Album, Captioned, Paragraph, Part, Picture
from hybridface.report.pictures import data_address

MOST_SHOWN = 12
MOST_BESIDE = 2
HEIGHT = 80


def group_parts(checked: Checked) -> list[Part]:
    """Show the first groups of equal and of nearly equal pictures, with names and splits."""
    parts: list[Part] = []
    for kind, what in KINDS.items():
        ids = getattr(checked.duplicates, kind)
        groups = first_groups(checked.opened, ids, MOST_SHOWN, MOST_BESIDE)
        if not groups:
            continue
        text = (
            f"Pictures that are {what}: {MOST_BESIDE} of each group, those first that stand in "
            "several data sets or splits."
        )
        entries = [
            _entry(checked.opened, number, members, what)
            for number, members in enumerate(groups, start=1)
        ]
        parts += [Paragraph(text), Album(f"Pictures that are {what}", entries)]
    return parts


def _entry(
    opened: Sequence[Opened], number: int, members: Sequence[Member], what: str
) -> Captioned:
    lines, beside = [], []
    for member in members:
        data = opened[member.source]
        split = str(data.rows.split[member.row]) or "no split"
        source = f"{data.spec} " if len(opened) > 1 else ""
        lines.append(f"{split}: {source}{as_text(data.rows.keys[member.row])}")
        [pixels] = data.source.decode(data.rows, [member.row])
        if isinstance(pixels, Problem):  # it could be decoded when the check began
            return Captioned(None, [pixels.what, *lines])
        beside.append(_of_height(pixels))
    address = data_address(np.concatenate(beside, axis=1))
    return Captioned(Picture(address, f"group {number}: pictures that are {what}"), lines)


def _of_height(pixels: Pixels) -> Pixels:
    """Return the picture with the height that all have which stand side by side."""
    height, width = pixels.shape[:2]
    size = (max(1, min(4 * HEIGHT, round(width * HEIGHT / height))), HEIGHT)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
