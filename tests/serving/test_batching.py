from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import pytest

from hybridface import images
from hybridface.errors import DataError, HybridFaceError
from hybridface.inference.photos import FaceReader, Photo
from hybridface.serving.batching import MOST_DECODERS, Batcher, Stock, Work

Encode = Callable[..., bytes]
POISON = 7


class Reader:
    """Reads after it may; fails on batches that hold a picture of one size."""

    batch_size = 4

    def __init__(self) -> None:
        self.may = threading.Event()
        self.batches: list[int] = []

    def read(self, pictures: Sequence[np.ndarray]) -> list[Photo]:
        self.may.wait(20)
        self.batches.append(len(pictures))
        if any(len(picture) == POISON for picture in pictures):
            raise HybridFaceError("out of memory")
        return [Photo("", size=(len(each), len(each)), pixels=each) for each in pictures]


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def batcher(reader: Reader) -> Any:
    made = Batcher(cast(FaceReader, reader), 10_000)
    yield made
    reader.may.set()
    made.close()


def test_what_waits_is_read_together_and_in_order(
    reader: Reader, batcher: Batcher, picture_bytes: Encode
) -> None:
    futures = [batcher.submit(picture_bytes(size=10 + number)) for number in range(9)]
    time.sleep(0.5)
    reader.may.set()
    assert [each.result(20).size[0] for each in futures] == list(range(10, 19))
    assert max(reader.batches) == 4 and len(reader.batches) <= 5
    assert all(each.result().pixels is None for each in futures)


def test_one_that_fails_does_not_fail_the_others(
    reader: Reader, batcher: Batcher, picture_bytes: Encode
) -> None:
    futures = [batcher.submit(picture_bytes(size=size)) for size in (20, POISON, 21, 22)]
    broken, large = batcher.submit(b"broken"), batcher.submit(picture_bytes(size=101))
    reader.may.set()
    assert [futures[each].result(20).size[0] for each in (0, 2, 3)] == [20, 21, 22]
    with pytest.raises(HybridFaceError, match="out of memory"):
        futures[1].result(20)
    for future, what in ((broken, "not a picture"), (large, "over 10000 pixels")):
        with pytest.raises(DataError, match=what):
            future.result(20)
    assert batcher.alive


def test_another_look_may_fail_too(batcher: Batcher, reader: Reader, picture_bytes: Encode) -> None:
    reader.may.set()
    assert batcher.submit(picture_bytes(size=9), len).result(20) == 9
    with pytest.raises(ZeroDivisionError):
        batcher.submit(picture_bytes(size=9), lambda picture: 1 / 0).result(20)
    assert batcher.submit(picture_bytes(size=9)).result(20).size == (9, 9)


def test_what_was_cancelled_is_not_read(
    reader: Reader, batcher: Batcher, picture_bytes: Encode
) -> None:
    first = batcher.submit(picture_bytes(size=9))
    time.sleep(0.3)
    others = [batcher.submit(picture_bytes(size=9)) for _ in range(5)]
    assert all(each.cancel() for each in others[:4])
    reader.may.set()
    assert first.result(20).size == others[4].result(20).size == (9, 9)
    assert sum(reader.batches) == 2


class Watched(bytes):
    """Bytes that tell when they are given up."""

    gone = 0

    def __del__(self) -> None:
        """Count it."""
        Watched.gone += 1


def test_what_was_cancelled_holds_no_bytes_while_the_others_wait(
    reader: Reader, batcher: Batcher, picture_bytes: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    may, decode = threading.Event(), images.decode

    def slow(content: bytes, **options: Any) -> np.ndarray:
        may.wait(20)
        return decode(content, **options)

    monkeypatch.setattr(images, "decode", slow)
    busy = [batcher.submit(picture_bytes(size=9)) for _ in range(MOST_DECODERS)]
    time.sleep(0.3)
    futures = [batcher.submit(Watched(picture_bytes(size=9))) for _ in range(8)]
    before = Watched.gone
    assert all(each.cancel() for each in futures)
    gone = Watched.gone - before
    may.set()
    reader.may.set()
    assert gone == len(futures)
    assert [each.result(20).size for each in busy] == [(9, 9)] * MOST_DECODERS
    assert batcher.submit(picture_bytes(size=9)).result(20).size == (9, 9)


def test_what_is_cancelled_while_it_is_decoded_harms_nobody(
    reader: Reader, batcher: Batcher, picture_bytes: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.may.set()
    cancelled, decode = threading.Event(), images.decode

    def late(content: bytes, **options: Any) -> np.ndarray:
        cancelled.wait(20)
        return decode(b"", **options)

    monkeypatch.setattr(images, "decode", late)
    given = [batcher.submit(picture_bytes(size=9)) for _ in range(MOST_DECODERS)]
    time.sleep(0.3)
    assert all(each.cancel() for each in given)
    cancelled.set()
    with pytest.raises(DataError):
        batcher.submit(picture_bytes(size=9)).result(20)
    assert batcher.alive


def test_what_was_handed_over_is_finished_at_the_end(picture_bytes: Encode) -> None:
    reader = Reader()
    batcher = Batcher(cast(FaceReader, reader), 10_000)
    futures = [batcher.submit(picture_bytes(size=9)) for _ in range(10)]
    reader.may.set()
    batcher.close()
    assert all(each.done() for each in futures)
    assert not batcher.alive


def test_decoded_pictures_are_bounded_by_their_pixels() -> None:
    stock = Stock(most_pixels=100)
    picture = np.zeros((10, 10, 3), np.uint8)
    stock.put(Work(b""), picture)
    second = threading.Thread(target=stock.put, args=(Work(b""), picture))
    second.start()
    second.join(0.3)
    assert second.is_alive()
    assert len(stock.take(5)) == 1
    second.join(20)
    assert len(stock.take(5)) == 1
    stock.end()
    assert stock.take(5) == []
