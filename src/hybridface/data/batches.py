"""Batches fetched by index array from memory-mapped pictures; the order comes from a seed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from hybridface.data.prepare import PreparedData
from hybridface.data.splits import Index


@dataclass
class Batch:
    """Pictures with their labels.

    Attributes:
        images: ``(B, 3, H, W)`` uint8 RGB, in ``channels_last`` order.
        labels: ``(B,)`` int64 class ids by label column, -1 where missing.
        soft: ``(B, K)`` float32 class probabilities by label column, where the data has votes.
    """

    images: Tensor
    labels: dict[str, Tensor]
    soft: dict[str, Tensor]

    def repeat(self, times: int) -> Batch:
        """Return the batch ``times`` over, one whole batch after the other."""
        if times == 1:
            return self
        return Batch(
            self.images.repeat(times, 1, 1, 1).contiguous(memory_format=torch.channels_last),
            {name: value.repeat(times) for name, value in self.labels.items()},
            {name: value.repeat(times, 1) for name, value in self.soft.items()},
        )


class PictureBatches(Dataset[Batch]):
    """A split of prepared data; an index array gives a whole batch."""

    def __init__(self, data: PreparedData, rows: Index) -> None:
        self.data = data
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Index) -> Batch:
        rows = self.rows[index]
        images = torch.from_numpy(np.asarray(self.data.images[rows])).permute(0, 3, 1, 2)
        labels = {n: torch.from_numpy(c.ids[rows]) for n, c in self.data.labels.items()}
        soft = {
            name: torch.from_numpy(column.soft[rows])
            for name, column in self.data.labels.items()
            if column.soft is not None
        }
        return Batch(images, labels, soft)


class BatchOrder(Sampler[Index]):
    """Index arrays of a split: shuffled by (seed, epoch), or in order.

    Every process gets its own part of each epoch; all parts have the same number of batches. In
    training a last batch that is not full is left out, unless it is the only one.
    """

    def __init__(
        self, count: int, size: int, *, seed: int | None, rank: int = 0, world: int = 1
    ) -> None:
        self.count, self.size, self.seed = count, size, seed
        self.rank, self.world = rank, world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration is for."""
        self.epoch = epoch

    def __len__(self) -> int:
        own = self.count // self.world
        full = own // self.size
        if self.seed is None:
            return math.ceil(self.count / self.size)
        return max(1, full)

    def __iter__(self) -> Iterator[Index]:
        if self.seed is None:
            order = np.arange(self.count)
        else:
            random = np.random.default_rng([self.seed, 4, self.epoch])
            order = random.permutation(self.count)[self.rank :: self.world]
        for number in range(len(self)):
            yield order[number * self.size : (number + 1) * self.size]


def make_loader(data: PreparedData, split: str, order: BatchOrder) -> DataLoader[Batch]:
    """Return a loader of whole batches of a split; it needs no workers, reads are mapped."""
    return DataLoader(
        PictureBatches(data, data.splits[split]), sampler=order, batch_size=None, num_workers=0
    )
