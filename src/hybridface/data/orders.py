"""In which order the rows of a split make batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from hybridface.data.source import MISSING
from hybridface.data.splits import Index


class BatchOrder(Sampler[Index]):
    """Index arrays of a split: shuffled by (seed, epoch), or in order.

    Every process gets its slice of each batch, so that the batches are the same however many
    there are; a slice of a batch that is not full may be smaller than others, or empty. In
    training a last batch that is not full is left out, unless it is the only one.

    Args:
        count: Rows of the split.
        size: Rows of a batch, over all processes.
        seed: Decides the order; null for the rows as they stand.
        rank: Number of this process.
        world: How many processes there are.
        classes: ``(count,)`` class ids; with them every class comes equally often, its rows in
            turn. Rows of no class (-1) keep their share.
        shares: ``(count,)`` how often an epoch shows each row; rows of equal share in turn.
    """

    def __init__(
        self,
        count: int,
        size: int,
        *,
        seed: int | None,
        rank: int = 0,
        world: int = 1,
        classes: Index | None = None,
        shares: NDArray[np.float64] | None = None,
    ) -> None:
        self.rows_an_epoch = count if shares is None else rows_shown(shares)
        self.count, self.size, self.seed = count, size, seed
        self.rank, self.world = rank, world
        self.classes, self.shares = classes, shares
        self.epoch, self.start = 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration is for; another one begins at its start."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def resume_at(self, epoch: int, batch: int) -> None:
        """Choose the epoch that the next iteration is for, and the batch that it begins with."""
        self.epoch, self.start = epoch, batch

    @property
    def rows_a_batch(self) -> int:
        """How many rows a batch of training has: fewer than ``size`` where an epoch has fewer."""
        return min(self.size, self.rows_an_epoch)

    def __len__(self) -> int:
        if self.seed is None:
            return math.ceil(self.count / self.size)
        return max(1, self.rows_an_epoch // self.size)

    def __iter__(self) -> Iterator[Index]:
        if self.seed is None:
            order = np.arange(self.count)
        else:
            random = np.random.default_rng([self.seed, 4, self.epoch])
            if self.shares is not None:
                order = random.permutation(weighted_rows(self.shares, self.seed, self.epoch))
            elif self.classes is not None:
                order = random.permutation(balanced_rows(self.classes, random))
            else:
                order = random.permutation(self.count)
        for number in range(self.start, len(self)):
            batch = order[number * self.size : (number + 1) * self.size]
            yield batch[own_slice(len(batch), self.rank, self.world)]


def own_slice(count: int, rank: int, world: int) -> slice:
    """Return which of the rows of a batch are a process's; together they are all of them."""
    return slice(count * rank // world, count * (rank + 1) // world)


def balanced_rows(classes: Index, random: np.random.Generator) -> Index:
    """Draw as many rows as there are, of each class as many as of any other.

    Args:
        classes: ``(N,)`` class ids, -1 where missing; rows without one keep their number.
        random: Source of the random numbers.

    Returns:
        ``(N,)`` row numbers in no order. The rows of a class come equally often up to one.
    """
    present = np.unique(classes[classes != MISSING])
    known = int((classes != MISSING).sum())
    more = random.permutation(len(present)) < known % max(1, len(present))
    drawn = [np.flatnonzero(classes == MISSING)]
    for number, extra in zip(present, more, strict=True):
        rows = random.permutation(np.flatnonzero(classes == number))
        drawn.append(np.resize(rows, known // len(present) + int(extra)))
    return np.concatenate(drawn)


def rows_shown(shares: NDArray[np.float64]) -> int:
    """Return how many rows an epoch shows; see :func:`weighted_rows`."""
    values, counts = np.unique(shares, return_counts=True)
    return sum(_shown(float(v), int(c)) for v, c in zip(values, counts, strict=True))


def _shown(share: float, count: int) -> int:
    return max(1, round(share * count))


def weighted_rows(shares: NDArray[np.float64], seed: int, epoch: int) -> Index:
    """Return the rows that an epoch shows, rows of a share of 2 twice and of 0.5 every other time.

    Rows of equal share run on from epoch to epoch, all of them once before any comes again, in an
    order that the seed decides.

    Args:
        shares: ``(N,)`` how often an epoch shows each row, above 0.
        seed: Decides the order.
        epoch: Which epoch, from 0.

    Returns:
        ``(M,)`` row numbers, M as :func:`rows_shown` says.
    """
    drawn = []
    for number, share in enumerate(np.unique(shares)):
        rows = np.flatnonzero(shares == share)
        shown = _shown(float(share), len(rows))
        places = np.arange(epoch * shown, (epoch + 1) * shown)
        for turn in np.unique(places // len(rows)):
            order = np.random.default_rng([seed, 6, number, int(turn)]).permutation(rows)
            drawn.append(order[places[places // len(rows) == turn] % len(rows)])
    return np.concatenate(drawn)


class MixedOrder(Sampler[tuple[Index, Index]]):
    """Batches of labelled rows, each with pictures without labels.

    An epoch is one of the labelled rows. The others run on from epoch to epoch, all of them once
    before any comes again, in an order that the seed decides, so that a resumed run goes on where
    it was.

    Args:
        labelled: The order of the labelled rows.
        count: How many pictures without labels there are.
        size: How many of them a batch gets, over all processes.
    """

    def __init__(self, labelled: BatchOrder, count: int, size: int) -> None:
        self.labelled, self.count, self.size = labelled, count, size
        self._pass: tuple[int, Index] = (-1, np.zeros(0, dtype=np.int64))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration is for."""
        self.labelled.set_epoch(epoch)

    def resume_at(self, epoch: int, batch: int) -> None:
        """Choose the epoch that the next iteration is for, and the batch that it begins with."""
        self.labelled.resume_at(epoch, batch)

    @property
    def rows_a_batch(self) -> int:
        """How many labelled rows a batch of training has."""
        return self.labelled.rows_a_batch

    def __len__(self) -> int:
        return len(self.labelled)

    def __iter__(self) -> Iterator[tuple[Index, Index]]:
        own = own_slice(self.size, self.labelled.rank, self.labelled.world)
        first = self.labelled.epoch * len(self)
        for number, rows in enumerate(self.labelled, self.labelled.start):
            start = (first + number) * self.size
            yield rows, self._stream(np.arange(start, start + self.size)[own])

    def _stream(self, places: Index) -> Index:
        """Return what stands at some places of the endless order."""
        passes = places // self.count
        parts: Sequence[Index] = [
            self._permutation(int(number))[places[passes == number] % self.count]
            for number in np.unique(passes)
        ]
        return np.concatenate(parts)

    def _permutation(self, number: int) -> Index:
        if self._pass[0] != number:
            random = np.random.default_rng([self.labelled.seed or 0, 5, number])
            self._pass = (number, random.permutation(self.count))
        return self._pass[1]
