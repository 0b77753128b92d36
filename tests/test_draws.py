from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor

from hybridface import draws
from hybridface.augment import augment
from hybridface.draws import SharedGenerator
from hybridface.tasks.inpaint import random_holes

CPU = torch.device("cpu")
BLOCKS = st.lists(st.integers(1, 5), min_size=1, max_size=3)


def generators(blocks: list[int], processes: int) -> list[SharedGenerator]:
    return [
        SharedGenerator(CPU, blocks, rank=rank, processes=processes, own_seed=rank, seed=7)
        for rank in range(processes)
    ]


def alone() -> Generator:
    return Generator().manual_seed(7)


def whole_batch(parts: list[Tensor], blocks: list[int], dim: int = 0) -> Tensor:
    """Put the parts together block by block, as a whole batch is made of its blocks."""
    each = [part.split(blocks, dim) for part in parts]
    return torch.cat([piece for block in zip(*each, strict=True) for piece in block], dim)


@given(BLOCKS, st.integers(1, 4))
def test_several_draw_what_one_draws(blocks: list[int], processes: int) -> None:
    own, total = sum(blocks), sum(blocks) * processes
    every = generators(blocks, processes)
    one = alone()
    for draw, dim in (
        (lambda g, n: draws.rand(n, 3, generator=g), 0),
        (lambda g, n: draws.randn(2, n, generator=g, pictures=1), 1),
        (lambda g, n: draws.randint(9, n, generator=g), 0),
    ):
        parts = [draw(generator, own) for generator in every]
        assert torch.equal(whole_batch(parts, blocks, dim), draw(one, total))
    assert torch.equal(
        whole_batch([draws.partners(own, g) for g in every], blocks), draws.partners(total, one)
    )


@given(BLOCKS, st.integers(1, 4))
def test_every_row_of_the_whole_batch_is_of_one_process(blocks: list[int], processes: int) -> None:
    (generator, *_) = generators(blocks, processes)
    rows = torch.cat([generator.rows(sum(blocks), rank) for rank in range(processes)])
    assert sorted(rows.tolist()) == list(range(sum(blocks) * processes))


def test_the_first_blocks_are_the_batch_of_those_alone() -> None:
    for generator in generators([2, 3], 2):
        assert len(draws.rand(2, generator=generator)) == 2
    parts = [draws.rand(2, generator=generator) for generator in generators([2, 3], 2)]
    assert torch.equal(torch.cat(parts), draws.rand(4, generator=alone()))
    with pytest.raises(ValueError, match="no whole blocks"):
        draws.rand(4, generator=generator)


def test_augmentation_and_holes_are_those_of_the_whole_batch() -> None:
    images = torch.randint(256, (8, 3, 24, 24), generator=alone(), dtype=torch.uint8)
    expected = augment(images, "strong", one := alone())
    holes = random_holes(8, 24, 2, (0.2, 0.5), one)
    every = generators([4], 2)
    parts = [augment(images[4 * g.rank : 4 * g.rank + 4], "strong", g) for g in every]
    torch.testing.assert_close(torch.cat(parts), expected)
    parts = [random_holes(4, 24, 2, (0.2, 0.5), g) for g in every]
    assert torch.equal(torch.cat(parts), holes)


def test_what_is_drawn_directly_is_each_ones_own() -> None:
    first, second = generators([4], 2)
    assert not torch.equal(torch.rand(4, generator=first), torch.rand(4, generator=second))
    assert draws.shared_seed(first) == draws.shared_seed(second) == draws.shared_seed(alone())
