"""The command line's ``serve``: models loaded, a socket opened, and a clean end. No torch here."""

from __future__ import annotations

import logging
import math
import signal
import socket
import sys
from pathlib import Path
from types import FrameType

import uvicorn

from hybridface.errors import HybridFaceError, UsageError
from hybridface.inference import shipped
from hybridface.inference.dealing import Dealer, dealers_of
from hybridface.inference.detection import DEFAULT, open_detector
from hybridface.inference.photos import FaceReader
from hybridface.inference.runtime import FaceModel, load
from hybridface.serving.app import make_app
from hybridface.serving.connections import Connection
from hybridface.serving.limits import Limits
from hybridface.serving.service import Service

LOOPBACK = ("127.0.0.1", "::1", "localhost")
BACKLOG = 1024
MOST_CONNECTIONS = 1024
IDLE_SECONDS = 15


def run_serve(
    model: str | Path | None = None,
    ssl_model: str | Path | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    key: str | None = None,
    limits: Limits = Limits(),  # noqa: B008
    detect: bool = True,
    detector: str = DEFAULT,
    threshold: float | None = None,
    longest: int | None = None,
    batch_size: int = 16,
    threads: int | None = None,
) -> int:
    """Serve a model until the process is told to end.

    Args:
        model: An ONNX file, a run folder or the name of a model that ships; None for ``default``.
        ssl_model: One with self-supervised heads, for the page's panel; None for ``model`` where
            it has some, else, beside ``default``, ``default-with-ssl`` where it is installed.
        host: The address to listen at.
        port: The port; 0 for any that is free.
        key: What requests must bring as ``Authorization: Bearer KEY``; None for no key.
        limits: What is taken at most.
        detect: Whether to look for faces; without, each picture is one.
        detector: Which detector; see :func:`~hybridface.inference.detection.open_detector`.
        threshold: The least score of a face.
        longest: Longest side in pixels of what the detector sees.
        batch_size: Pictures that are read together, and faces that the model sees at once.
        threads: Threads of the model; None leaves it to ONNX Runtime.

    Returns:
        0, once it was told to end (SIGTERM, Ctrl-C) and every request was answered; 1 where it was
        told again by Ctrl-C and did not wait for them.

    Raises:
        UsageError: No model, or an option that cannot be.
        HybridFaceError: A model cannot be loaded, or the address cannot be listened at.
    """
    if key is not None:
        check_key(key)
    face_model = load(model, threads=threads)
    finder = open_detector(detector, threshold, longest) if detect else None
    reader = FaceReader(face_model, finder, batch_size, limits.faces)
    dealers = _find_dealers(face_model, ssl_model, threads)
    with open_socket(host, port) as listening:
        service = Service(reader, dealers, limits, key)
        warn_if_open(host, key)
        server = Server(service)

        def end(number: int, frame: FrameType | None) -> None:
            server.should_exit = True

        # For a signal before uvicorn takes them, and for the one that it raises again at its end:
        # to have ended cleanly is no failure.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        print(f"hybridface serves at {address(listening)}", flush=True)
        server.run(sockets=[listening])
    if server.force_exit:
        print("hybridface: ended at once, without waiting for requests", file=sys.stderr)
        return 1
    print("hybridface: ended, every request was answered", file=sys.stderr)
    return 0


class Server(uvicorn.Server):
    """Uvicorn's server, of which a second Ctrl-C ends the connections that are open.

    From Python 3.12 on it would wait for them all the same, as asyncio's servers do there.

    Args:
        service: What answers; it is told where too many connections are open.
    """

    def __init__(self, service: Service) -> None:
        service.crowded = self.crowded
        super().__init__(configure(service))

    def crowded(self) -> bool:
        """Say whether too many connections are open to answer on any."""
        return len(self.server_state.connections) > MOST_CONNECTIONS

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal; see :meth:`uvicorn.Server.handle_exit`."""
        super().handle_exit(sig, frame)
        if self.force_exit:
            for connection in list(self.server_state.connections):
                connection.loop.call_soon_threadsafe(connection.transport.abort)


def check_key(key: str) -> None:
    """Refuse a key that no request could bring.

    Raises:
        UsageError: It is empty, or holds what the header of a request cannot.
    """
    if not key:
        raise UsageError(
            "the API key is empty; give one, or for none leave out --api-key and unset "
            "HYBRIDFACE_API_KEY"
        )
    if not all("!" <= each <= "~" for each in key):
        raise UsageError(
            "the API key holds a space, a line break or a character beyond ASCII, which no request "
            "can bring in a header; take letters, digits and signs such as - and _"
        )


def warn_if_open(host: str, key: str | None) -> None:
    """Say on standard error that others may ask, where they may and no key is asked of them."""
    if host not in LOOPBACK and key is None:
        print(
            f"warning: {host} may be reached from other machines, and no --api-key is asked of "
            "them", file=sys.stderr,
        )  # fmt: skip


def configure(service: Service) -> uvicorn.Config:
    """Return how a service is served: no log of requests, bounds on waiting and on the end."""
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # a line for each broken form
    # httptools, which uvicorn prefers where it is installed, bounds no headers and loses the body
    # of a request that offers another protocol.
    return uvicorn.Config(
        make_app(service), http=Connection, log_level="warning", access_log=False,
        server_header=False, lifespan="on", timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=math.ceil(service.limits.seconds) + 1,
    )  # fmt: skip


def _find_dealers(
    face_model: FaceModel, ssl_model: str | Path | None, threads: int | None
) -> list[Dealer]:
    """Return the self-supervised heads to show.

    Raises:
        UsageError: The named file has none that can be shown.
    """
    if ssl_model is None:
        own = dealers_of(face_model)
        if own or face_model.path.resolve().parent != shipped.FOLDER.resolve():
            return own
        try:
            return dealers_of(FaceModel.load(shipped.shipped_ssl_model(), threads=threads))
        except UsageError:  # it is not in this install: the page goes without
            return []
    dealers = dealers_of(FaceModel.load(ssl_model, threads=threads))
    if not dealers:
        raise UsageError(
            f"--ssl-model: {ssl_model} has no puzzle or in-painting; export a run with "
            "--keep-ssl-heads"
        )
    return dealers


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UsageError: There is no such address, or the port is out of range or taken.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
        opened = socket.socket(family, kind, protocol)
    except (OSError, OverflowError, UnicodeError) as error:
        raise UsageError(f"--host {host}: no address to listen at ({error})") from error
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(place)
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        raise HybridFaceError(
            f"{host}:{port}: cannot be listened at ({error.strerror}); name another --port, 0 for "
            "any that is free"
        ) from error
    return opened


def address(listening: socket.socket) -> str:
    """Return where a person finds it, as in ``http://127.0.0.1:8000``."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
