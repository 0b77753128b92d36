"""``hybridface serve`` as a process: its start, its end, and what it refuses."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from served import PATIENCE, form, serving
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


def refused(*options: str, before: str = "") -> tuple[int, str]:
    command = [sys.executable, "-c", before + START, "serve", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.stdout == "" and "Traceback" not in done.stderr
    assert "unexpectedly" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_once_every_request_is_answered(
    plain: Path, astronaut: bytes, number: signal.Signals
) -> None:
    with serving("--model", str(plain)) as served, ThreadPoolExecutor(4) as pool:
        assert served.process is not None
        assert served.address.startswith("http://127.0.0.1:")
        assert served.ask("GET", "/healthz")[2] == {"status": "ok"}
        body, headers = form(*[("secret-name.jpg", astronaut)] * 16)
        asked = [pool.submit(served.ask, "POST", "/v1/predict", body, headers) for _ in range(4)]
        while b"hybridface_waiting_pictures 64.0" not in served.ask("GET", "/metrics")[2]:
            pass
        served.process.send_signal(number)
        answers = [each.result() for each in asked]
        assert [status for status, _, _ in answers] == [200] * 4
        assert all(len(each["faces"]) == 1 for _, _, said in answers for each in said["pictures"])
        assert served.process.wait(PATIENCE) == 0
        assert served.process.stdout is not None and served.process.stderr is not None
        written = served.process.stdout.read() + served.process.stderr.read()
        assert "every request was answered" in written
        assert "secret-name" not in written and "Traceback" not in written


def test_the_key_may_come_from_the_environment(plain: Path) -> None:
    with serving("--model", str(plain), environment={"HYBRIDFACE_API_KEY": "s3"}) as served:
        assert served.ask("GET", "/v1/model")[0] == 401
        status, _, said = served.ask("GET", "/v1/model", None, {"Authorization": "Bearer s3"})
        assert status == 200 and said["tasks"]["expression"]["classes"] == list(EXPRESSIONS)
        assert said["self_supervised"] == []


def test_it_needs_no_training_library(plain: Path, astronaut: bytes) -> None:
    before = WITHOUT.format(missing=("torch", "timm", "torchvision", "scipy", "onnx", "matplotlib"))
    with serving("--model", str(plain), before=before) as served:
        status, _, said = served.ask("POST", "/v1/predict", *form(("me.jpg", astronaut)))
        assert status == 200 and len(said["pictures"][0]["faces"]) == 1


def test_without_the_extra_it_says_what_to_install(plain: Path) -> None:
    for missing in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        code, said = refused("--model", str(plain), before=WITHOUT.format(missing=(missing,)))
        assert code == 2 and 'pip install "hybridface[serve]"' in said, missing


def test_a_taken_port_is_named(plain: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, said = refused("--model", str(plain), "--port", port)
    assert code == 1 and port in said and "--port" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--model", "missing.onnx"), "missing.onnx"),
        (("--host", "no.such.host.invalid"), "--host"),
        (("--timeout", "0"), "seconds"),
        (("--max-mb", "0"), "request_bytes"),
        (("--api-key", " "), "key"),
        (("--ssl-model", "PLAIN"), "--keep-ssl-heads"),
        (("--threshold", "7"), "threshold"),
    ],
)
def test_wrong_use_exits_with_2(plain: Path, options: tuple[str, ...], said: str) -> None:
    given = [str(plain) if each == "PLAIN" else each for each in options]
    model = () if "--model" in options else ("--model", str(plain))
    code, text = refused(*model, *given, "--port", "0")
    assert code == 2 and said in text


def test_others_are_let_in_without_a_key_only_with_a_warning(plain: Path) -> None:
    for key, warned in (({}, True), ({"HYBRIDFACE_API_KEY": "s3"}, False)):
        environment: Mapping[str, str] = key
        with serving("--model", str(plain), "--host", "0.0.0.0", environment=environment) as served:
            served_at = served.process
            assert served_at is not None and served_at.stderr is not None
            served_at.terminate()
            assert served_at.wait(PATIENCE) == 0
            assert ("no --api-key" in served_at.stderr.read()) == warned
