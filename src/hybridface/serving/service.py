"""How one request is answered: its place, its body, its pictures, its time. No torch here."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from starlette.requests import Request

from hybridface.errors import DataError
from hybridface.inference.dealing import Dealer
from hybridface.inference.photos import FaceReader
from hybridface.serving.batching import Batcher, Look
from hybridface.serving.limits import Gate, Limits, RefusedError
from hybridface.serving.metrics import Metrics
from hybridface.serving.uploads import Body, Sent

DISCARD_SECONDS = 5.0


class Service:
    """What answers requests.

    Args:
        reader: Reads the faces.
        dealers: Self-supervised heads to show at work; none where no model has any.
        limits: What is taken at most.
        key: The key that requests must bring; None where anyone may ask.

    Attributes:
        crowded: Says whether too many connections are open to answer any; set by the server.
    """

    def __init__(
        self,
        reader: FaceReader,
        dealers: Sequence[Dealer] = (),
        limits: Limits = Limits(),  # noqa: B008
        key: str | None = None,
    ) -> None:
        self.reader, self.dealers, self.limits, self.key = reader, dealers, limits, key
        self.gate = Gate(limits)
        self.crowded: Callable[[], bool] = lambda: False
        self.metrics = Metrics(lambda: self.gate.pictures)
        self.batcher = Batcher(reader, limits.pixels, self.metrics.note_batch)

    def authorise(self, given: str | None) -> None:
        """Hold a key against the server's.

        Raises:
            RefusedError: 401, it is missing or another.
        """
        if self.key is None:
            return
        if given is None or not hmac.compare_digest(given.encode(), self.key.encode()):
            wrong = "wrong" if given else "missing"
            raise RefusedError(401, f"the API key is {wrong}; send Authorization: Bearer KEY")

    async def read(
        self, request: Request, look: Look | None = None
    ) -> tuple[list[Sent], list[Any]]:
        """Read the pictures of a request.

        Args:
            request: The request.
            look: As in :meth:`~hybridface.serving.batching.Batcher.submit`; then it must hold one
                picture.

        Returns:
            The pictures, and for each what came of it or a DataError.

        Raises:
            RefusedError: It is not done, by one of the limits.
            ConnectionResetError: The client went away.
        """
        body = Body(request.receive, request.headers, self.limits)
        try:
            async with asyncio.timeout(self.limits.seconds):
                with self.gate.place() as place:
                    sent = await body.pictures(place)
                    if look is not None and len(sent) > 1:
                        raise RefusedError(413, f"{len(sent)} pictures, expected one")
                    place.take(pictures=len(sent) - 1)
                    submitted = [self.batcher.submit(each.content, look) for each in sent]
                    return sent, await _unless_gone(body, submitted)
        except TimeoutError as error:
            waited = f"{self.limits.seconds:g} seconds"
            if body.whole:
                raise RefusedError(503, f"no answer within {waited}; try again", 5) from error
            raise RefusedError(408, f"the request was not whole after {waited}") from error
        except RefusedError:
            try:
                async with asyncio.timeout(min(DISCARD_SECONDS, self.limits.seconds)):
                    await body.discard()
            except TimeoutError:
                pass
            raise


async def _unless_gone(body: Body, submitted: Sequence[Future[Any]]) -> list[Any]:
    """Wait for results; drop the work where the client goes away or the wait is broken off."""
    waited = asyncio.gather(*map(asyncio.wrap_future, submitted), return_exceptions=True)
    # asyncio would write of one that is cancelled, and that nobody looks at.
    waited.add_done_callback(lambda done: done.cancelled() or done.exception())
    gone = asyncio.ensure_future(body.gone())
    try:
        await asyncio.wait((waited, gone), return_when=asyncio.FIRST_COMPLETED)
        if not waited.done():
            raise ConnectionResetError("the client went away")
        results = waited.result()
    finally:
        waited.cancel()
        gone.cancel()
    for each in results:
        if isinstance(each, BaseException) and not isinstance(each, DataError):
            raise each
    return results
