"""Disks that are full."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

Mount = Callable[..., Path]


def small_disk(mount: Mount, size: str, name: str = "disk") -> Path:
    """Return a disk in memory, of a size as in ``4m``; ``mount`` is the fixture."""
    return mount(name, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")


def fill(disk: Path) -> Path:
    """Fill a disk to the last byte, and return what fills it."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        for size in (1 << 20, 1 << 12, 1):
            while True:
                try:
                    os.write(file.fileno(), bytes(size))
                except OSError:
                    break
    return ballast
