"""Batches of pictures fetched by index array; the order comes from a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from hybridface.data.orders import BatchOrder, MixedOrder
from hybridface.data.prepare import PreparedData
from hybridface.data.source import MISSING
from hybridface.data.splits import Index
from hybridface.data.workers import WorkerLoader


@dataclass
class Batch:
    """Pictures with their labels.

    Attributes:
        images: ``(B, 3, H, W)`` uint8 RGB, in ``channels_last`` order.
        labels: ``(B,)`` int64 class ids by label column, -1 where missing.
        soft: ``(B, K)`` float32 class probabilities by label column, where the data has votes.
        labelled: How many of the pictures come from the labelled data set; they stand first, and
            only they are shown to the supervised heads. All where null.
        numeric: ``(B, K)`` float32 numbers by label column, NaN where missing.
    """

    images: Tensor
    labels: dict[str, Tensor]
    soft: dict[str, Tensor]
    labelled: int | None = None
    numeric: dict[str, Tensor] = field(default_factory=dict)

    @property
    def labelled_count(self) -> int:
        """How many pictures come from the labelled data set."""
        return len(self.images) if self.labelled is None else self.labelled

    def repeat(self, times: int) -> Batch:
        """Return the batch ``times`` over, one whole batch after the other.

        Raises:
            ValueError: The batch holds pictures without labels.
        """
        if times == 1:
            return self
        if self.labelled is not None:
            raise ValueError("a batch with unlabelled pictures cannot be repeated")
        return Batch(
            self.images.repeat(times, 1, 1, 1).contiguous(memory_format=torch.channels_last),
            {name: value.repeat(times) for name, value in self.labels.items()},
            {name: value.repeat(times, 1) for name, value in self.soft.items()},
            numeric={name: value.repeat(times, 1) for name, value in self.numeric.items()},
        )

    def pin_memory(self) -> Batch:
        """Return the batch where a GPU can fetch it by itself; called by torch's loaders."""
        return Batch(
            self.images.pin_memory(),
            {name: value.pin_memory() for name, value in self.labels.items()},
            {name: value.pin_memory() for name, value in self.soft.items()},
            self.labelled,
            {name: value.pin_memory() for name, value in self.numeric.items()},
        )

    def rows(self, rows: Tensor | slice) -> Batch:
        """Return some of the pictures, as a batch of labelled ones."""
        return Batch(
            self.images[rows],
            {name: value[rows] for name, value in self.labels.items()},
            {name: value[rows] for name, value in self.soft.items()},
            numeric={name: value[rows] for name, value in self.numeric.items()},
        )


class PictureBatches(Dataset[Batch]):
    """A split of prepared data; an index array gives a whole batch.

    A pair of index arrays gives a batch with pictures of ``data.unlabelled`` after the labelled
    ones.
    """

    def __init__(self, data: PreparedData, rows: Index) -> None:
        self.data = data
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Index | tuple[Index, Index]) -> Batch:
        if isinstance(index, tuple):
            return self._mixed(*index)
        rows = self.rows[index]
        labels = {n: torch.from_numpy(c.ids[rows]) for n, c in self.data.labels.items()}
        soft = {
            name: torch.from_numpy(column.soft[rows])
            for name, column in self.data.labels.items()
            if column.soft is not None
        }
        numeric = {n: torch.from_numpy(c.values[rows]) for n, c in self.data.numeric.items()}
        return Batch(_images(np.asarray(self.data.images[rows])), labels, soft, numeric=numeric)

    def _mixed(self, index: Index, others: Index) -> Batch:
        batch = self[index]
        assert self.data.unlabelled is not None
        images = _images(self.data.unlabelled.read(others))
        missing = torch.full((len(others),), MISSING)
        return Batch(
            torch.cat([batch.images, images]).contiguous(memory_format=torch.channels_last),
            {name: torch.cat([value, missing]) for name, value in batch.labels.items()},
            {
                name: torch.cat([value, value.new_zeros(len(others), value.shape[1])])
                for name, value in batch.soft.items()
            },
            labelled=len(index),
            numeric={
                name: torch.cat([value, value.new_full((len(others), value.shape[1]), math.nan)])
                for name, value in batch.numeric.items()
            },
        )


def _images(pictures: NDArray[np.uint8]) -> Tensor:
    """Return pictures ``(B, H, W, 3)`` as a ``channels_last`` tensor ``(B, 3, H, W)``."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)


def make_loader(
    data: PreparedData, split: str, order: BatchOrder | MixedOrder, *, pin: bool = False
) -> WorkerLoader[Batch]:
    """Return a loader of whole batches of a split; ``pin`` those that workers make, for a GPU."""
    batches = PictureBatches(data, data.splits[split])
    return WorkerLoader(batches, order, data.workers, pin=pin)
