"""Pictures without labels, for the self-supervised tasks: other data sets, or the rest of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hybridface.config import REST, DataConfig
from hybridface.data.cache import CachedPictures, Progress
from hybridface.data.decoding import open_pictures
from hybridface.data.joined_pictures import JoinedPictures
from hybridface.data.parts import Part, refuse_problems
from hybridface.data.source import Pictures, Problem
from hybridface.data.sources import open_source
from hybridface.data.splits import Index
from hybridface.errors import DataError


@dataclass
class UnlabelledPictures:
    """Pictures of several data sets, numbered through.

    Attributes:
        specs: The data sets as the recipe names them.
        images: ``(N_i, size, size, 3)`` uint8 of each, memory-mapped or decoded when read.
        rows: The rows used of each.
        fingerprints: Of each, equal for equal content of all its pictures.
        dropped: How many were left out because they stand in validation or test.
        problems: What was skipped, and why.
    """

    specs: list[str] = field(default_factory=list)
    images: list[Pictures] = field(default_factory=list)
    rows: list[Index] = field(default_factory=list)
    fingerprints: list[str] = field(default_factory=list)
    dropped: int = 0
    problems: list[Problem] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.rows)

    def read(self, index: Index) -> NDArray[np.uint8]:
        """Return pictures by number, ``(B, size, size, 3)`` uint8."""
        return JoinedPictures(self.images, self.rows)[index]

    def report(self) -> dict[str, object]:
        """Return what a run's report says of them, ready for JSON."""
        counts = {spec: len(rows) for spec, rows in zip(self.specs, self.rows, strict=True)}
        return {
            "sources": counts,
            "dropped_duplicates": self.dropped,
            "problems": [{"where": p.where, "what": p.what} for p in self.problems],
        }


def gather_unlabelled(
    config: DataConfig,
    parts: Sequence[Part],
    progress: Progress | None = None,
    *,
    workers: int = 0,
) -> UnlabelledPictures | None:
    """Open what ``data.unlabelled`` names.

    Args:
        config: The recipe's data section.
        parts: The labelled data sets; no picture that equals one of their validation and test
            rows is used.
        progress: Called with (done, total) while pictures are decoded.
        workers: How many processes look through a data set that is not cached.

    Returns:
        The pictures, or None where the recipe asks for none. Rows that another data set holds for
        validation or test are not used.

    Raises:
        DataError: One of them has no picture that could be used, or has problems that are to be
            refused.
    """
    if not config.unlabelled:
        return None
    found = UnlabelledPictures()
    secret = np.unique(np.concatenate([part.pictures.digests[part.held_out] for part in parts]))
    for spec in config.unlabelled:
        others = spec != REST
        opened = {spec: _open(config, spec, found, progress, workers)} if others else _rest(parts)
        count, dropped, before = 0, 0, len(found.specs)
        for name, (pictures, usable) in opened.items():
            seen = np.isin(pictures.digests, secret) & usable & config.drop_duplicates
            count, dropped = count + len(usable), dropped + int(seen.sum())
            chosen = np.flatnonzero(usable & ~seen)
            if len(chosen):
                found.specs.append(name)
                found.images.append(pictures.images)
                found.rows.append(chosen)
                found.fingerprints.append(pictures.fingerprint)
        found.dropped += dropped
        if len(found.specs) == before:
            raise DataError(
                f"data.unlabelled: {spec}: no picture is left that could train: "
                f"{count} rows, {dropped} of them in validation or test"
                + (" (data.fraction leaves no rest)" if spec == REST else "")
            )
    return found


def _rest(parts: Sequence[Part]) -> dict[str, tuple[CachedPictures, NDArray[np.bool_]]]:
    return {
        REST if len(parts) == 1 else f"{REST} of {part.spec}": (
            part.pictures,
            part.rest & part.pictures.decoded,
        )
        for part in parts
    }


def _open(
    config: DataConfig,
    spec: str,
    found: UnlabelledPictures,
    progress: Progress | None,
    workers: int,
) -> tuple[CachedPictures, NDArray[np.bool_]]:
    """Open another data set, and mark its rows that may train; problems go to ``found``."""
    source = open_source(spec)
    rows = source.read()
    opened = open_pictures(
        source, rows, config.size, progress, limit_gib=config.cache_limit_gib, workers=workers
    )
    problems = [*rows.problems, *opened.problems]
    if config.problems == "refuse":
        refuse_problems(f"data.unlabelled: {spec}", problems)
    found.problems += problems
    return opened, opened.decoded & np.isin(rows.split, ("", "train"))
