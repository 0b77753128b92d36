"""Small valid data sets of each kind, and seeded damage to them as disks and people do it."""

from __future__ import annotations

import io
import os
import random
import shutil
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from conftest import picture_pixels
from layouts import LAYOUTS, Files

TABLES = (".csv", ".txt", ".parquet")
STRANGE_NAMES = (
    "a\nb", "\udcff\udcfe", "x" * 250, "-rf", "ééé", "e\u0301", "\u202egnp", "😀", "'\"`$(x)", " ",
    "a\\b", "%s%n", "CON", "~", "a:b?c=d", "\x1b[31m", "\x7f", "…",
)  # fmt: skip
STRANGE_CELLS = (
    b"", b"9" * (1 << 20), b"x" * (1 << 17), b"\0", b"a\0b", b'"', b'""', b"\n", b"\r", b"\xff\xfe",
    b"\xed\xa0\x80", b"-1", b"nan", b"1e999", b"9" * 30, b"9" * 5000, b"3.0", b"0x3", b"-0", b"+3",
    b"=1+1", b"../../../etc/passwd", b"/", b".", b"..", b"~", b"y" * 300 + b".png", b"\x1c",
    *(text.encode() for text in ("\u0661", "\u00b2", "\u00bd", "\u2028")),
)  # fmt: skip
HEADERS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"PK\3\4", b"GIF89a", b"PAR1", b"BM",
    b"P5\n99999 99999\n255\n", b"II*\0", b"\xff\xd8\xff\xe0", b"\x1f\x8b", b"<svg>",
)  # fmt: skip


def picture(seed: int, kind: str = "PNG") -> bytes:
    """Encode a small picture that no other seed gives."""
    out = io.BytesIO()
    Image.fromarray(picture_pixels(seed, 12)).save(out, kind)
    return out.getvalue()


def bomb(width: int, height: int) -> bytes:
    """Return a whole PNG of few bytes that claims to be of any size."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1 << 16))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def folder() -> Files:
    """Build class folders below folders of splits."""
    kinds = {"png": "PNG", "jpg": "JPEG", "gif": "GIF", "tif": "TIFF", "webp": "WEBP"}
    places = [(split, name) for split in ("train", "test") for name in ("happy", "sad")]
    return {
        f"{split}/{name}/{number}.{suffix}": picture(10 * seed + number, kind)
        for seed, (split, name) in enumerate(places)
        for number, (suffix, kind) in enumerate(kinds.items())
    }


def csv() -> Files:
    """Build a CSV file beside its pictures."""
    lines = ["path,split,person,emotion,age"]
    for number in range(12):
        split = ("train", "train", "val", "test")[number % 4]
        lines.append(f"p/{number}.png,{split},p{number},{('happy', 'sad')[number // 4 % 2]},3")
    pictures = {f"p/{number}.png": picture(number) for number in range(12)}
    return {"labels.csv": "\n".join(lines).encode() + b"\n", **pictures}


def parquet() -> Files:
    """Build a Parquet file with its pictures in it, in three row groups."""
    cells = [{"bytes": picture(number), "path": None} for number in range(12)]
    columns = {
        "image": cells,
        "split": ["train", "train", "val", "test"] * 3,
        "person": list(range(12)),
        "label": ["happy"] * 4 + ["sad"] * 4 + ["happy"] * 4,
    }
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, row_group_size=4, compression="NONE")
    return {"labels.parquet": out.getvalue()}


def parquet_of_paths() -> Files:
    """Build a Parquet file beside its pictures."""
    files = csv()
    lines = [line.split(",") for line in files.pop("labels.csv").decode().splitlines()]
    table = pa.table({name: list(cells) for name, *cells in zip(*lines, strict=True)})
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=5)
    return {"labels.parquet": out.getvalue(), **files}


def fer2013() -> Files:
    """Build the challenge's file."""
    lines = ["emotion,pixels,Usage"]
    for number in range(12):
        pixels = " ".join(str((number * 7 + place) % 256) for place in range(48 * 48))
        usage = ("Training", "Training", "PublicTest", "PrivateTest")[number % 4]
        lines.append(f"{number // 4},{pixels},{usage}")
    return {"fer2013.csv": "\n".join(lines).encode()}


def ferplus() -> Files:
    """Build FER+'s folders with votes and original labels."""
    parts = ("Train", "Train", "Valid", "Test")
    usages = ("Training", "Training", "PublicTest", "PrivateTest")
    votes = ["Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,"
             "unknown,NF"]  # fmt: skip
    original = ["Image name,emotion"]
    files = {}
    for number in range(12):
        name = f"fer{number:07d}.png"
        counts = ["8" if place == number // 4 else "0" for place in range(8)]
        votes.append(",".join([usages[number % 4], name, *counts, "1", "1"]))
        original.append(f"{name},{number // 4}")
        files[f"FER2013{parts[number % 4]}/{name}"] = picture(number)
    return {
        "fer2013new.csv": "\n".join(votes).encode(),
        "fer2013_labels.csv": "\n".join(original).encode(),
        **files,
    }


def rafdb() -> Files:
    """Build RAF-DB's label list and aligned pictures."""
    lines, files = [], {}
    for number in range(12):
        stem = f"{'test' if number % 4 == 3 else 'train'}_{number:05d}"
        lines.append(f"{stem}.jpg {number // 4 + 1}")
        files[f"Image/aligned/{stem}_aligned.jpg"] = picture(number, "JPEG")
    return {"EmoLabel/list_patition_label.txt": "\n".join(lines).encode(), **files}


# What each kind is built by, the data source by the folder that it is written to, and the label
# columns that are asked for.
_EXPRESSION = ("expression",)
EXAMPLES: dict[str, tuple[Callable[[], Files], str, tuple[str, ...]]] = {
    "folder": (folder, "folder:{}", _EXPRESSION),
    "csv": (csv, "csv:{}/labels.csv", _EXPRESSION),
    "parquet": (parquet, "csv:{}/labels.parquet", _EXPRESSION),
    "parquet_of_paths": (parquet_of_paths, "csv:{}/labels.parquet", _EXPRESSION),
    "fer2013": (fer2013, "fer2013:{}", _EXPRESSION),
    "ferplus": (ferplus, "ferplus:{}", _EXPRESSION),
    "ferplus_votes": (ferplus, "ferplus:{}?labels=votes", _EXPRESSION),
    "rafdb": (rafdb, "rafdb:{}", _EXPRESSION),
    **LAYOUTS,
}


def damage_bytes(content: bytes, chance: random.Random) -> bytes:
    """Cut, blank, flip or replace some of a file's bytes."""
    size = len(content)
    start = chance.randrange(size + 1)
    stop = min(size, start + chance.choice((1, 4, 60, 2000, size)))
    kind = chance.randrange(8)
    if kind == 0:
        return content[:start]
    if kind == 1:
        return content[:start] + bytes(stop - start) + content[stop:]
    if kind == 2:
        return content[:start] + chance.randbytes(stop - start) + content[stop:]
    if kind == 3:
        return content[:start] + content[stop:]
    if kind == 4:
        header = chance.choice(HEADERS)
        return header + content[len(header) :]
    if kind == 5:
        side = chance.choice((0, 1, 5_000, 20_000, 100_000, 2**31 - 1, 2**32 - 1))
        return bomb(side, chance.choice((1, side)))
    if kind == 6:
        return content[:start] + chance.randbytes(chance.choice((1, 9, 3000))) + content[start:]
    changed = bytearray(content)
    for _ in range(chance.randrange(1, 20) if size else 0):
        changed[chance.randrange(size)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def damage_text(content: bytes, chance: random.Random) -> bytes:
    """Change cells, lines or the encoding of a table of text."""
    lines = content.split(b"\n")
    at = chance.randrange(len(lines))
    kind = chance.randrange(6)
    if kind == 0:
        encoding = chance.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp037"))
        return content.decode("utf-8", "replace").encode(encoding, "replace")
    if kind == 1:
        del lines[at]
    elif kind == 2:
        lines.insert(chance.randrange(len(lines)), lines[at])
    elif kind == 3:
        return content.replace(b",", chance.choice((b";", b"\t", b"|", b" ")))
    else:
        mark = b"," if b"," in lines[at] else b" "
        cells = lines[at].split(mark)
        cells[chance.randrange(len(cells))] = chance.choice(STRANGE_CELLS)
        lines[at] = mark.join(cells)
    return b"\n".join(lines)


def damage_tree(root: Path, chance: random.Random) -> None:
    """Replace, rename, link or remove one file or folder."""
    found = sorted(path for path in root.rglob("*") if not path.is_symlink())
    if not found:
        return
    path = chance.choice(found)
    kind = chance.randrange(7)
    if kind == 0:
        name = chance.choice(STRANGE_NAMES)
        path.rename(path.with_name(name + path.suffix * chance.randrange(2)))
        return
    if kind == 1:
        path.with_name(chance.choice(STRANGE_NAMES)).symlink_to(root)  # a loop of folders
        return
    if kind == 2:
        (path.parent / f"copy{path.suffix}").symlink_to(path)
        return
    was_folder = path.is_dir()
    if was_folder:
        shutil.rmtree(path)
    else:
        path.unlink()
    if kind == 3:
        path.touch() if was_folder else path.mkdir()
    elif kind == 4:
        path.symlink_to(chance.choice((path, root / "nowhere", Path("/dev/null"), Path("x" * 300))))
    elif kind == 5:
        os.mkfifo(path)


def write_damaged(example: Files, root: Path, chance: random.Random) -> None:
    """Write a data set with one to three pieces of damage."""
    files = dict(example)
    later = 0
    for _ in range(chance.choice((1, 1, 2, 3))):
        tables = [name for name in files if name.endswith(TABLES)]
        name = chance.choice(tables if tables and chance.random() < 0.6 else list(files))
        if chance.random() < 0.3:
            later += 1
        elif name.endswith((".csv", ".txt")) and chance.random() < 0.6:
            files[name] = damage_text(files[name], chance)
        else:
            files[name] = damage_bytes(files[name], chance)
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for _ in range(later):
        with suppress(OSError):  # too long a name, or one that is there
            damage_tree(root, chance)
