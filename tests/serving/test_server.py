"""``hybridface serve`` as a process: its start, its end, and what it refuses."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from hybridface.cli import app
from hybridface.errors import HybridFaceError
from hybridface.inference import shipped
from hybridface.inference.dealing import Dealer
from hybridface.inference.detection.base import Detections, Detector, Picture
from hybridface.inference.photos import FaceReader
from hybridface.serving import connections, server
from hybridface.serving.server import run_serve, warn_if_open
from hybridface.serving.service import Service
from served import PATIENCE, Served, form, running, serving
from tiny_models import EXPRESSIONS, write_model

START = "from hybridface.cli import main; main()"
# As in an environment that does not have them.
WITHOUT = """
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Without())
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("plain") / "plain.onnx", {"expression": EXPRESSIONS})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_once_every_request_is_answered(
    plain: Path, astronaut: bytes, number: signal.Signals
) -> None:
    given = ("--model", str(plain), "--timeout", "300")  # on a machine that may be busy
    with serving(*given) as served, ThreadPoolExecutor(1) as pool:
        assert served.process is not None
        assert served.address.startswith("http://127.0.0.1:")
        assert served.ask("GET", "/healthz")[2] == {"status": "ok"}
        body, headers = form(*[("secret-name.jpg", astronaut)] * 6)
        asked = pool.submit(served.ask, "POST", "/v1/predict", body, headers)
        while b"hybridface_waiting_pictures 6.0" not in served.ask("GET", "/metrics")[2]:
            assert not asked.done()
        served.process.send_signal(number)
        status, _, said = asked.result()
        assert status == 200
        assert [len(each["faces"]) for each in said["pictures"]] == [1] * 6
        assert served.process.wait(PATIENCE) == 0
        assert served.process.stdout is not None and served.process.stderr is not None
        written = served.process.stdout.read() + served.process.stderr.read()
        assert "every request was answered" in written
        assert "secret-name" not in written and "Traceback" not in written


# As fast as it can come after the address was printed.
AT_ONCE = """
import os, signal, uvicorn
run = uvicorn.Server.run
def run_late(self, **given):
    os.kill(os.getpid(), signal.{name})
    run(self, **given)
uvicorn.Server.run = run_late
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_right_after_the_address_ends_it(plain: Path, name: str) -> None:
    with serving("--model", str(plain), before=AT_ONCE.format(name=name)) as served:
        assert served.process is not None and served.process.stderr is not None
        assert served.process.wait(60) == 0
        assert "every request was answered" in served.process.stderr.read()


def test_a_second_interrupt_waits_for_nobody_and_says_so(plain: Path) -> None:
    with serving("--model", str(plain), "--timeout", "300") as served:
        assert served.process is not None and served.process.stderr is not None
        host, port = served.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as unfinished:
            head = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            unfinished.sendall(head + b"Content-Length: 5000\r\n\r\nonly the start")
            while b"hybridface_waiting_pictures 1.0" not in served.ask("GET", "/metrics")[2]:
                pass
            served.process.send_signal(signal.SIGINT)
            while _takes_connections(host, int(port)):
                time.sleep(0.05)
            served.process.send_signal(signal.SIGINT)
            assert served.process.wait(PATIENCE) == 1
        written = served.process.stderr.read()
    assert "ended at once" in written and "was answered" not in written


def _takes_connections(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


def test_the_key_may_come_from_the_environment(plain: Path) -> None:
    with serving("--model", str(plain), environment={"HYBRIDFACE_API_KEY": "s3"}) as served:
        assert served.ask("GET", "/v1/model")[0] == 401
        status, _, said = served.ask("GET", "/v1/model", None, {"Authorization": "Bearer s3"})
        assert status == 200 and said["tasks"]["expression"]["classes"] == list(EXPRESSIONS)
        assert said["self_supervised"] == []


def test_an_empty_key_in_the_environment_is_not_taken_for_none(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRIDFACE_API_KEY", "")
    error = refused("--model", str(plain), "--port", "0", "--host", "no.such.host.invalid")
    assert error.exit_code == 2 and "unset HYBRIDFACE_API_KEY" in str(error)


def test_it_needs_no_training_library(plain: Path, astronaut: bytes) -> None:
    before = WITHOUT.format(missing=("torch", "timm", "torchvision", "scipy", "onnx", "matplotlib"))
    with serving("--model", str(plain), before=before) as served:
        status, _, said = served.ask("POST", "/v1/predict", *form(("me.jpg", astronaut)))
        assert status == 200 and len(said["pictures"][0]["faces"]) == 1


def test_without_the_extra_it_says_what_to_install(plain: Path) -> None:
    for missing in ("fastapi", "python_multipart"):
        before = WITHOUT.format(missing=(missing,))
        command = [sys.executable, "-c", before + START, "serve", "--model", str(plain)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert 'pip install "hybridface[serve]"' in done.stderr
        assert "Traceback" not in done.stderr


def refused(*options: str) -> HybridFaceError:
    with pytest.raises(HybridFaceError) as found:
        app(["serve", *options], standalone_mode=False)
    return found.value


def test_a_taken_port_is_named(plain: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        error = refused("--model", str(plain), "--port", port)
    assert error.exit_code == 1 and port in str(error) and "--port" in str(error)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--model", "missing.onnx"), "missing.onnx"),
        (("--host", "no.such.host.invalid"), "--host"),
        (("--timeout", "0"), "--timeout: expected a number above 0"),
        (("--max-mb", "0"), "--max-mb"),
        (("--timeout", "inf"), "--timeout: expected a number above 0"),
        (("--max-mb", "inf"), "--max-mb"),
        (("--max-mb", "nan"), "--max-mb"),
        (("--max-megapixels", "inf"), "--max-megapixels"),
        (("--max-held-mb", "1e308"), "--max-held-mb"),
        (("--max-waiting", "15"), "--max-waiting"),
        (("--api-key", ""), "key is empty"),
        (("--api-key", " "), "key holds"),
        (("--api-key", "s3cret\n"), "key holds"),
        (("--api-key", "schlüssel"), "key holds"),
        (("--ssl-model", "PLAIN"), "--keep-ssl-heads"),
        (("--threshold", "7"), "threshold"),
    ],
)
def test_wrong_use_exits_with_2(plain: Path, options: tuple[str, ...], said: str) -> None:
    given = [str(plain) if each == "PLAIN" else each for each in options]
    model = () if "--model" in options else ("--model", str(plain))
    nowhere = ("--host", "no.such.host.invalid")  # so that what is not refused is not served either
    error = refused(*nowhere, *model, *given, "--port", "0")
    assert error.exit_code == 2 and said in str(error)


@pytest.fixture
def shipping(model: Path, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model that ships and its other half, and an empty working directory."""
    folder, working = tmp_path / "models", tmp_path / "working"
    folder.mkdir()
    working.mkdir()
    shutil.copy(plain, folder / "default.onnx")
    shutil.copy(model, folder / "default-with-ssl.onnx")
    monkeypatch.setattr(shipped, "FOLDER", folder)
    monkeypatch.chdir(working)
    return folder


def shown(monkeypatch: pytest.MonkeyPatch, model: str | Path | None) -> list[str]:
    """Return the self-supervised heads that a server would show."""
    seen = list[str]()

    class Stopped(Exception):  # noqa: N818
        pass

    def stop(reader: Any, dealers: Sequence[Dealer], *others: Any) -> None:
        seen.extend(each.name for each in dealers)
        raise Stopped

    monkeypatch.setattr(server, "Service", stop)
    with pytest.raises(Stopped):
        run_serve(model, port=0)
    return seen


def test_the_other_half_is_shown_beside_the_model_that_ships(
    shipping: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for named in (None, "default", "default-with-ssl", shipping / "default.onnx"):
        assert shown(monkeypatch, named) == ["puzzle", "inpaint"]


def test_the_other_half_is_not_shown_beside_a_model_called_default(
    shipping: Path, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("default").mkdir()
    shutil.copy(plain, "default/model.onnx")
    assert shown(monkeypatch, "default") == []
    assert shown(monkeypatch, None) == ["puzzle", "inpaint"]


@pytest.mark.parametrize(
    ("host", "key", "warned"),
    [("0.0.0.0", None, True), ("0.0.0.0", "s3", False), ("127.0.0.1", None, False)],
)
def test_others_are_let_in_without_a_key_only_with_a_warning(
    host: str, key: str | None, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_if_open(host, key)
    assert ("no --api-key" in capsys.readouterr().err) == warned


def connected(served: Served) -> socket.socket:
    host, port = urlsplit(served.address).netloc.split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def test_where_too_many_connections_are_open_it_says_so(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 2)
    with running(Service(FaceReader(plain, None))) as served:
        others = [connected(served), connected(served)]
        status, headers, said = served.ask("GET", "/healthz")
        while status == 200:  # until the server has met both
            status, headers, said = served.ask("GET", "/healthz")
        assert (status, said) == (
            503, {"error": "overloaded: too many connections are open; try again"},
        )  # fmt: skip
        assert headers["retry-after"] == "5" and headers["connection"] == "close"
        assert headers["x-content-type-options"] == "nosniff"
        for each in others:
            each.close()
        while served.ask("GET", "/healthz")[0] != 200:
            pass
        counted = served.ask("GET", "/metrics")[2].decode()
    assert 'hybridface_requests_total{path="/healthz",status="503"}' in counted


def test_connections_that_bring_no_request_are_closed(
    plain: Path, picture_bytes: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 2.0)
    may = threading.Event()

    class Slow(Detector):
        def detect(self, pictures: Sequence[Picture]) -> list[Detections]:
            may.wait(PATIENCE)
            return [Detections.none() for _ in pictures]

    service = Service(FaceReader(plain, Slow()))
    with running(service) as served, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(served.ask, "POST", "/v1/predict", *form(("a", picture_bytes())))
        begun = time.monotonic()
        for start in (b"", b"GET /healthz HTTP/1.1\r\nHost:"):
            with connected(served) as silent:
                silent.sendall(start)
                assert silent.recv(1) == b""
        assert not asked.done() and time.monotonic() - begun >= 4
        may.set()
        assert asked.result()[0] == 200  # a request that is worked on is waited for
