from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from hybridface.inference import video
from hybridface.inference.inputs import Input, find_inputs
from hybridface.inference.predict import run_predict
from hybridface.inference.video import Tracker, count_frames, read_frames
from tiny_models import EXPRESSIONS, write_model

pytest.importorskip("cv2")
cv2 = video.opencv()  # FFmpeg is silent from its first use on
RATE, FRAMES = 10, 12


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A face that moves to the left, 12 frames at 10 a second."""
    astronaut = pytest.importorskip("skimage.data").astronaut()[:, :, ::-1]
    place = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(place), cv2.VideoWriter_fourcc(*"mp4v"), RATE, (256, 224))
    for number in range(FRAMES):
        start = 100 + 4 * number
        writer.write(np.ascontiguousarray(astronaut[:224, start : start + 256]))
    writer.release()
    return place


def boxes(*lefts: float) -> np.ndarray:
    return np.array([(left, 0, left + 10, 10) for left in lefts], np.float32).reshape(-1, 4)


def test_faces_keep_their_numbers_while_they_move() -> None:
    tracker = Tracker()
    assert tracker.update(boxes(0, 100)) == [0, 1]
    assert tracker.update(boxes(103, 2)) == [1, 0]
    assert tracker.update(boxes(4, 50, 105)) == [0, 2, 1]


def test_the_nearest_box_gets_the_number() -> None:
    tracker = Tracker()
    tracker.update(boxes(0))
    assert tracker.update(boxes(4, 1)) == [1, 0]


def test_a_missing_face_keeps_its_number_for_a_while() -> None:
    tracker = Tracker(patience=2)
    tracker.update(boxes(0))
    for _ in range(2):
        assert tracker.update(boxes()) == []
    assert tracker.update(boxes(1)) == [0]
    for _ in range(3):
        tracker.update(boxes())
    assert tracker.update(boxes(1)) == [1]


@pytest.mark.parametrize("every", [1, 7])
def test_a_video_that_is_cut_short_is_said_to_be(
    every: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "model.onnx", {"expression": EXPRESSIONS})
    whole, cut = tmp_path / "whole.avi", tmp_path / "cut.avi"
    writer = cv2.VideoWriter(str(whole), cv2.VideoWriter_fourcc(*"MJPG"), RATE, (64, 48))
    for number in range(60):
        writer.write(np.full((48, 64, 3), number, np.uint8))
    writer.release()
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert run_predict([str(whole)], model, form="jsonl", every=every) == 0
    assert "cut short" not in capsys.readouterr().err
    assert run_predict([str(cut)], model, form="jsonl", every=every) == 0
    said = capsys.readouterr()
    assert re.search(
        r"cut.avi: its last frame is at [123]\.\d of 6.0 s; is the file cut short", said.err
    )
    assert "1 not read" in said.err
    assert "cut short" in json.loads(said.out.splitlines()[-1])["error"]


def test_frames_come_with_their_time(clip: Path) -> None:
    (source,) = find_inputs([clip])
    frames = list(read_frames(source))
    assert [each.number for each in frames] == list(range(FRAMES))
    assert [each.time for each in frames] == [pytest.approx(n / RATE) for n in range(FRAMES)]
    assert {each.pixels.shape for each in frames} == {(224, 256, 3)}
    astronaut = pytest.importorskip("skimage.data").astronaut()
    np.testing.assert_allclose(
        frames[0].pixels.mean((0, 1)), astronaut[:224, 100:356].mean((0, 1)), atol=4
    )
    assert [each.number for each in read_frames(source, every=5)] == [0, 5, 10]
    assert (count_frames(source), count_frames(source, every=5)) == (FRAMES, 3)


def test_frames_that_come_unevenly_have_the_time_at_which_they_are_shown(
    clip: Path, tmp_path: Path
) -> None:
    place = tmp_path / "uneven.mp4"
    place.write_bytes(slowed(clip.read_bytes(), half=FRAMES // 2))
    frames = list(read_frames(find_inputs([place])[0]))
    expected = [n / RATE for n in range(FRAMES // 2)]
    expected += [(FRAMES // 2 + 5 * n) / RATE for n in range(FRAMES // 2)]
    assert [each.time for each in frames] == pytest.approx(expected, abs=0.01)


def slowed(film: bytes, half: int) -> bytes:
    """Return an MP4 file whose frames last five times as long from one on."""
    at = film.index(b"stts")
    duration = film[at + 16 : at + 20]
    entries = [(half, duration), (half, (5 * int.from_bytes(duration)).to_bytes(4))]
    table = b"stts" + bytes(4) + len(entries).to_bytes(4)
    table += b"".join(count.to_bytes(4) + each for count, each in entries)
    film = film[: at - 4] + (len(table) + 4).to_bytes(4) + table + film[at + 20 :]
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):  # the boxes around it grow
        start = film.index(name) - 4
        size = int.from_bytes(film[start : start + 4]) + 8
        film = film[:start] + size.to_bytes(4) + film[start + 4 :]
    return film.replace(b"edts", b"free")  # which would end it where it ended before


class Camera:
    """Says that it gives 30 frames a second, and gives four."""

    def __init__(self, place: int) -> None:
        self.left = 4

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def get(self, what: int) -> float:
        return 30.0

    def grab(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.zeros((4, 4, 3), np.uint8)

    def release(self) -> None:
        pass


def test_the_time_of_a_camera_is_the_clock_s(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([50.0, 50.25, 51.0, 51.5])
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.setattr(video.time, "monotonic", lambda: next(clock))
    frames = list(read_frames(Input(Path("webcam"), "camera"), every=2))
    assert [(each.number, each.time) for each in frames] == [(0, 0.0), (2, 1.0)]


@pytest.mark.parametrize("batch_size", [1, 5])
def test_a_video_gives_a_row_a_face_a_frame(
    clip: Path, tmp_path: Path, batch_size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "model.onnx", {"expression": EXPRESSIONS})
    out = tmp_path / "faces.csv"
    drawn = tmp_path / "drawn"
    given = [clip, tmp_path / "absent.png"]
    assert run_predict(given, model, out=out, draw=drawn, batch_size=batch_size) == 0
    rows = list(csv.DictReader(out.open()))
    assert [(int(row["frame"]), row["track"]) for row in rows] == [(n, "0") for n in range(FRAMES)]
    assert [float(row["time"]) for row in rows] == [pytest.approx(n / RATE) for n in range(FRAMES)]
    lefts = [float(row["left"]) for row in rows]
    assert lefts[0] - lefts[-1] == pytest.approx(4 * (FRAMES - 1), abs=8)
    assert "12 faces in 12 pictures, 1 not read" in capsys.readouterr().err
    (made,) = drawn.iterdir()
    (source,) = find_inputs([made])
    assert made.name == "clip.mp4"
    annotated, plain = list(read_frames(source)), list(read_frames(find_inputs([clip])[0]))
    assert [each.time for each in annotated] == [each.time for each in plain]
    changed = np.abs(annotated[5].pixels.astype(int) - plain[5].pixels).max(2) > 80
    assert changed.mean() > 0.005
    assert run_predict([clip], model, every=6, form="jsonl") == 0
    assert capsys.readouterr().out.count('"frame": ') == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("webcam:97", "no such camera"),
        ("broken.mp4", "not a video that can be read"),
        ("absent.mp4", "cannot be read (No such file or directory)"),
    ],
)
def test_what_gives_no_frame_is_said_by_us_alone(
    given: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("broken.mp4").write_bytes(b"no video")
    model = write_model(tmp_path / "model.onnx", {"expression": EXPRESSIONS})
    assert run_predict([given], model, form="jsonl") == 1
    lines = capfd.readouterr().err.splitlines()
    assert lines == [f"warning: {given}: {said}", "0 faces in 0 pictures, 1 not read"]
