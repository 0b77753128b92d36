"""The web application: its routes, its errors and its pages. No torch here."""

from __future__ import annotations

import asyncio
import secrets
import sys
import traceback
from collections.abc import AsyncIterator, Callable
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
from starlette.types import ASGIApp

import hybridface
from hybridface.errors import DataError, HybridFaceError
from hybridface.inference.dealing import Dealer, InpaintDealer, PuzzleDealer
from hybridface.inference.output.jsonl import content_of
from hybridface.inference.photos import Photo
from hybridface.serving.answers import BODY, REFUSALS, Dealt, Prediction, Refusal, about
from hybridface.serving.headers import Around
from hybridface.serving.limits import RefusedError
from hybridface.serving.service import Service
from hybridface.serving.showing import MOST_SEED, deal
from hybridface.serving.uploads import Sent

WEB = Path(__file__).parent / "web"
Answers = dict[int | str, dict[str, Any]]
GONE = 499  # nobody reads this answer; it is only counted
BEARER = HTTPBearer(auto_error=False, description="The key that the server was started with")


def make_app(service: Service) -> ASGIApp:
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
        redirect_slashes=False,  # behind a proxy they would lead past it
        lifespan=lifespan,
    )
    _add_errors(app)
    Api(service).add_to(app)
    _add_pages(app)
    return Around(app, service.metrics, service.crowded)


class Api:
    """The interface for programs.

    Args:
        service: What answers.
    """

    def __init__(self, service: Service) -> None:
        self.service = service

    def add_to(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        unread: Answers = {
            422: {"model": Prediction, "description": "None of the pictures could be read"}
        }
        undealt: Answers = {
            404: {"model": Refusal, "description": "No self-supervised heads are served"},
            422: {"model": Refusal, "description": "The picture could not be read"},
        }
        locked: dict[str, Any] = {"dependencies": [Depends(self.authorised)]}
        app.post(
            "/v1/predict", openapi_extra=BODY, **locked,
            responses={200: {"model": Prediction}, **REFUSALS, **unread},
        )(self.predict)  # fmt: skip
        app.post(
            "/v1/self-supervised", openapi_extra=BODY, **locked,
            responses={200: {"model": Dealt}, **REFUSALS, **undealt},
        )(self.self_supervised)  # fmt: skip
        app.get("/v1/model", **locked, responses={401: REFUSALS[401]})(self.model)
        app.get("/healthz")(self.healthz)
        app.get("/metrics", **locked, responses={401: REFUSALS[401]})(self.metrics)

    async def authorised(
        self, given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]
    ) -> None:
        """Refuse a request without the key."""
        self.service.authorise(given.credentials if given else None)

    async def predict(self, request: Request) -> Response:
        """Find the faces of one or more pictures and read each with the model.

        A picture that cannot be read has an ``error``; the status is 200 where at least one could.
        """
        sent, results = await self.service.read(request)
        pictures = [_picture(each, result) for each, result in zip(sent, results, strict=True)]
        read = any("error" not in each for each in pictures)
        return JSONResponse({"pictures": pictures}, 200 if read else 422)

    async def self_supervised(
        self,
        request: Request,
        face: Annotated[int, Query(ge=0, description="Which face, 0 for the surest")] = 0,
        seed: Annotated[
            int | None, Query(ge=0, le=MOST_SEED, description="What is dealt; default random")
        ] = None,
    ) -> Response:
        """Deal one face of one picture to the self-supervised heads and see what they answer."""
        service = self.service
        if not service.dealers:
            raise RefusedError(404, "no model with self-supervised heads is served")
        drawn = secrets.randbelow(MOST_SEED) if seed is None else seed
        look = partial(deal, service.dealers, service.reader.detector, face=face, seed=drawn)
        (sent,), (result,) = await service.read(request, look)
        if isinstance(result, DataError):
            return JSONResponse({"error": _said(result)}, 422)
        return JSONResponse({"image": sent.name, "seed": drawn, **result})

    async def model(self) -> Response:
        """Return the tasks of the model, what it says of itself, and the limits of the server."""
        heads = [_head(each) for each in self.service.dealers]
        return JSONResponse(about(self.service.reader.model, heads, self.service.limits))

    async def healthz(self) -> Response:
        """Return 200 while the server can answer."""
        alive = self.service.batcher.alive
        return JSONResponse({"status": "ok" if alive else "failed"}, 200 if alive else 503)

    async def metrics(self) -> Response:
        """Return the counters for Prometheus."""
        content, kind = self.service.metrics.text()
        return Response(content, media_type=kind)


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
        # Neither the picture nor its name: only what broke, and where.
        where = traceback.extract_tb(error.__traceback__)[-1:]
        at = "".join(f" ({Path(each.filename).name}:{each.lineno})" for each in where)
        print(f"hybridface: {type(error).__name__}: {error}{at}", file=sys.stderr, flush=True)
        return JSONResponse({"error": "the server failed; its log says how"}, 500)

    app.add_exception_handler(RefusedError, refused)
    app.add_exception_handler(ConnectionResetError, gone)
    app.add_exception_handler(HTTPException, unknown)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HybridFaceError, failed)
    app.add_exception_handler(Exception, failed)


def _add_pages(app: FastAPI) -> None:
    def page(name: str) -> Callable[[], Any]:
        async def get() -> Response:
            return FileResponse(WEB / name, headers={"Cache-Control": "no-cache"})

        return get

    app.get("/", include_in_schema=False)(page("index.html"))
    app.get("/docs", include_in_schema=False)(page("api.html"))
    app.mount("/web", StaticFiles(directory=WEB))
