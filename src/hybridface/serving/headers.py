"""Around every answer: headers that keep the page to itself, and the count of requests."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hybridface.serving.metrics import Metrics

# Nothing from elsewhere, nothing inline; pictures also as they are chosen and as they are answered.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
CROWDED = JSONResponse(
    {"error": "overloaded: too many connections are open; try again"}, 503,
    {"Retry-After": "5", "Connection": "close"},
)  # fmt: skip
PATHS = ("/", "/v1/predict", "/v1/self-supervised", "/v1/model", "/healthz", "/metrics")


class Around:
    """Adds :data:`HEADERS` to each answer and counts it; answers HEAD as GET.

    Args:
        app: What answers.
        metrics: Counts.
        crowded: Says whether too many connections are open; then nothing is answered but that.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, crowded: Callable[[], bool]) -> None:
        self.app, self.metrics, self.crowded = app, metrics, crowded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; other messages pass as they are."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status, whole = time.perf_counter(), 500, False

        async def sending(message: Message) -> None:
            nonlocal status, whole
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=message["headers"])
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
                message["headers"] = headers.raw
            await send(message)
            body = message["type"] == "http.response.body"
            whole = whole or (body and not message.get("more_body", False))

        if scope["method"] == "HEAD":  # uvicorn leaves the content out
            scope = {**scope, "method": "GET"}
        try:
            await (CROWDED if self.crowded() else self.app)(scope, receive, sending)
        except Exception:
            # Starlette raises again what was answered and logged, and a server would log it twice.
            if not whole:
                raise
        finally:
            path = scope["path"] if scope["path"] in PATHS else "other"
            self.metrics.note_request(path, status, time.perf_counter() - start)
