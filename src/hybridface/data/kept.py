"""Arrays that are kept in the cache folder, with the problems met while they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridface.data.source import Problem
from hybridface.files import read_arrays, write_arrays


class Kept(NamedTuple):
    """What :func:`keep` wrote.

    Attributes:
        arrays: By name.
        problems: What could not be used.
        said: What else was kept, by name.
    """

    arrays: dict[str, NDArray[Any]]
    problems: list[Problem]
    said: dict[str, Any]


def keep(
    file: Path,
    form: int,
    arrays: Mapping[str, NDArray[Any]],
    problems: Sequence[Problem],
    **said: Any,
) -> None:
    """Write arrays, problems and what else JSON can hold, all or nothing.

    Args:
        file: A ``.npz`` file.
        form: Number of the format; what has another one is not read.
        arrays: By name; none is called ``note``.
        problems: What could not be used.
        **said: What else to keep.

    Raises:
        HybridFaceError: See :func:`hybridface.files.write_atomically`.
    """
    found = [[problem.where, problem.what] for problem in problems]
    note = json.dumps({"format": form, "problems": found, **said}).encode()
    write_arrays(file, {**arrays, "note": np.frombuffer(note, dtype=np.uint8)})


def recall(file: Path, form: int, *names: str) -> Kept | None:
    """Read some arrays and all else; None where the file is missing, damaged or of another form."""
    arrays = read_arrays(file, *names, "note")
    if arrays is None:
        return None
    try:
        said = json.loads(arrays.pop("note").tobytes())
        found = said.pop("format")
        problems = [Problem(where, what) for where, what in said.pop("problems")]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return Kept(arrays, problems, said) if found == form else None
