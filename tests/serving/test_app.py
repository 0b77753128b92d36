"""What the server answers and refuses, with the real detector and a model of every kind of task."""

from __future__ import annotations

import base64
import gc
import http.client
import io
import json
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from uvicorn.protocols.http.h11_impl import H11Protocol

from hybridface import images
from hybridface.inference.dealing import dealers_of
from hybridface.inference.detection.base import Detections, Detector, Picture
from hybridface.inference.output.jsonl import content_of
from hybridface.inference.photos import FaceReader
from hybridface.inference.runtime import FaceModel
from hybridface.serving.app import WEB
from hybridface.serving.connections import Connection
from hybridface.serving.limits import Limits
from hybridface.serving.server import configure
from hybridface.serving.service import Service
from served import Served, form, running

LIMITS = Limits(request_bytes=400_000, pixels=600_000, pictures=3, seconds=60)


def grey(side: int = 40) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (side, side), (90, 90, 90)).save(content, "PNG")
    return content.getvalue()


class Slow(Detector):
    """Finds nothing, and only when it may; counts what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.may = threading.Event()
        self.shown = 0

    def detect(self, pictures: Sequence[Picture]) -> list[Detections]:
        self.may.wait(30)
        self.shown += len(pictures)
        return [Detections.none() for _ in pictures]


@pytest.fixture(scope="module")
def reader(model: Path) -> FaceReader:
    return FaceReader(model)


@pytest.fixture(scope="module")
def served(model: Path, reader: FaceReader) -> Iterator[Served]:
    with running(Service(reader, dealers_of(FaceModel.load(model)), LIMITS)) as found:
        yield found


def test_pictures_are_answered_as_predict_prints_them(
    served: Served, reader: FaceReader, astronaut: bytes
) -> None:
    body, headers = form(("me.jpg", astronaut), ("broken.png", b"no picture"), ("b.png", grey()))
    status, _, said = served.ask("POST", "/v1/predict", body, headers)
    assert status == 200
    first, broken, without = said["pictures"]
    pixels = images.decode(astronaut)
    (photo,) = reader.read([pixels], ["me.jpg"])
    assert first == json.loads(json.dumps(content_of(photo)))
    assert len(first["faces"]) == 1 and set(first["faces"][0]) >= {"expression", "pose", "age"}
    assert broken == {"image": "broken.png", "faces": [], "error": "not a picture that can be read"}
    assert without == {"image": "b.png", "width": 40, "height": 40, "faces": []}


@pytest.mark.parametrize(
    ("charset", "status"),
    [("undefined", 400), ("unicode_escape", 200), ("utf-7", 200), ("hex", 200)],
)
def test_an_odd_charset_of_a_form_is_no_failure(
    served: Served, charset: str, status: int, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    name = {"unicode_escape": r"\\ud800.png", "utf-7": "+2AA-.png"}
    body, headers = form((name.get(charset, "a.png"), grey()))
    headers["Content-Type"] += f"; charset={charset}"
    found, _, said = served.ask("POST", "/v1/predict", body, headers)
    assert found == status, said
    if status == 400:
        assert "charset" in said["error"]
    else:
        assert said["pictures"][0]["image"] == ("a.png" if charset == "hex" else "?.png")
    assert capsys.readouterr().err == "" and not caplog.records


def test_a_failure_is_answered_and_said_once_without_a_traceback(
    model: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    service = Service(FaceReader(model), limits=LIMITS)
    service.metrics.text = lambda: {}["defect"]  # type: ignore[assignment]
    with running(service) as served:
        status, headers, said = served.ask("GET", "/metrics")
    assert (status, said) == (500, {"error": "the server failed; its log says how"})
    assert "default-src 'none'" in headers["content-security-policy"]
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"hybridface: KeyError: 'defect' \(test_app\.py:\d+\)", line)
    assert not caplog.records


def test_a_picture_may_be_the_body(served: Served, astronaut: bytes) -> None:
    status, _, said = served.ask("POST", "/v1/predict", astronaut, {"Content-Type": "image/jpeg"})
    assert (status, len(said["pictures"][0]["faces"])) == (200, 1)


BOUNDARY = {"Content-Type": "multipart/form-data; boundary=limit"}
CUT = form(("a.png", grey()), ("b.png", grey()))[0][:-60]
UNNAMED = b'--limit\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + bytes(5000)
PNG = {"Content-Type": "image/png"}
BAD = [
    (b"", {}, 415, "multipart/form-data"),
    (b"{}", {"Content-Type": "application/json"}, 415, "application/json"),
    (b"", PNG, 400, "empty"),
    (b"--limit--\r\n", BOUNDARY, 400, "no file|nvalid"),
    (b"nonsense", BOUNDARY, 400, "nvalid"),
    (b"nonsense", {"Content-Type": "multipart/form-data"}, 400, "boundary"),
    (CUT, BOUNDARY, 400, "breaks off"),
    (UNNAMED, BOUNDARY, 400, "no filename"),
    (form(*[("a.png", grey())] * 4)[0], BOUNDARY, 413, "3"),
    (b"0" * 400_001, PNG, 413, "400000 bytes"),
    (iter([b"0" * 300_000] * 2), PNG, 413, "400000 bytes"),
    (b"GIF89a", PNG, 422, "not a picture|decoded"),
    (grey(1000), PNG, 422, "over 600000 pixels"),
]


@pytest.mark.parametrize(("body", "headers", "status", "said"), BAD, ids=range(len(BAD)))
def test_what_cannot_be_done_is_refused_in_a_sentence(
    served: Served, body: bytes, headers: dict[str, str], status: int, said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    found, _, content = served.ask("POST", "/v1/predict", body, headers)
    assert found == status, content
    text = content["error"] if "error" in content else content["pictures"][0]["error"]
    assert re.search(said, text)
    assert served.ask("GET", "/healthz")[0] == 200
    assert not caplog.records


def test_an_address_is_asked_for_as_it_is_written(served: Served) -> None:
    for path in ("/docs/", "/v1/model/", "/web"):
        status, headers, _ = served.ask("GET", path)
        assert status == 404 and "location" not in headers


def test_whether_it_is_there_may_be_asked_without_the_content(served: Served) -> None:
    for path in ("/", "/healthz", "/web/page.js"):
        status, headers, _ = served.ask("GET", path)
        assert served.ask("HEAD", path)[0] == status == 200
        assert served.ask("HEAD", path)[1]["content-length"] == headers["content-length"]
    assert served.ask("HEAD", "/v1/predict")[0] == 405


def test_headers_are_bounded_whatever_is_installed(reader: FaceReader) -> None:
    assert configure(Service(reader)).http is Connection
    assert issubclass(Connection, H11Protocol)


def test_every_answer_keeps_the_page_to_itself(served: Served) -> None:
    for path in ("/", "/docs", "/web/page.js", "/v1/model", "/nothing", "/openapi.json"):
        _, headers, _ = served.ask("GET", path)
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] in ("no-store", "no-cache")
        assert "server" not in headers


def test_the_page_names_nothing_from_elsewhere() -> None:
    for path in WEB.iterdir():
        addresses = re.findall(r"(?:https?:)?//[\w.-]+", re.sub(r"^\s*//.*$", "", path.read_text()))
        assert set(addresses) <= {"http://www.w3.org"}, path


def test_the_description_has_every_route(served: Served) -> None:
    status, _, said = served.ask("GET", "/openapi.json")
    assert status == 200
    routes = {"/v1/predict", "/v1/self-supervised", "/v1/model", "/healthz", "/metrics"}
    assert set(said["paths"]) == routes
    answers = said["paths"]["/v1/predict"]["post"]["responses"]
    assert {"200", "401", "413", "422", "429", "503"} <= set(answers)
    assert "multipart/form-data" in said["paths"]["/v1/predict"]["post"]["requestBody"]["content"]


def test_a_seed_deals_the_same_again(served: Served, astronaut: bytes) -> None:
    body, headers = form(("me.jpg", astronaut))
    one, again, other = (
        served.ask("POST", f"/v1/self-supervised?seed={seed}", body, headers)[2]
        for seed in (1, 1, 2)
    )
    assert one == again
    puzzle, inpaint = one["answers"]
    assert [puzzle["kind"], inpaint["kind"]] == ["puzzle", "inpaint"]
    assert sorted(puzzle["dealt"]) == [0, 1, 2, 3] and len(puzzle["answered"]) == 4
    assert other["answers"][1]["pictures"] != inpaint["pictures"]
    for picture in (*puzzle["pictures"].values(), *inpaint["pictures"].values()):
        shown = Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2])))
        assert shown.size == (32, 32)
    assert one["box"] == served.ask("POST", "/v1/predict", body, headers)[2]["pictures"][0][
        "faces"][0]["box"]  # fmt: skip


def test_where_there_is_no_face_nothing_is_dealt(served: Served, astronaut: bytes) -> None:
    for path, body in (("", form(("a.png", grey()))), ("?face=1", form(("me.jpg", astronaut)))):
        status, _, said = served.ask("POST", f"/v1/self-supervised{path}", *body)
        assert (status, said["box"], said["answers"]) == (200, None, [])
    two = form(("a.png", grey()), ("b.png", grey()))
    assert served.ask("POST", "/v1/self-supervised", *two)[0] == 413
    assert served.ask("POST", "/v1/self-supervised?face=-1", *two)[0] == 400
    broken = form(("a.png", b"x"))
    assert served.ask("POST", "/v1/self-supervised", *broken)[0] == 422


def test_a_key_locks_what_costs_and_what_tells(reader: FaceReader, astronaut: bytes) -> None:
    with running(Service(reader, limits=LIMITS, key="s3cret")) as served:
        body, headers = form(("me.jpg", astronaut))
        for method, path in (
            ("POST", "/v1/predict"), ("POST", "/v1/self-supervised"), ("GET", "/v1/model"),
            ("GET", "/metrics"),
        ):  # fmt: skip
            for key in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}):
                found, said, content = served.ask(method, path, body, headers | key)
                assert (found, said["www-authenticate"]) == (401, "Bearer")
                assert "Bearer KEY" in content["error"]
        key = {"Authorization": "Bearer s3cret"}
        assert served.ask("POST", "/v1/predict", body, headers | key)[0] == 200
        assert served.ask("POST", "/v1/self-supervised", body, headers | key)[0] == 404
        for path in ("/", "/healthz", "/docs"):
            assert served.ask("GET", path)[0] == 200


def test_faces_beyond_the_limit_are_counted(model: Path, astronaut: bytes) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(astronaut)))
    content = io.BytesIO()
    Image.fromarray(np.concatenate([pixels, pixels], axis=1)).save(content, "JPEG")
    with running(Service(FaceReader(model, most_faces=1))) as served:
        _, _, said = served.ask("POST", "/v1/predict", *form(("two.jpg", content.getvalue())))
    (picture,) = said["pictures"]
    assert (len(picture["faces"]), picture["faces_left_out"]) == (1, 1)


def wait_for(condition: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)


def test_overload_is_answered_at_once_and_nothing_is_lost(model: Path) -> None:
    slow = Slow()
    service = Service(FaceReader(model, slow), limits=replace(LIMITS, waiting=4))
    with running(service) as served, ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(served.ask, "POST", "/v1/predict", grey(), PNG) for _ in range(4)]
        wait_for(lambda: service.gate.pictures == 4)
        status, headers, said = served.ask("POST", "/v1/predict", grey(), PNG)
        assert (status, headers["retry-after"]) == (429, "1")
        assert "overloaded" in said["error"]
        assert served.ask("GET", "/healthz")[0] == 200
        slow.may.set()
        assert [each.result()[0] for each in waiting] == [200] * 4
        assert served.ask("POST", "/v1/predict", grey(), PNG)[0] == 200
        too_many = form(*[("a.png", grey())] * 3)
        assert served.ask("POST", "/v1/predict", *too_many)[0] == 200
    assert (service.gate.pictures, service.gate.bytes) == (0, 0)


def test_bytes_of_all_requests_are_bounded(model: Path) -> None:
    slow = Slow()
    limits = Limits(request_bytes=6000, held_bytes=10_000)
    service = Service(FaceReader(model, slow), limits=limits)
    picture = grey() + bytes(5000)
    with running(service) as served, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(served.ask, "POST", "/v1/predict", picture, PNG)
        wait_for(lambda: service.gate.bytes >= 5000)
        status, _, said = served.ask("POST", "/v1/predict", picture, PNG)
        assert status == 429 and "bytes" in said["error"]
        slow.may.set()
        assert waiting.result()[0] == 200


def test_time_is_bounded(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    slow = Slow()
    service = Service(FaceReader(model, slow), limits=replace(LIMITS, seconds=0.5))
    with running(service) as served:
        status, headers, said = served.ask("POST", "/v1/predict", grey(), PNG)
        assert (status, headers["retry-after"]) == (503, "5") and "0.5 seconds" in said["error"]
        connection = http.client.HTTPConnection(urlsplit(served.address).netloc, timeout=20)
        connection.putrequest("POST", "/v1/predict")
        for header in (("Content-Type", "image/png"), ("Content-Length", "5000")):
            connection.putheader(*header)
        connection.endheaders(b"only the start")
        assert connection.getresponse().status == 408
        connection.close()
        slow.may.set()
    gc.collect()
    assert [each.getMessage() for each in caplog.records] == []


def test_work_for_who_went_away_is_dropped(model: Path) -> None:
    slow = Slow()
    service = Service(FaceReader(model, slow, batch_size=1), limits=LIMITS)
    with running(service) as served, ThreadPoolExecutor(1) as pool:
        first = pool.submit(served.ask, "POST", "/v1/predict", grey(), PNG)
        wait_for(lambda: service.gate.pictures == 1)
        time.sleep(0.2)  # until the detector holds the first
        host, port = urlsplit(served.address).netloc.split(":")
        body = grey()
        with socket.create_connection((host, int(port))) as gone:
            head = f"Host: x\r\nContent-Type: image/png\r\nContent-Length: {len(body)}\r\n\r\n"
            gone.sendall(b"POST /v1/predict HTTP/1.1\r\n" + head.encode() + body)
            wait_for(lambda: service.gate.pictures == 2)
        wait_for(lambda: service.gate.pictures == 1)
        slow.may.set()
        assert first.result()[0] == 200
        assert served.ask("POST", "/v1/predict", grey(), PNG)[0] == 200
    assert slow.shown == 2


def test_what_happens_is_counted(model: Path, astronaut: bytes) -> None:
    with running(Service(FaceReader(model))) as served:
        for body in (astronaut, b"broken"):
            served.ask("POST", "/v1/predict", body, {"Content-Type": "image/jpeg"})
        served.ask("GET", "/some/path/of/an/attacker")
        status, headers, text = served.ask("GET", "/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain")
    lines = text.decode().splitlines()
    assert 'hybridface_requests_total{path="/v1/predict",status="200"} 1.0' in lines
    assert 'hybridface_requests_total{path="/v1/predict",status="422"} 1.0' in lines
    assert 'hybridface_requests_total{path="other",status="404"} 1.0' in lines
    assert "hybridface_faces_total 1.0" in lines
    assert "hybridface_batch_pictures_count 1.0" in lines
    assert any(line.startswith("process_resident_memory_bytes") for line in lines)
    assert "attacker" not in text.decode()
