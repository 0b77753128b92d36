"""The rows of a data set that a run kept for its report, as a data set of their own.

``benchmarks.held_out:HeldOut:KIND:PATH?keys=FILE``, from the repository's root, wherever data is
named, as in::

    hybridface evaluate default --json \\
        --data "benchmarks.held_out:HeldOut:utkface:/data/UTKFace?keys=runs/default/predictions.npz"

Rows that ``keys`` names are of split test, all others of train, so that ``evaluate`` measures the
named ones unless told otherwise. Options of the kind itself follow as ``inner=labels=original``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hybridface.data.source import Rows, Source, SourceOptions
from hybridface.data.sources import open_source
from hybridface.errors import DataError


def read_keys(file: Path) -> set[str]:
    """Return the names of the rows that count.

    Args:
        file: A text file with a key a line, or a run's ``predictions.npz``, of which those of its
            test split count. Keys of a run on several data sets, ``NAME/KEY``, count without
            their first part too.
    """
    if file.suffix == ".npz":
        keys = np.load(file)["test_keys"].tolist()
    else:
        keys = file.read_text(encoding="utf-8").splitlines()
    return {name for key in keys for name in (key, key.partition("/")[2]) if name}


class HeldOutOptions(SourceOptions):
    """Which rows.

    Attributes:
        keys: See :func:`read_keys`.
        inner: Options of the kind itself, ``option=value``.
    """

    keys: Path
    inner: str = ""


class HeldOut(Source):
    """Another source with the rows of a list as its test split."""

    kind = "held-out"
    layout = "KIND:PATH of another kind"
    Options: ClassVar[type[SourceOptions]] = HeldOutOptions
    options: HeldOutOptions

    def __init__(self, path: str, options: SourceOptions) -> None:
        super().__init__(path, options)
        self.inside = open_source(f"{path}?{self.options.inner}")

    def read(self) -> Rows:
        """Read the other source's rows and cut them anew."""
        rows, named = self.inside.read(), read_keys(self.options.keys)
        test = np.array([key in named for key in rows.keys])
        if not test.any():
            raise DataError(f"{self.path}: none of its rows is named in {self.options.keys}")
        return replace(rows, split=np.where(test, "test", "train"))

    def fingerprint(self, rows: Rows, memory: Path) -> str:
        """Return the other source's."""
        return self.inside.fingerprint(rows, memory)

    def decode_each(self, rows: Rows, index: Sequence[int], finish: Callable[..., Any]) -> Any:
        """Decode as the other source does."""
        return self.inside.decode_each(rows, index, finish)
