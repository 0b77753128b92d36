"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hybridface.errors import HybridFaceError

CACHE_LIMIT_GIB = 16.0


def cache_folder() -> Path:
    """Return the folder for decoded data: ``$HYBRIDFACE_CACHE``, else ``~/.cache/hybridface``."""
    return Path(os.environ.get("HYBRIDFACE_CACHE") or Path.home() / ".cache" / "hybridface")


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new one.

    Raises:
        HybridFaceError: The folder cannot be written or the disk is full.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise HybridFaceError(f"{path}: cannot be written ({error.strerror})") from error
