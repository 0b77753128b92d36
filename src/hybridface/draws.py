"""Random numbers of a step, the same whether one process trains or several.

Each of several processes trains a part of every batch. What is drawn here is drawn for the whole
batch by all of them, from the same seed, and each takes the rows of its own pictures.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Generator, Tensor


class SharedGenerator(Generator):
    """The generator of one of several processes.

    Drawn from directly, it gives every process numbers of its own; the functions of this module
    draw from ``together``, which is in the same state in all of them.

    Args:
        device: Where the numbers are drawn.
        blocks: How many pictures each part of this process's batch holds. Its parts stand one
            after the other, and each is a slice of that part of the whole batch.
        rank: Number of this process.
        processes: How many there are; each has the same blocks.
        own_seed: Seed of the numbers of its own.
        seed: Seed that all processes share.
    """

    def __new__(cls, device: torch.device, *_: Any, **__: Any) -> Self:
        """Make torch's generator, which takes a device alone."""
        return super().__new__(cls, device)  # type: ignore[call-arg]

    def __init__(
        self,
        device: torch.device,
        blocks: Sequence[int],
        *,
        rank: int,
        processes: int,
        own_seed: int,
        seed: int,
    ) -> None:
        self.blocks, self.rank, self.processes = tuple(blocks), rank, processes
        self.together = Generator(device).manual_seed(seed)
        self.manual_seed(own_seed)

    def rows(self, count: int, rank: int | None = None) -> Tensor:
        """Return where the first pictures of a process's batch stand in the whole batch.

        Args:
            count: How many pictures: those of the first block, of the first two, and so on.
            rank: Of which process; of this one where null.

        Returns:
            ``(count,)`` int64 row numbers.

        Raises:
            ValueError: No blocks hold so many.
        """
        rank = self.rank if rank is None else rank
        parts, start = [], 0
        for block, held in zip(self.blocks, itertools.accumulate(self.blocks), strict=True):
            first = start + rank * block
            parts.append(torch.arange(first, first + block, device=self.device))
            start += block * self.processes
            if held == count:
                return torch.cat(parts)
        raise ValueError(f"{count} pictures are no whole blocks of a batch of {self.blocks}")

    def of_part(self, part: float, fewest: int) -> SharedGenerator:
        """Return a generator for a part of each block, which goes on from where this one is.

        Of the numbers of its own, this one must then be set to where that one ends.

        Args:
            part: The part, above 0 and up to 1.
            fewest: See :func:`part_of`.
        """
        blocks = [part_of(block, part, fewest) for block in self.blocks]
        other = SharedGenerator(
            self.device, blocks, rank=self.rank, processes=self.processes, own_seed=0, seed=0
        )
        other.together = self.together  # the very same, so that no number comes twice
        other.set_state(self.get_state())
        return other


def part_of(size: int, part: float, fewest: int) -> int:
    """Return how many of so many pictures a part is, rounded.

    Args:
        size: How many pictures there are.
        part: The part, above 0 and up to 1.
        fewest: Least number of pictures, where there are so many.
    """
    return min(size, max(fewest, round(size * part)))


def rand(*shape: int, generator: Generator, pictures: int = 0) -> Tensor:
    """Return uniform numbers in [0, 1), as :func:`torch.rand`; on the generator's device.

    Args:
        shape: The shape.
        generator: Their source.
        pictures: Which dimension counts pictures.
    """
    return _draw(torch.rand, shape, generator, pictures)


def randn(*shape: int, generator: Generator, pictures: int = 0) -> Tensor:
    """Return normal numbers, as :func:`torch.randn`; see :func:`rand`."""
    return _draw(torch.randn, shape, generator, pictures)


def randint(high: int, *shape: int, generator: Generator, pictures: int = 0) -> Tensor:
    """Return int64 numbers from 0 to ``high - 1``, as :func:`torch.randint`; see :func:`rand`."""

    def below(size: Sequence[int], **options: Any) -> Tensor:
        return torch.randint(high, size, **options)

    return _draw(below, shape, generator, pictures)


def partners(count: int, generator: Generator) -> Tensor:
    """Return for each picture another one by a random permutation of the whole batch.

    Args:
        count: How many pictures this process has.
        generator: Source of the permutation.

    Returns:
        ``(count,)`` int64 rows of the whole batch, the batch of all processes together.
    """
    if not isinstance(generator, SharedGenerator):
        return torch.randperm(count, generator=generator, device=generator.device)
    total = count * generator.processes
    order = torch.randperm(total, generator=generator.together, device=generator.device)
    return order[generator.rows(count)]


def shared_seed(generator: Generator) -> int:
    """Return the seed that all processes share."""
    shared = generator.together if isinstance(generator, SharedGenerator) else generator
    return shared.initial_seed()


def _draw(
    draw: Callable[..., Tensor], shape: Sequence[int], generator: Generator, pictures: int
) -> Tensor:
    if not isinstance(generator, SharedGenerator):
        return draw(shape, generator=generator, device=generator.device)
    whole = list(shape)
    whole[pictures] *= generator.processes
    drawn = draw(whole, generator=generator.together, device=generator.device)
    return drawn.index_select(pictures, generator.rows(shape[pictures]))
