from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hybridface import images
from hybridface.errors import DataError

Encode = Callable[..., bytes]


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_come_back_equal(picture_bytes: Encode, format: str) -> None:
    expected = images.decode(picture_bytes(3, 20, "PNG"))
    assert expected.shape == (20, 20, 3)
    assert expected.dtype == np.uint8
    np.testing.assert_array_equal(images.decode(picture_bytes(3, 20, format)), expected)


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_lossy_formats_come_back_near(picture_bytes: Encode, format: str) -> None:
    expected = images.decode(picture_bytes(3, 32, "PNG")).astype(int)
    assert np.abs(images.decode(picture_bytes(3, 32, format)) - expected).mean() < 8


def test_grey_has_three_equal_channels() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    pixels = images.decode(encoded(Image.fromarray(grey), "PNG"))
    np.testing.assert_array_equal(pixels, np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(format: str) -> None:
    wide = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    pixels = images.decode(encoded(Image.fromarray(wide), format))
    np.testing.assert_array_equal(pixels[..., 0], np.arange(256).reshape(16, 16))


def test_black_and_white() -> None:
    bits = Image.fromarray(np.eye(8, dtype=bool))
    np.testing.assert_array_equal(
        images.decode(encoded(bits, "PNG"))[..., 1], np.eye(8, dtype=np.uint8) * 255
    )


@pytest.mark.parametrize("transparency", [None, 0])
def test_palette(transparency: int | None) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], dtype=np.uint8), mode=None).convert("P")
    image.putpalette([250, 0, 0, 0, 250, 0])
    options = {} if transparency is None else {"transparency": transparency}
    pixels = images.decode(encoded(image, "PNG", **options))
    assert pixels.tolist() == [[[250, 0, 0], [0, 250, 0]], [[0, 250, 0], [250, 0, 0]]]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("top", [1, 255, 65535])
def test_floats_are_as_bright_as_they_go(top: int) -> None:
    values = np.array([[0, 0.2, 0.6], [1, 0.4, np.nan]], dtype=np.float32) * top
    pixels = images.decode(encoded(Image.fromarray(values), "TIFF"))
    assert pixels[..., 0].tolist() == [[0, 51, 153], [255, 102, 0]]


def test_cmyk_jpeg() -> None:
    red = Image.new("RGB", (16, 16), (255, 0, 0)).convert("CMYK")
    pixels = images.decode(encoded(red, "JPEG", quality=95)).astype(int)
    assert np.abs(pixels - [255, 0, 0]).max() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation: int) -> None:
    upright = np.zeros((16, 32, 3), dtype=np.uint8)
    upright[:8, :16] = (255, 0, 0)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = Image.fromarray(upright)
    if orientation in undo:
        stored = stored.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = images.decode(encoded(stored, "PNG", exif=exif))
    np.testing.assert_array_equal(pixels, upright)


def exif_of(*entries: tuple[int, int, int, bytes]) -> bytes:
    """Return EXIF with entries of (tag, type, count, four bytes)."""
    body = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + bytes(4)


def test_a_picture_is_turned_whatever_else_its_exif_holds() -> None:
    stored = Image.new("RGB", (32, 16))
    # A width below zero is what Pillow reads, and cannot write.
    odd = exif_of((0x0112, 3, 1, b"\6\0\0\0"), (0x0100, 9, 1, b"\xff\xff\xff\xff"))
    assert images.decode(encoded(stored, "JPEG", exif=odd)).shape == (32, 16, 3)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "JPEG"])
def test_of_exif_that_cannot_be_read_nothing_is_taken(format: str) -> None:
    content = encoded(Image.new("RGB", (32, 16)), format, exif=b"Exif\0\0no such thing")
    assert images.decode(content).shape == (16, 32, 3)


def in_scans(scans: int, after: bytes = b"") -> bytes:
    """Return a JPEG whose last scan comes so many times, and what lies behind its end."""
    content = encoded(Image.new("L", (64, 64), 128), "JPEG", progressive=True)
    place = content.rfind(b"\xff\xc4", 0, content.rfind(b"\xff\xda"))
    head, last = content[:place], content[place:-2]
    return head + last * (scans - head.count(b"\xff\xda")) + content[-2:] + after


def test_a_jpeg_in_endless_scans_is_refused_before_it_is_decoded() -> None:
    """Else a file of some MB would keep a thread, and whoever waits for it, for hours."""
    assert images.decode(in_scans(images.MOST_SCANS)).shape == (64, 64, 3)
    with pytest.raises(DataError, match=r"^a\.jpg: a JPEG in over 100 scans"):
        images.decode(in_scans(images.MOST_SCANS + 1), "a.jpg")


def test_a_jpeg_of_endless_segments_is_refused() -> None:
    content = in_scans(10)
    comments = b"\xff\xfe\0\2" * images.MOST_SEGMENTS
    with pytest.raises(DataError, match=r"^a\.jpg: a JPEG in over 10000 segments"):
        images.decode(content[:2] + comments + content[2:], "a.jpg")


def test_what_only_looks_like_a_scan_is_not_counted() -> None:
    """As in the film that a telephone hangs on, in a thumbnail, or in a comment."""
    scans = b"\xff\xda" * 1000
    comment = b"\xff\xfe" + (2 + len(scans)).to_bytes(2) + scans
    content = in_scans(10, after=scans)
    assert images.decode(content[:2] + comment + content[2:]).shape == (64, 64, 3)
    # Nor does an end in a comment hide what comes after it.
    comment = b"\xff\xfe\0\4\xff\xd9"
    content = in_scans(images.MOST_SCANS + 1)
    with pytest.raises(DataError, match="over 100 scans"):
        images.decode(content[:2] + comment + content[2:])


def test_a_tiff_is_as_large_as_its_tile() -> None:
    """A tile is held whole: one of 30,000 by 30,000 takes 900 MB, whatever the picture's size."""
    tags = [
        (256, 100), (257, 100), (258, 8), (259, 8), (262, 1), (277, 1),
        (322, 30_000), (323, 30_000), (324, 8), (325, 8),
    ]  # fmt: skip
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    content = b"II*\0\x10\0\0\0" + bytes(8) + struct.pack("<H", len(tags)) + body + bytes(4)
    with pytest.raises(DataError, match=r"^a\.tif: 30000x30000 is over 100000000 pixels"):
        images.decode(content, "a.tif")


def test_cut_jpeg_is_named(picture_bytes: Encode) -> None:
    whole = picture_bytes(1, 64, "JPEG")
    with pytest.raises(DataError, match=r"^face\.jpg: cannot be decoded"):
        images.decode(whole[: len(whole) // 2], "face.jpg")


@pytest.mark.parametrize(
    "content", [b"", b"these are words, not a picture\n", b"\x89PNG\r\n\x1a\n"]
)
def test_no_picture_is_named(content: bytes) -> None:
    with pytest.raises(DataError, match=r"^a\.jpg: "):
        images.decode(content, "a.jpg")


def test_heic_is_told_apart() -> None:
    """It is what telephones write, and it is no use to look for damage."""
    with pytest.raises(DataError, match=r"^a\.heic: .*HEIC is not; save it as JPEG or PNG"):
        images.decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "a.heic")


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(st.data())
def test_damaged_pictures_never_raise_anything_else(data: st.DataObject) -> None:
    format = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF"]))
    content = bytearray(encoded(Image.new("RGB", (9, 7), (1, 200, 30)), format))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels = images.decode(bytes(content[: data.draw(st.integers(0, len(content)))]))
    except DataError as error:
        assert str(error).startswith("picture: ")
    else:
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3


def test_huge_picture_is_refused(monkeypatch: pytest.MonkeyPatch, picture_bytes: Encode) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 99)
    with pytest.raises(DataError, match="10x10 is over 99 pixels"):
        images.decode(picture_bytes(0, 10), "big.png")
    assert images.decode(picture_bytes(0, 9)).shape == (9, 9, 3)


def test_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "endless.png"
    with path.open("wb") as file:
        file.truncate(images.MAX_BYTES + 1)
    with pytest.raises(DataError, match=r"endless\.png: 1000000001 bytes is over"):
        images.read(path)


@pytest.mark.parametrize("name", ["absent.png", "a\0b.png", "x" * 300 + ".png", "."])
def test_unreadable_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError) as raised:
        images.read(tmp_path / name)
    assert str(raised.value).startswith(f"{tmp_path / name}: ")


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match="not a file"):
        images.read(tmp_path / "pipe.png")


def test_resize() -> None:
    pixels = np.full((10, 30, 3), 77, dtype=np.uint8)
    assert images.resize(pixels, 10).shape == (10, 10, 3)
    assert (images.resize(pixels, 21) == 77).all()
    square = np.zeros((5, 5, 3), dtype=np.uint8)
    assert images.resize(square, 5) is square


def test_resize_down_averages() -> None:
    checks = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    small = images.resize(np.repeat(checks[..., None], 3, axis=2), 8)
    assert np.abs(small.astype(int) - 127.5).max() < 4


@pytest.mark.parametrize(
    "content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"<svg>"]
)
def test_nothing_is_given_to_other_programs(
    content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subprocess.Popen", None)
    with pytest.raises(DataError, match="not a picture that can be read"):
        images.decode(content)


def test_an_icon_is_refused_as_it_would_be_decoded_before_its_size_is_known() -> None:
    icon = encoded(Image.new("RGB", (64, 64), "red"), "ICO")
    for most in (None, 100):
        with pytest.raises(DataError, match="not a picture that can be read"):
            images.decode(icon, most_pixels=most)


def test_large_pictures_are_decoded_by_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "LARGE_PIXELS", 100)
    content = encoded(Image.new("RGB", (20, 20), "red"), "PNG")
    cut = content[: len(content) // 2]
    for _ in range(3):  # also after one that fails
        with pytest.raises(DataError):
            images.decode(cut)
        assert (images.decode(content) == (255, 0, 0)).all()


def test_a_box_inside_the_picture_is_cut_out() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert np.array_equal(images.crop(pixels, (4.4, 5.6, 24.4, 15.6)), pixels[6:16, 4:24])


@given(
    left=st.integers(-29, 29), top=st.integers(-19, 19),
    width=st.integers(1, 30), height=st.integers(1, 20),
)  # fmt: skip
def test_a_box_beyond_the_picture_repeats_its_nearest_pixels(
    left: int, top: int, width: int, height: int
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    right, bottom = left + width, top + height
    if right <= 0 or bottom <= 0:
        with pytest.raises(DataError, match="does not fit a picture of 30x20"):
            images.crop(pixels, (left, top, right, bottom))
        return
    rows = np.arange(top, bottom).clip(0, 19)
    columns = np.arange(left, right).clip(0, 29)
    assert np.array_equal(
        images.crop(pixels, (left, top, right, bottom)), pixels[np.ix_(rows, columns)]
    )


@pytest.mark.parametrize(
    "box", [(5, 5, 5, 9), (9, 5, 5, 9), (-31, 0, 9, 9), (0, 0, 61, 9), (30, 0, 40, 9)]
)
def test_a_box_that_cannot_be_meant_is_refused(box: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="does not fit a picture of 30x20"):
        images.crop(np.zeros((20, 30, 3), np.uint8), box)


def test_a_box_of_no_numbers_is_refused() -> None:
    with pytest.raises(DataError, match="expected four numbers"):
        images.crop(np.zeros((20, 30, 3), np.uint8), (0, 0, float("inf"), 9))
