"""Processes that decode pictures beside the one that uses them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeVar

from torch.utils.data import DataLoader, Dataset

from hybridface.errors import DataError, HybridFaceError

# A forked worker shares what the process holds, memory-mapped pictures included.
START_METHOD = "fork" if sys.platform == "linux" else "spawn"

Item = TypeVar("Item")
Made_co = TypeVar("Made_co", covariant=True)


class Items(Protocol[Made_co]):
    """What makes an item of an index."""

    def __getitem__(self, index: Any, /) -> Made_co:
        """Return the item."""


class _Guarded(Dataset["Item | DataError"]):
    """Returns an error as an item: torch would send its text with a traceback in it."""

    def __init__(self, items: Items[Item]) -> None:
        self.items = items

    def __getitem__(self, index: Any) -> Item | DataError:
        try:
            return self.items[index]
        except HybridFaceError as error:
            return DataError(str(error))


class WorkerLoader(DataLoader[Item]):
    """Loads items in worker processes, in the order asked for; without workers in this one.

    Args:
        items: What makes an item of an index, such as a whole batch of row numbers.
        order: The indices. It is asked for them when the first item is, so that it may be told
            the epoch until then.
        workers: How many processes.
        pin: Put the tensors of items where a GPU can fetch them by itself.
    """

    def __init__(
        self, items: Items[Item], order: Iterable[Any], workers: int, *, pin: bool = False
    ) -> None:
        super().__init__(
            _Guarded(items),  # type: ignore[arg-type]
            sampler=order,
            batch_size=None,
            num_workers=workers,
            collate_fn=_unchanged,
            worker_init_fn=_leave_signals,
            pin_memory=pin and workers > 0,
            persistent_workers=workers > 0,
            multiprocessing_context=START_METHOD if workers else None,
        )

    def __iter__(self) -> Iterator[Item]:  # type: ignore[override]
        """Load the items.

        Raises:
            DataError: One of them cannot be made.
        """
        for item in super().__iter__():
            if isinstance(item, DataError):
                self._iterator = None  # the workers end now, not when the error is forgotten
                raise item
            yield item


def _leave_signals(_: int) -> None:
    """Ignore what is sent to the whole job: the process that loads decides what becomes of it.

    Otherwise a worker would end before that one has saved. Workers end with it in any case.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _unchanged(item: Item) -> Item:
    return item
