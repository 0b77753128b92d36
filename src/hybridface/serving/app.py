"""The web application: routes, the key, and how one request is answered. No torch here."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

import hybridface
from hybridface.errors import DataError
from hybridface.inference.dealing import Dealer, InpaintDealer, PuzzleDealer
from hybridface.inference.output.jsonl import content_of
from hybridface.inference.photos import FaceReader, Photo
from hybridface.serving.answers import Dealt, Prediction, Refusal, about
from hybridface.serving.batching import Batcher, Look
from hybridface.serving.headers import Around
from hybridface.serving.limits import Gate, Limits, RefusedError
from hybridface.serving.metrics import Metrics
from hybridface.serving.showing import MOST_SEED, deal
from hybridface.serving.uploads import Body, Sent

WEB = Path(__file__).parent / "web"
GONE = 499  # nobody reads this answer; it is only counted
DISCARD_SECONDS = 5.0
BEARER = HTTPBearer(auto_error=False, description="The key that the server was started with")
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "pictures": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            },
            "image/*": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "No picture in the request, or no such form"},
    401: {"model": Refusal, "description": "The key is missing or wrong"},
    408: {"model": Refusal, "description": "The request came too slowly"},
    413: {"model": Refusal, "description": "Too many bytes or pictures"},
    415: {"model": Refusal, "description": "Neither a form nor a picture"},
    429: {"model": Refusal, "description": "Overloaded; Retry-After says when to try again"},
    503: {"model": Refusal, "description": "The answer took too long"},
}


class Service:
    """What answers requests.

    Args:
        reader: Reads the faces.
        dealers: Self-supervised heads to show at work; none where no model has any.
        limits: What is taken at most.
        key: The key that requests must bring; None where anyone may ask.
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


def make_app(service: Service) -> FastAPI:
    """Return the application; its end closes the service's threads."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.batcher.close)

    app = FastAPI(
        title="hybridface",
        version=hybridface.__version__,
        description="Faces in pictures and what a model sees in them.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(Around, metrics=service.metrics)
    _add_errors(app)
    _add_api(app, service)
    _add_pages(app)
    return app


def _add_errors(app: FastAPI) -> None:
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, RefusedError)
        headers = {} if error.again_after is None else {"Retry-After": str(error.again_after)}
        if error.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse({"error": str(error)}, error.status, headers)

    async def gone(request: Request, error: Exception) -> Response:
        return Response(status_code=GONE)

    async def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        what = "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
        return JSONResponse({"error": what}, 400)

    async def failed(request: Request, error: Exception) -> Response:
        # Neither the picture nor its name: only what broke.
        print(f"hybridface: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return JSONResponse({"error": "the server failed; its log says how"}, 500)

    app.add_exception_handler(RefusedError, refused)
    app.add_exception_handler(ConnectionResetError, gone)
    app.add_exception_handler(HTTPException, unknown)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, failed)


def _add_api(app: FastAPI, service: Service) -> None:
    async def authorised(
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    ) -> None:
        service.authorise(given.credentials if given else None)

    async def predict(request: Request) -> Response:
        """Find the faces of one or more pictures and read each with the model.

        A picture that cannot be read has an ``error``; the status is 200 where at least one could.
        """
        sent, results = await service.read(request)
        pictures = [_picture(each, result) for each, result in zip(sent, results, strict=True)]
        read = any("error" not in each for each in pictures)
        return JSONResponse({"pictures": pictures}, 200 if read else 422)

    async def self_supervised(
        request: Request,
        face: Annotated[int, Query(ge=0, description="Which face, 0 for the surest")] = 0,
        seed: Annotated[
            int | None, Query(ge=0, le=MOST_SEED, description="What is dealt; default random")
        ] = None,
    ) -> Response:
        """Deal one face of one picture to the self-supervised heads and see what they answer."""
        if not service.dealers:
            raise RefusedError(404, "no model with self-supervised heads is served")
        drawn = secrets.randbelow(MOST_SEED) if seed is None else seed
        look = partial(deal, service.dealers, service.reader.detector, face=face, seed=drawn)
        (sent,), (result,) = await service.read(request, look)
        if isinstance(result, DataError):
            return JSONResponse({"error": _said(result)}, 422)
        return JSONResponse({"image": sent.name, "seed": drawn, **result})

    async def model() -> Response:
        """Return the tasks of the model, what it says of itself, and the limits of the server."""
        heads = [_head(each) for each in service.dealers]
        return JSONResponse(about(service.reader.model, heads, service.limits))

    async def healthz() -> Response:
        """Return 200 while the server can answer."""
        alive = service.batcher.alive
        return JSONResponse({"status": "ok" if alive else "failed"}, 200 if alive else 503)

    async def metrics() -> Response:
        """Return the counters for Prometheus."""
        content, kind = service.metrics.text()
        return Response(content, media_type=kind)

    unread = {422: {"model": Prediction, "description": "None of the pictures could be read"}}
    locked: dict[str, Any] = {"dependencies": [Depends(authorised)]}
    app.post(
        "/v1/predict", openapi_extra=BODY, **locked,
        responses={200: {"model": Prediction}, **unread, **REFUSALS},
    )(predict)  # fmt: skip
    app.post(
        "/v1/self-supervised", openapi_extra=BODY, **locked,
        responses={
            200: {"model": Dealt}, 404: {"model": Refusal}, 422: {"model": Refusal}, **REFUSALS
        },
    )(self_supervised)  # fmt: skip
    app.get("/v1/model", **locked, responses={401: REFUSALS[401]})(model)
    app.get("/healthz")(healthz)
    app.get("/metrics", **locked)(metrics)


def _picture(sent: Sent, result: Photo | DataError) -> dict[str, Any]:
    if isinstance(result, DataError):
        return {"image": sent.name, "faces": [], "error": _said(result)}
    return content_of(result) | {"image": sent.name}


def _said(error: DataError) -> str:
    return str(error).removeprefix("picture: ")


def _head(dealer: Dealer) -> dict[str, Any]:
    said: dict[str, Any] = {"name": dealer.name, "kind": dealer.kind}
    if isinstance(dealer, PuzzleDealer):
        said["grid"] = dealer.grid
    if isinstance(dealer, InpaintDealer):
        said["holes"] = dealer.holes
    return said


def _add_pages(app: FastAPI) -> None:
    def page(name: str) -> Callable[[], Any]:
        async def get() -> Response:
            return FileResponse(WEB / name, headers={"Cache-Control": "no-cache"})

        return get

    app.get("/", include_in_schema=False)(page("index.html"))
    app.get("/docs", include_in_schema=False)(page("api.html"))
    app.mount("/web", StaticFiles(directory=WEB))
