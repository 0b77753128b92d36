"""Models to be served, and ``hybridface serve`` as a process."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hybridface.serving.server import Server, address, open_socket
from hybridface.serving.service import Service

TASKS: dict[str, dict[str, Any]] = {
    "expression": {},
    "pose": {},
    "gender": {},
    "age": {},
    "puzzle": {"grid": 2},
    "inpaint": {"decoder_channels": 8},
}
PATIENCE = 120


def write_served(place: Path) -> Path:
    """Write a model with random weights, its self-supervised heads included."""
    # Only here: a server is started and asked without torch, which takes seconds to import.
    from hybridface.export.network import export_onnx
    from tiny_models import EXPRESSIONS
    from tiny_runs import labelled_batch, tiny_model

    model, tasks = tiny_model(
        TASKS, classes={"expression": EXPRESSIONS, "gender": ("female", "male")}
    )
    images = labelled_batch(8).images.float() / 255
    export_onnx(
        model, tasks, images, place, trained_on="nothing", keep_ssl_heads=True,
        about={"licence": "for tests only"},
    )  # fmt: skip
    return place


@dataclass
class Served:
    """A server that runs.

    Attributes:
        address: As in ``http://127.0.0.1:8000``.
        process: Its process; None where it runs in this one.
    """

    address: str
    process: subprocess.Popen[str] | None = None

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] = {}
    ) -> tuple[int, Mapping[str, str], Any]:
        """Return the status, the headers by their names in small letters, and the content."""
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=PATIENCE)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            content = answer.read()
            named = {name.lower(): value for name, value in answer.getheaders()}
            is_json = named.get("content-type", "").startswith("application/json")
            return answer.status, named, json.loads(content) if is_json and content else content
        finally:
            connection.close()


def form(*files: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a form with files, by their names."""
    parts = [
        b'--limit\r\nContent-Disposition: form-data; name="pictures"; filename="'
        + name.encode()
        + b'"\r\n\r\n'
        + content
        + b"\r\n"
        for name, content in files
    ]
    return b"".join([*parts, b"--limit--\r\n"]), {
        "Content-Type": "multipart/form-data; boundary=limit"
    }


@contextmanager
def serving(
    *options: str, environment: Mapping[str, str] = {}, before: str = ""
) -> Iterator[Served]:
    """Start ``hybridface serve`` at a free port, and end it; ``before`` is run in it first."""
    start = f"{before}\nfrom hybridface.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", start, "serve", "--port", "0", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **environment},
    )  # fmt: skip
    try:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        if "http" not in line:
            process.wait(PATIENCE)
            raise AssertionError(f"no server: {line}{process.stderr.read()}")
        yield Served(line.split()[-1], process)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@contextmanager
def running(service: Service) -> Iterator[Served]:
    """Serve in a thread of this process, with any detector or model."""
    listening = open_socket("127.0.0.1", 0)
    server = Server(service)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield Served(address(listening))
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        listening.close()
    assert not thread.is_alive()
