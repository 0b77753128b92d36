"""A sheet of some pictures of a data set with their labels, to be looked at. Pillow only."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from hybridface import images
from hybridface.data.source import MISSING, Pixels, Problem, Rows, Source, as_text
from hybridface.data.sources import open_source
from hybridface.errors import DataError, UsageError
from hybridface.files import write_atomically
from hybridface.rotations import ANGLES, picture_axes

MARK = "hybridface contact sheet"
NOTICE = (
    "Not to be published: pictures of a data set, which are under its own terms. Lines from the "
    "middle of a picture are the head's own axes: red to its right in the picture, green to its "
    "top, blue to its nose."
)
SIDE = 128
_LINE = 12
_COLOURS = ((230, 60, 60), (40, 180, 60), (60, 110, 255))
_DRAWN_FROM = 5000  # rows, so that a large data set is not looked through as a whole
_TRIES = 3  # pictures drawn for each place, as some may not decode

Index = NDArray[np.int64]


def write_sheet(spec: str, out: Path, *, count: int = 48, columns: int = 8, seed: int = 0) -> int:
    """Write a contact sheet of a data set as a PNG file.

    Faces with a pose are laid out by it: yaw rises to the right, pitch rises to the top.

    Args:
        spec: ``KIND:PATH``.
        out: The file, which may be a sheet already, but no other file.
        count: At most how many pictures.
        columns: How many stand in a row.
        seed: Decides which.

    Returns:
        How many pictures are on it.

    Raises:
        UsageError: ``out`` is no ``.png``, or there and no contact sheet.
        DataError: No picture can be read.
    """
    _refuse_other_files(out)
    source = open_source(spec)
    rows = source.read()
    chosen = choose(rows, count, columns, seed)
    small = partial(images.resize, size=SIDE)
    pictures = source.decode_each(rows, chosen.reshape(-1).tolist(), small)
    tiles = []
    for place, candidates in enumerate(chosen.tolist()):
        tries = pictures[place * chosen.shape[1] : (place + 1) * chosen.shape[1]]
        for row, made in zip(candidates, tries, strict=True):
            if not isinstance(made, Problem):
                tiles.append(_tile(rows, row, made))
                break
    if not tiles:
        raise DataError(f"{spec}: none of {chosen.size} pictures taken at random can be read")
    content = io.BytesIO()
    about = PngImagePlugin.PngInfo()
    about.add_text("Software", MARK)
    _sheet(tiles, columns, _title(spec, source, rows)).save(content, "PNG", pnginfo=about)
    write_atomically(out, content.getvalue())
    return len(tiles)


def choose(rows: Rows, count: int, columns: int, seed: int) -> Index:
    """Choose pictures that are spread over yaw and pitch, else some in order of the first labels.

    Args:
        rows: The data set.
        count: At most how many.
        columns: How many stand beside each other.
        seed: Decides which.

    Returns:
        ``(places, tries)`` rows: for each place of the sheet one, and others if it is unreadable.
    """
    random = np.random.default_rng([seed, 4])
    pool = random.permutation(len(rows))[:_DRAWN_FROM]
    pose = rows.numeric.get("pose")
    if pose is not None and pose.names == ANGLES:
        angles = pose.values[:, :2].astype(np.float64)
        pool = pool[np.isfinite(angles[pool]).all(axis=1)]
        if len(pool):
            return _by_pose(angles[pool], pool, count, columns)
    tries = max(1, min(_TRIES, len(pool) // max(1, min(count, len(pool)))))
    places = min(count, len(pool) // tries)
    pool = pool[: places * tries]
    if rows.labels:
        ids = next(iter(rows.labels.values())).ids
        pool = pool[np.argsort(ids[pool], kind="stable")]
    return pool.reshape(places, tries)


def _by_pose(angles: NDArray[np.float64], pool: Index, count: int, columns: int) -> Index:
    """Lay a grid over most of the poses and take those nearest to its points, each at most once."""
    columns = min(columns, count)
    lines = count // columns
    low, high = np.percentile(angles, (2, 98), axis=0)
    yaws = np.linspace(low[0], high[0], columns)
    pitches = np.linspace(high[1], low[1], lines)
    free = np.ones(len(pool), dtype=bool)
    chosen = []
    for target in ((yaw, pitch) for pitch in pitches for yaw in yaws):
        far = np.abs(angles - target).sum(axis=1)
        nearest = np.argsort(np.where(free, far, np.inf), kind="stable")[:1]
        if not free.any():
            break
        free[nearest] = False
        chosen.append(pool[nearest])
    return np.array(chosen)


def _refuse_other_files(out: Path) -> None:
    if out.suffix.lower() != ".png":
        raise UsageError(f"{out}: expected the name of a .png file for the sheet")
    if not out.exists():
        return
    try:
        with Image.open(out, formats=("PNG",)) as there:
            marked = there.info.get("Software") == MARK
    except Exception:  # Pillow raises nearly anything on other files
        marked = False
    if not marked:
        raise UsageError(f"{out}: is there and no contact sheet of hybridface; name another file")


def _title(spec: str, source: Source, rows: Rows) -> list[str]:
    lines = [f"{as_text(spec)}: {len(rows)} rows, {len(rows.problems)} problems"]
    return lines + textwrap.wrap(NOTICE, 150)


def _captions(rows: Rows, row: int) -> list[str]:
    """Say in a few lines what the labels of a row are."""
    lines = []
    for name, column in rows.numeric.items():
        values = zip(column.names, column.values[row].tolist(), strict=True)
        form = ".0f" if name == "pose" else ".4g"
        said = [f"{part[:5]} {'?' if np.isnan(one) else format(one, form)}" for part, one in values]
        lines += [" ".join(said)] if name == "pose" else [f"{' '.join(said)} {column.unit}"]
    for name, labels in rows.labels.items():
        known = labels.ids[row] != MISSING
        lines.append(f"{name}: {labels.names[labels.ids[row]] if known else '?'}")
    return [line[:26] for line in lines[:4]] + [as_text(Path(rows.keys[row]).name)[-24:]]


def _tile(rows: Rows, row: int, pixels: Pixels) -> Image.Image:
    """Draw one picture of ``SIDE`` pixels with its axes and its captions."""
    captions = _captions(rows, row)
    tile = Image.new("RGB", (SIDE, SIDE + _LINE * len(captions)), (255, 255, 255))
    tile.paste(Image.fromarray(pixels), (0, 0))
    pen = ImageDraw.Draw(tile)
    pose = rows.numeric.get("pose")
    if pose is not None and pose.names == ANGLES:
        angles = np.nan_to_num(pose.values[row].astype(np.float64))
        for end, colour in zip(picture_axes(angles[None])[0], _COLOURS, strict=True):
            pen.line([(SIDE / 2, SIDE / 2), tuple(SIDE / 2 + SIDE * 0.4 * end)], colour, 3)
    font = ImageFont.load_default(10)
    for number, line in enumerate(captions):
        pen.text((2, SIDE + _LINE * number), line, (0, 0, 0), font)
    return tile


def _sheet(tiles: Sequence[Image.Image], columns: int, title: Sequence[str]) -> Image.Image:
    """Lay tiles out in rows below a title."""
    gap = 6
    high = max(tile.height for tile in tiles) + gap
    top = (_LINE + 3) * len(title) + 2 * gap
    lines = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * (SIDE + gap) + gap, top + lines * high), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    for number, line in enumerate(title):
        pen.text((gap, gap + (_LINE + 3) * number), line, (0, 0, 0), ImageFont.load_default(11))
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (gap + number % columns * (SIDE + gap), top + number // columns * high))
    return sheet
