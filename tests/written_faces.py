"""Drawn faces as files in class folders, with pictures among them that cannot be decoded."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image

from hybridface.data.drawn_faces import EXPRESSIONS, draw_faces

PIXELS = 40


def write_faces(root: Path, count: int, seed: int = 0) -> Path:
    """Write faces as JPEG files, one of them twice and in another class, and two broken files."""
    drawn = draw_faces(seed, count, PIXELS)
    for number, (pixels, ids) in enumerate(zip(drawn.images, drawn.expression, strict=True)):
        path = root / EXPRESSIONS[int(ids)] / f"{number:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=90)
    files = sorted(root.rglob("*.jpg"))
    shutil.copy(files[0], files[-1].with_name("again.jpg"))
    files[1].with_name("broken.jpg").write_bytes(b"no picture")
    content = files[len(files) // 2].read_bytes()
    files[len(files) // 2].with_name("cut.jpg").write_bytes(content[: len(content) // 2])
    return root
