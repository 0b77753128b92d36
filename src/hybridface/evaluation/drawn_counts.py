"""Pictures drawn with replacement, as counts of what they are alike in; by person where known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_BLOCK = 2_000_000

Floats = NDArray[np.float64]
Index = NDArray[np.int64]


def drawn_counts(
    cells: Index, draws: int, random: np.random.Generator, group: Index | None = None
) -> Iterator[Floats]:
    """Give how many pictures of each cell there are in each of many draws, a block at a time.

    Drawing N pictures with replacement is one multinomial draw over the cells, so no picture is
    touched. Where persons are known, as many as there are of them are drawn, each with all their
    pictures, since pictures of one person are wrong together.

    Args:
        cells: ``(N,)`` which cell each picture is in, 0 to C - 1, such as its true class and what
            was said of it.
        draws: How many draws.
        random: What they are drawn by.
        group: ``(N,)`` ids of persons, or None.

    Yields:
        ``(D, C)`` counts of some of the draws.
    """
    counts = np.bincount(cells)
    if group is None:
        block = max(1, _BLOCK // len(counts))
        for start in range(0, draws, block):
            size = min(block, draws - start)
            yield random.multinomial(len(cells), counts / len(cells), size).astype(np.float64)
        return
    person = np.unique(group, return_inverse=True)[1]
    people = int(person.max()) + 1
    of_person = np.bincount(person * len(counts) + cells, minlength=people * len(counts))
    of_person = of_person.reshape(people, len(counts)).astype(np.float64)
    for times in drawn_times(people, draws, random, len(counts)):
        yield times @ of_person


def drawn_times(
    count: int, draws: int, random: np.random.Generator, width: int = 1
) -> Iterator[Floats]:
    """Give how often each of some persons or pictures is in draws of as many, with replacement.

    Args:
        count: How many persons or pictures there are.
        draws: How many draws.
        random: What they are drawn by.
        width: How many numbers the caller makes of a draw, which bounds a block too.

    Yields:
        ``(D, count)`` times of some of the draws.
    """
    block = max(1, _BLOCK // max(count, width))
    shares = np.full(count, 1 / count)
    for start in range(0, draws, block):
        yield random.multinomial(count, shares, min(block, draws - start)).astype(np.float64)
