"""How much one server takes, and the refusals of what is more."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from hybridface.errors import UsageError


@dataclass(frozen=True)
class Limits:
    """What is taken at most.

    Attributes:
        request_bytes: Bytes of one request.
        pixels: Pixels of one picture; larger ones are refused before they are decoded.
        pictures: Pictures of one request.
        faces: Faces of one picture that are read, the surest.
        seconds: From the first byte of a request until its answer.
        waiting: Pictures that wait or are being read, of all requests together.
        held_bytes: Bytes of all requests that are held at once.
    """

    request_bytes: int = 20_000_000
    pixels: int = 40_000_000
    pictures: int = 16
    faces: int = 64
    seconds: float = 30.0
    waiting: int = 128
    held_bytes: int = 256_000_000

    def __post_init__(self) -> None:
        """Refuse what would refuse everything.

        Raises:
            UsageError: A limit is not above 0 or endless, or smaller than one that must fit into
                it.
        """
        for each in fields(self):
            if not 0 < getattr(self, each.name) < math.inf:
                raise UsageError(f"limit {each.name}: expected more than 0, and no endless number")
        if self.held_bytes < self.request_bytes:
            raise UsageError(
                f"limits: {self.held_bytes} bytes of all requests together are fewer than the "
                f"{self.request_bytes} of one; raise --max-held-mb or lower --max-mb"
            )
        if self.waiting < self.pictures:
            raise UsageError(
                f"limits: {self.waiting} pictures of all requests together are fewer than the "
                f"{self.pictures} of one; raise --max-waiting or lower --max-pictures"
            )


class RefusedError(Exception):
    """A request that is not done, with the HTTP status and a sentence for the person.

    Attributes:
        status: The HTTP status.
        again_after: Seconds after which it may be tried again; None where that would not help.
    """

    def __init__(self, status: int, message: str, again_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.again_after = status, again_after


class Place:
    """One request's share of what the server holds; a context that gives it back."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._pictures = self._bytes = 0

    def __enter__(self) -> Place:
        self.take(pictures=1)
        return self

    def __exit__(self, *error: object) -> None:
        """Give everything back."""
        self._gate.pictures -= self._pictures
        self._gate.bytes -= self._bytes

    def take(self, pictures: int = 0, count: int = 0) -> None:
        """Take more of the room.

        Args:
            pictures: How many more pictures.
            count: How many more bytes.

        Raises:
            RefusedError: 429, there is no room now.
        """
        gate = self._gate
        full = gate.pictures + pictures > gate.limits.waiting
        if full or gate.bytes + count > gate.limits.held_bytes:
            what = f"{gate.pictures} pictures" if full else f"{gate.bytes} bytes of pictures"
            raise RefusedError(429, f"overloaded: {what} are waiting; try again", again_after=1)
        gate.pictures += pictures
        gate.bytes += count
        self._pictures += pictures
        self._bytes += count


class Gate:
    """Counts what all requests hold together; only for the event loop's thread.

    Attributes:
        pictures: Pictures that wait or are being read.
        bytes: Bytes that are held.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.pictures = self.bytes = 0

    def place(self) -> Place:
        """Return a place for one request, for one picture at first.

        On entering it:

        Raises:
            RefusedError: 429, there is no room now.
        """
        return Place(self)
