"""Decoding and resizing, the one way for training, evaluation and prediction. No torch here."""

from __future__ import annotations

import io
import math
import re
import stat
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from hybridface.errors import DataError, UsageError

MAX_PIXELS = 100_000_000
LARGE_PIXELS = 16_000_000
MAX_BYTES = 1_000_000_000
# What is taken for a picture in a folder; HEIC is not decoded, but named and not passed over.
SUFFIXES = frozenset(
    {
        ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg",
        ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp",
    }
)  # fmt: skip
_HEIC = re.compile(rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL)


# What Pillow decodes by itself. For some others, such as EPS, it starts programs that may hang; an
# ICO it decodes on opening, before it can be refused for its size.
_FORMATS = (
    "AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP",
)  # fmt: skip
# A file of some kB may hold 100 million pixels: threads decode such ones by turns, not at once.
_one_large = Lock()
# Each scan of a JPEG refines all of its pixels, and a scan takes no more than some 30 bytes: a file
# of 20 MB could be worked on for hours. Ten are usual; libtiff takes 100 too.
MOST_SCANS = 100
MOST_SEGMENTS = 10_000
_JPEG = b"\xff\xd8\xff"
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")  # neither stuffed bytes nor restarts
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
# What Pillow keeps of where EXIF was, and writes anew once a picture is turned.
_EXIF_KEYS = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def decode(
    content: bytes, name: str = "picture", most_pixels: int | None = None
) -> NDArray[np.uint8]:
    """Decode an encoded picture to RGB, upright by its EXIF orientation.

    Of pictures with over 16 million pixels one is decoded at a time, whichever thread asks.

    Args:
        content: The bytes of a JPEG, PNG, WebP or other file that Pillow decodes itself.
        name: What to call it in an error.
        most_pixels: Larger pictures are refused before they are decoded; None for 100 million.

    Returns:
        ``(H, W, 3)`` RGB, uint8. Grey pictures come back with three equal channels.

    Raises:
        DataError: The bytes are no picture, are cut short, have over ``most_pixels`` pixels, or are
            a JPEG in over 100 scans, which would take hours.
    """
    most = MAX_PIXELS if most_pixels is None else most_pixels
    try:
        if content.startswith(_JPEG):
            _check_scans(content, name)
        with Image.open(io.BytesIO(content), formats=_formats()) as image:
            width, height = _decoded_size(image)
            if width * height > most:
                raise DataError(f"{name}: {width}x{height} is over {most} pixels")
            with _one_large if width * height > LARGE_PIXELS else nullcontext():
                return _to_rgb(image)
    except DataError:
        raise
    except UnidentifiedImageError as error:
        heic = ": HEIC is not; save it as JPEG or PNG" if _HEIC.match(content) else ""
        raise DataError(f"{name}: not a picture that can be read{heic}") from error
    except Exception as error:  # Pillow raises nearly anything on damaged files
        raise DataError(f"{name}: cannot be decoded ({error})") from error


def _check_scans(content: bytes, name: str) -> None:
    """Refuse a JPEG in more scans or segments than anything writes, before it is decoded."""
    scans = segments = place = 0
    while found := _MARKER.search(content, place):
        code, place = found[1][0], found.end()
        if code == _END:  # what follows, as a telephone's film, is not read
            return
        segments += 1
        scans += code == _SCAN
        if scans > MOST_SCANS or segments > MOST_SEGMENTS:
            most = f"{MOST_SCANS} scans" if scans > MOST_SCANS else f"{MOST_SEGMENTS} segments"
            raise DataError(f"{name}: a JPEG in over {most}; save it anew")
        if code != _START:
            place += int.from_bytes(content[place : place + 2])


def _decoded_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height of what is decoded at once: of a TIFF its tile where that is larger.

    A tile may be of any size, whatever the picture's, and is held whole.
    """
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    tile = int(tags.get(_TILE_WIDTH, 0)), int(tags.get(_TILE_HEIGHT, 0))
    return max(image.size, tile, key=math.prod)


def _turn_upright(image: Image.Image) -> None:
    """Turn a picture as its EXIF asks; of EXIF that cannot be read nothing is taken."""
    image.load()  # a PNG may hold its EXIF behind the pixels
    try:
        image.getexif()  # which is kept in the picture
    except Exception:  # Pillow raises nearly anything on damaged files
        return
    for key in _EXIF_KEYS:  # nobody reads it, and to write it fails where any entry is odd
        image.info.pop(key, None)
    ImageOps.exif_transpose(image, in_place=True)


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    _turn_upright(image)
    if image.mode in ("I;16", "I;16B", "I", "F"):
        image = _to_eight_bits(image)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Bring 16 bits, or floats up to 1, 255 or 65535, to a byte; what is no number is black."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    most = values.max(initial=0)
    top = 65535.0 if most > 255 else 1.0 if image.mode == "F" and most <= 1 else 255.0
    return Image.fromarray((values / top * 255).round().clip(0, 255).astype(np.uint8))


def read(path: Path) -> NDArray[np.uint8]:
    """Read a picture file to ``(H, W, 3)`` RGB, uint8.

    Raises:
        DataError: The file cannot be read or is no picture.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
            raise DataError(f"{path}: not a file")
        if status.st_size > MAX_BYTES:
            raise DataError(f"{path}: {status.st_size} bytes is over {MAX_BYTES}")
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({what})") from error
    return decode(content, str(path))


def count_pixels(path: Path) -> int:
    """Return how many pixels :func:`read` will give, from a file's head alone.

    It is 0 for what cannot be read or is refused for its size.
    """
    try:
        if not path.is_file():
            return 0
        with Image.open(path, formats=_formats()) as image:
            pixels = image.width * image.height
    except Exception:  # Pillow raises nearly anything on damaged files
        return 0
    return pixels if pixels <= MAX_PIXELS else 0


def resize(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize ``(H, W, 3)`` to ``(size, size, 3)``, bilinear with antialiasing."""
    if pixels.shape[:2] == (size, size):
        return pixels
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def crop(
    pixels: NDArray[np.uint8], box: Sequence[float] | NDArray[np.floating]
) -> NDArray[np.uint8]:
    """Cut ``(H, W, 3)`` to a box; what lies outside the picture repeats its nearest pixels.

    Args:
        pixels: The picture.
        box: Left, top, right and bottom in pixels, rounded to whole ones.

    Returns:
        ``(bottom - top, right - left, 3)``, a view where the box lies inside the picture.

    Raises:
        DataError: The box is empty, no number, or reaches farther outside than the picture is
            large.
    """
    height, width = pixels.shape[:2]
    try:
        left, top, right, bottom = (round(float(edge)) for edge in box)
    except (ValueError, OverflowError) as error:
        raise DataError(f"box {list(box)}: expected four numbers of pixels") from error
    within = -width <= left < right <= 2 * width and -height <= top < bottom <= 2 * height
    if not within or left >= width or right <= 0 or top >= height or bottom <= 0:
        raise DataError(
            f"box {left}, {top}, {right}, {bottom} (left, top, right, bottom) does not fit a "
            f"picture of {width}x{height} pixels"
        )
    inside = pixels[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    beyond = (
        (max(-top, 0), max(bottom - height, 0)),
        (max(-left, 0), max(right - width, 0)),
        (0, 0),
    )
    return np.pad(inside, beyond, mode="edge") if any(map(any, beyond)) else inside


def check(picture: NDArray[np.uint8], number: int) -> None:
    """Refuse what is no picture in memory.

    Args:
        picture: RGB, uint8 ``(H, W, 3)``.
        number: Its place among others, for the error.

    Raises:
        UsageError: It has another shape or type.
    """
    shape, dtype = np.shape(picture), getattr(picture, "dtype", type(picture).__name__)
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
        raise UsageError(
            f"picture {number}: expected uint8 (H, W, 3), got {dtype} {shape}; "
            "a single picture goes into a list"
        )
