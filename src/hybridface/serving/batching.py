"""Pictures of many requests read together: decoded by some threads, run through the model by one.

No picture waits for others to come: whatever has been decoded when the model is free, up to a
batch, is read at once. So a lone request is answered as fast as it can be, and batches grow with
the load.
"""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from hybridface import images
from hybridface.inference.detection.base import Picture
from hybridface.inference.photos import MOST_HELD, FaceReader

MOST_DECODERS = 4
Look = Callable[[Picture], Any]


@dataclass
class Work:
    """One picture to be read.

    Attributes:
        content: The bytes of its file; given up once decoded, or once nobody waits any longer.
        look: What is to be done with it in place of reading its faces.
        future: What comes of it; see :meth:`Batcher.submit`.
    """

    content: bytes = field(repr=False)
    look: Look | None = None
    future: Future[Any] = field(default_factory=Future)

    def finish(self, result: Any) -> None:
        """Hand over a result or an error, unless nobody waits any longer."""
        try:
            if isinstance(result, BaseException):
                self.future.set_exception(result)
            else:
                self.future.set_result(result)
        except InvalidStateError:  # cancelled in between
            pass


class Stock:
    """Decoded pictures that wait for the model, bounded by their pixels."""

    def __init__(self, most_pixels: int = MOST_HELD) -> None:
        self._most = most_pixels
        self._waiting: deque[tuple[Work, Picture]] = deque()
        self._pixels = 0
        self._changed = threading.Condition()
        self._ended = False

    def put(self, work: Work, picture: Picture) -> None:
        """Add a picture; waits while the others have too many pixels."""
        with self._changed:
            self._changed.wait_for(lambda: self._pixels < self._most)
            self._waiting.append((work, picture))
            self._pixels += picture.size // 3
            self._changed.notify_all()

    def take(self, most: int) -> list[tuple[Work, Picture]]:
        """Wait for a picture and return all there are, at most so many; none after the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended)
            taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
            self._pixels -= sum(picture.size // 3 for _, picture in taken)
            self._changed.notify_all()
            return taken

    def end(self) -> None:
        """Let :meth:`take` return what is left, and then nothing."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class Batcher:
    """Reads the pictures that any thread hands it.

    Args:
        reader: What reads them, ``reader.batch_size`` at once.
        most_pixels: Larger pictures are refused.
        noted: Called with the number of pictures and faces of each batch.
    """

    def __init__(
        self,
        reader: FaceReader,
        most_pixels: int,
        noted: Callable[[int, int], None] = lambda pictures, faces: None,
    ) -> None:
        self.reader, self._most_pixels, self._noted = reader, most_pixels, noted
        self._arrived: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._stock = Stock()
        count = min(os.cpu_count() or 1, MOST_DECODERS)
        self._decoders = [
            threading.Thread(target=self._decode, name=f"decoder-{number}", daemon=True)
            for number in range(count)
        ]
        self._model = threading.Thread(target=self._read, name="model", daemon=True)
        for thread in (*self._decoders, self._model):
            thread.start()

    @property
    def alive(self) -> bool:
        """Whether every thread is there to work."""
        return all(thread.is_alive() for thread in (*self._decoders, self._model))

    def submit(self, content: bytes, look: Look | None = None) -> Future[Any]:
        """Hand over a picture.

        Args:
            content: The bytes of its file.
            look: What to do with the decoded picture in the model's thread; None to read its
                faces.

        Returns:
            A future of a :class:`~hybridface.inference.photos.Photo` without its pixels, or of what
            ``look`` returns. It raises DataError where the bytes are no picture. A cancelled one is
            not worked on.
        """
        work = Work(content, look)
        work.future.add_done_callback(partial(_forget, weakref.ref(work)))
        self._arrived.put(work)
        return work.future

    def close(self) -> None:
        """Finish what was handed over and end the threads."""
        for _ in self._decoders:
            self._arrived.put(None)
        for thread in self._decoders:
            thread.join()
        self._stock.end()
        self._model.join()

    def _decode(self) -> None:
        while (work := self._arrived.get()) is not None:
            if work.future.cancelled():
                continue
            try:
                picture = images.decode(work.content, most_pixels=self._most_pixels)
            except Exception as error:  # a thread that dies would leave requests without an answer
                work.finish(error)
                continue
            work.content = b""
            self._stock.put(work, picture)

    def _read(self) -> None:
        while taken := self._stock.take(self.reader.batch_size):
            wanted = [each for each in taken if not each[0].future.cancelled()]
            self._read_together([each for each in wanted if each[0].look is None])
            for work, picture in wanted:
                if work.look is not None:
                    work.finish(_attempt(work.look, picture))
            taken = wanted = []

    def _read_together(self, batch: Sequence[tuple[Work, Picture]]) -> None:
        if not batch:
            return
        photos = _attempt(self.reader.read, [picture for _, picture in batch])
        if isinstance(photos, BaseException):
            if len(batch) > 1:  # one of them may be the reason
                for each in batch:
                    self._read_together([each])
                return
            batch[0][0].finish(photos)
            return
        self._noted(len(batch), sum(len(photo.faces) for photo in photos))
        for (work, _), photo in zip(batch, photos, strict=True):
            work.finish(replace(photo, pixels=None))


def _forget(held: weakref.ref[Work], future: Future[Any]) -> None:
    """Give up the bytes of what is done: a cancelled one may be in the queue for long."""
    if (work := held()) is not None:
        work.content = b""


def _attempt(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns, or the error that it raises."""
    try:
        return function(*arguments)
    except Exception as error:  # a thread that dies would leave requests without an answer
        return error
