"""Pictures out of the bodies of requests, never on disk, and never more than the limits."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Receive

from hybridface.serving.limits import Limits, Place, RefusedError

MOST_FIELDS = 16
MOST_FIELD_BYTES = 4096
MOST_NAME = 200
NO_FILE = f"a part has over {MOST_FIELD_BYTES} bytes and no filename, so it is taken for no file"
EXPECTED = (
    "expected multipart/form-data with one or more files, or one picture as the body with a "
    "Content-Type such as image/jpeg"
)


@dataclass(frozen=True)
class Sent:
    """A picture as it was sent.

    Attributes:
        name: What its sender calls it; never written anywhere but into the answer.
        content: The bytes of the file.
    """

    name: str
    content: bytes


class FormParser(MultiPartParser):
    """A parser of forms that are in memory alone and must be whole."""

    spool_max_size = sys.maxsize  # photos of people stay off the disk
    ended = False

    def on_end(self) -> None:
        """Note the form's last boundary."""
        self.ended = True

    async def parse(self) -> FormData:
        """Return the parts.

        Raises:
            MultiPartException: It is no form, breaks off, or has too many or too large parts.
        """
        try:
            form = await super().parse()
        except FormParserError as error:  # older Starlettes let it through
            raise MultiPartException("Invalid multipart data.") from error
        if not self.ended:  # else a picture that was cut would be left out without a word
            await form.close()
            raise MultiPartException("The form breaks off before its last boundary.")
        return form


class Body:
    """The body of one request, read as it comes.

    Attributes:
        whole: Whether all of it was read.
    """

    def __init__(self, receive: Receive, headers: Headers, limits: Limits) -> None:
        self._receive, self.headers, self.limits = receive, headers, limits
        self.whole = False
        self._gone = False

    async def pictures(self, place: Place) -> list[Sent]:
        """Read the pictures.

        Args:
            place: What the request holds; takes the bytes as they come.

        Raises:
            RefusedError: There are too many bytes or pictures, none, or it is no such body.
            ConnectionResetError: The client went away.
        """
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            return await self._of_form(place)
        if kind.startswith("image/") or kind == "application/octet-stream":
            content = bytearray()
            async for block in self._blocks(place):
                content += block
            if not content:
                raise RefusedError(400, f"an empty body; {EXPECTED}")
            return [Sent("picture", bytes(content))]
        raise RefusedError(415, f"Content-Type is '{kind}'; {EXPECTED}")

    async def _of_form(self, place: Place) -> list[Sent]:
        parser = FormParser(
            self.headers,
            self._blocks(place),
            max_files=self.limits.pictures,
            max_fields=MOST_FIELDS,
            max_part_size=MOST_FIELD_BYTES,
        )
        try:
            form = await parser.parse()
        except MultiPartException as error:
            status = 413 if error.message.startswith("Too many") else 400
            no_file = error.message.startswith("Part exceeded")
            what = NO_FILE if no_file else error.message.rstrip(".")
            raise RefusedError(status, f"{what}; {EXPECTED}") from error
        except UnicodeError as error:
            raise RefusedError(400, f"the form's charset does not fit it; {EXPECTED}") from error
        files = [each for _, each in form.multi_items() if isinstance(each, UploadFile)]
        sent = [Sent(_clean(each.filename or "picture"), each.file.read()) for each in files]
        await form.close()
        if not sent:
            raise RefusedError(400, f"no file in the form; {EXPECTED}")
        return sent

    async def _blocks(self, place: Place) -> AsyncGenerator[bytes, None]:
        most = self.limits.request_bytes
        declared = self.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > most:
            raise self._too_large()
        count = 0
        while not self.whole:
            block = await self._next()
            count += len(block)
            if count > most:
                raise self._too_large()
            place.take(count=len(block))
            if block:
                yield block

    def _too_large(self) -> RefusedError:
        return RefusedError(
            413,
            f"the request is over {self.limits.request_bytes} bytes; send fewer or smaller "
            "pictures, or start the server with a larger --max-mb",
        )

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._gone = True
            raise ConnectionResetError("the client went away")
        self.whole = not message.get("more_body", False)
        block: bytes = message.get("body", b"")
        return block

    async def discard(self) -> None:
        """Read what is left and keep none of it, so that the client comes to read the answer.

        No more than two requests' bytes: whoever sends more finds the connection closed.
        """
        count = 0
        waits = self.headers.get("expect", "").lower() == "100-continue"
        while not (self.whole or self._gone or waits) and count < 2 * self.limits.request_bytes:
            try:
                count += len(await self._next())
            except ConnectionResetError:
                return

    async def gone(self) -> None:
        """Return when the client goes away; only after the body was read."""
        while not self._gone:
            message = await self._receive()
            self._gone = message["type"] == "http.disconnect"


def _clean(name: str) -> str:
    """Return the start of a name, and of it what any answer can hold: some charsets give halves."""
    return name[:MOST_NAME].encode("utf-8", "replace").decode()
