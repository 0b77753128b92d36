"""Digests of files by content, remembered while a file's size and time stay the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from hybridface.errors import DataError, HybridFaceError
from hybridface.files import ABSENT, digest_of, read_json_object, stamp, write_atomically


def digest_files(root: Path, names: Sequence[str], memory: Path) -> str:
    """Return one digest for the content of many files, in order.

    A file whose size and modification time are those of the last call is not read again, so a
    second call on a large folder costs a ``stat`` a file.

    Args:
        root: The folder that ``names`` are relative to.
        names: File names; one that cannot be read counts as absent.
        memory: A folder for what is remembered; created where needed.

    Returns:
        A hexadecimal digest.
    """
    record = memory / f"{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:24]}.json"
    known = _recall(record)
    unique = sorted(set(names))
    with ThreadPoolExecutor() as pool:
        stamps = dict(zip(unique, pool.map(lambda name: stamp(root / name), unique), strict=True))
        stale = [name for name in unique if known.get(name, ("", ""))[0] != stamps[name]]
        fresh = dict(zip(stale, pool.map(lambda name: _digest(root / name), stale), strict=True))
    if fresh:
        known.update({name: (stamps[name], digest) for name, digest in fresh.items()})
        with suppress(HybridFaceError):  # read-only or full: they are read again next time
            write_atomically(record, json.dumps(known).encode())
    whole = hashlib.sha256()
    for name in names:
        whole.update(f"{name}\0{known[name][1]}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def join_fingerprints(parts: Sequence[str]) -> str:
    """Return the digest of several data sets together; that of one is its own."""
    return parts[0] if len(parts) == 1 else hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _recall(record: Path) -> dict[str, tuple[str, str]]:
    try:
        loaded = read_json_object(record)
        pairs = {name: (stamp, digest) for name, (stamp, digest) in loaded.items()}
    except (DataError, ValueError, TypeError):
        return {}  # nothing remembered, or not readable: everything is read again
    # A file that was there and could not be read may be readable now.
    return {name: pair for name, pair in pairs.items() if pair[1] != ABSENT or pair[0] == ABSENT}


def _digest(path: Path) -> str:
    try:
        return (digest_of(path)[:32] if path.is_file() else "") or ABSENT
    except (OSError, ValueError):
        return ABSENT
