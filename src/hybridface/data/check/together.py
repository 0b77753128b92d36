"""Near duplicates as groups that no cut parts."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np

from hybridface.data.cache import Progress
from hybridface.data.check.graph import Ids, merge_groups
from hybridface.data.check.groups import near_duplicate_ids
from hybridface.data.check.looks import looks_file, open_looks
from hybridface.data.source import Rows, Source
from hybridface.errors import HybridFaceError
from hybridface.files import read_arrays, write_arrays

FORMAT = 1  # to be raised when other pictures are found to be near


def with_near_duplicates(source: Source, rows: Rows, progress: Progress | None = None) -> Rows:
    """Return rows whose groups hold near duplicates together, and persons as before.

    Two persons of whom pictures are nearly equal become one group. The pictures are looked at in
    full size whatever size a recipe trains on, so that its cuts do not depend on that; what is
    found is kept in the cache folder.

    Args:
        source: The data set.
        rows: What ``source.read()`` gave.
        progress: Called with (done, total) while pictures are decoded.
    """
    looks = looks_file(source, rows)
    kept = looks.with_name(f"{looks.stem}-near{FORMAT}.npz")
    found = read_arrays(kept, "near")
    near: Ids | None = None if found is None else found["near"]
    if near is None or near.shape != (len(rows),) or near.dtype != np.int64:
        near = near_duplicate_ids(open_looks(source, rows, progress))
        with suppress(HybridFaceError):  # on a full disk they are compared again next time
            write_arrays(kept, {"near": near})
    persons = [] if rows.group is None else [rows.group]
    return replace(rows, group=merge_groups(len(rows), [near, *persons]))
