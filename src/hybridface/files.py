"""Files that are there whole or not at all, and JSON that says what is wrong with it."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridface.errors import DataError, HybridFaceError

if TYPE_CHECKING:  # numpy itself is loaded where arrays are written: --help must not wait for it
    from numpy.typing import NDArray

CACHE_LIMIT_GIB = 16.0
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ABSENT = "absent"  # in place of a stamp or a digest


def cache_folder() -> Path:
    """Return the folder for decoded data: ``$HYBRIDFACE_CACHE``, else ``~/.cache/hybridface``."""
    return Path(os.environ.get("HYBRIDFACE_CACHE") or Path.home() / ".cache" / "hybridface")


def at_home(path: Path | str) -> Path:
    """Return a path with ``~`` and ``~user`` replaced; as it stands where there is no such user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (Path.expanduser raises)


def cannot_write(path: Path, error: OSError) -> HybridFaceError:
    """Build the error for a file that cannot be written: how much is free, and what to do.

    Args:
        path: The file or folder; in the cache, the error names the variable that moves it.
        error: What the system said.
    """
    cached = path.is_relative_to(cache_folder())
    if error.errno in DISK_FULL:
        found = f"{error.strerror}{_free(path)}"
        elsewhere = ", or set HYBRIDFACE_CACHE to a folder that has room" if cached else ""
        advice = (
            f"make room{elsewhere}, then give the same command again, a training with --resume; "
            "what was written before is kept"
        )
    else:
        found = str(error.strerror or error)
        elsewhere = "set HYBRIDFACE_CACHE to a folder that can" if cached else "name another place"
        advice = f"{elsewhere}, or mend what is in the way"
    return HybridFaceError(f"{path}: cannot be written ({found}); {advice}")


def _free(path: Path) -> str:
    """Say how much room there is where a file should go."""
    for place in path.parents:
        try:
            usage = shutil.disk_usage(place)
        except OSError:
            continue
        return f"; {usage.free / 1e6:,.1f} of {usage.total / 1e6:,.1f} MB are free"
    return ""


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new one.

    Who may read it is for the umask to say.

    Raises:
        HybridFaceError: The folder cannot be written or the disk is full.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise cannot_write(path, error) from error


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def stamp(path: Path) -> str:
    """Return the size and modification time of a file, as text; ``absent`` where there is none.

    Another file that is put in its place has another stamp.
    """
    try:
        status = path.stat()
    except (OSError, ValueError):
        return ABSENT
    return f"{status.st_size}:{status.st_mtime_ns}"


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an uncompressed ``.npz`` file, whole or not at all.

    Raises:
        ValueError: An array holds objects, which would be pickled.
        HybridFaceError: See :func:`write_atomically`.
    """
    import numpy as np

    objects = [name for name, array in arrays.items() if np.asarray(array).dtype.hasobject]
    if objects:  # older NumPy's savez takes allow_pickle for the name of an array
        raise ValueError(f"arrays of objects are not written: {', '.join(objects)}")
    content = io.BytesIO()
    np.savez(content, **dict(arrays))  # type: ignore[arg-type]
    write_atomically(path, content.getvalue())


def read_arrays(path: Path, *names: str) -> dict[str, NDArray[Any]] | None:
    """Read some of the arrays of a ``.npz`` file, and nothing of the others.

    Returns:
        The arrays by name; None where the file is not there or damaged, or lacks one of them.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as content:
            return {name: content[name] for name in names}
    except Exception:  # numpy and zipfile raise nearly anything on damaged files
        return None


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        DataError: It cannot be read or is no JSON: says which file, and what is wrong where in it.
    """
    return _from_json(_read_text(path), str(path))


def read_json_object(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds that must hold an object; see :func:`read_json`.

    Raises:
        DataError: As there, or it holds something else.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        found = type(content).__name__
        raise DataError(f"{path}: damaged (expected a JSON object, found {found})")
    return content


def read_json_lines(path: Path) -> list[Any]:
    """Return what the lines of a JSON Lines file hold.

    Raises:
        DataError: It cannot be read, or a line is no JSON: says which.
    """
    lines = _read_text(path).splitlines()
    return [_from_json(line, f"{path}: line {number}") for number, line in enumerate(lines, 1)]


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: damaged (no UTF-8: {error})") from error


def _from_json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # brackets in brackets without end
        raise DataError(f"{where}: damaged (no JSON: {error})") from error


def remove_unfinished(paths: Iterable[Path]) -> None:
    """Remove what killed calls of :func:`write_atomically` left beside files, half written."""
    for path in paths:
        for left in path.parent.glob(f".{path.name}.*"):
            left.unlink(missing_ok=True)
