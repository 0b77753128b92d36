from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hybridface.errors import HybridFaceError
from hybridface.inference.draw import AXES, LIVE_RATE, Painter, annotate
from hybridface.inference.inputs import Input
from hybridface.inference.metadata import ModelTask
from hybridface.inference.photos import Face, Photo
from hybridface.inference.video import opencv, read_frames

TASKS = {"pose": ModelTask("pose"), "age": ModelTask("regression", unit="years")}


@pytest.mark.parametrize("box", [(2, 2, 8, 8), (-5, -5, 300, 300), (60, 40, 79, 59)])
def test_whatever_the_box_a_copy_is_drawn_into(box: tuple[float, ...]) -> None:
    pixels = np.full((60, 80, 3), 200, np.uint8)
    readings = {
        "pose": {"yaw": 40.0, "pitch": -10.0, "roll": 5.0},
        "age": {"mean": 30.0, "deviation": 5.0, "unit": "years"},
    }
    photo = Photo("a", [Face(box, readings, track=3)], (80, 60), pixels=pixels)
    drawn = annotate(photo, TASKS)
    assert (pixels == 200).all()
    assert drawn.shape == pixels.shape and (drawn != 200).any()
    np.testing.assert_array_equal(annotate(Photo("a", pixels=pixels), TASKS), pixels)


@pytest.mark.parametrize(
    ("pose", "axis", "right", "down"),
    [
        ((60.0, 0.0, 0.0), "nose", 1, 0), ((-60.0, 0.0, 0.0), "nose", -1, 0),
        ((0.0, 40.0, 0.0), "nose", 0, -1), ((0.0, 0.0, 0.0), "down", 0, 1),
        ((0.0, 0.0, 0.0), "right", 1, 0), ((0.0, 0.0, 30.0), "down", -1, 1),
    ],
)  # fmt: skip
def test_axes_point_where_the_head_does(
    pose: tuple[float, float, float], axis: str, right: int, down: int
) -> None:
    pixels = np.zeros((200, 200, 3), np.uint8)
    readings = {"pose": dict(zip(("yaw", "pitch", "roll"), pose, strict=True))}
    photo = Photo("a", [Face((60, 60, 140, 140), readings)], (200, 200), pixels=pixels)
    drawn = annotate(photo, {"pose": ModelTask("pose")})[61:139, 61:139]
    rows, columns = np.nonzero((drawn == AXES[axis]).all(2))
    assert len(rows) > 20
    for middle, sign in ((columns.mean() - 39, right), (rows.mean() - 39, down)):
        assert abs(middle) < 4 if sign == 0 else middle * sign > 4


def test_a_picture_too_long_for_a_jpeg_is_no_reason_to_stop(tmp_path: Path) -> None:
    pixels = np.zeros((2, 65_501, 3), np.uint8)
    with Painter(tmp_path, {}) as painter:
        painter.paint(Photo("long.tif", size=(65_501, 2), pixels=pixels))
    assert [each.name for each in tmp_path.iterdir()] == ["long.png"]


def frame(number: int, time: float, rate: float | None) -> Photo:
    pixels = np.full((32, 32, 3), 20 * number, np.uint8)
    return Photo("clip.avi", (), (32, 32), None, number, time, rate, pixels)


def test_a_drawn_video_is_as_long_as_its_own(tmp_path: Path) -> None:
    with Painter(tmp_path, {}) as painter:
        for number in range(12):
            painter.paint(frame(number, round(number * 1.001 / 30, 3), 30 / 1.001))
    cv2 = opencv()
    film = cv2.VideoCapture(str(tmp_path / "clip.mp4"))
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(29.97, abs=0.01)
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 12


def test_what_a_camera_gives_unevenly_is_drawn_at_its_own_pace(tmp_path: Path) -> None:
    with Painter(tmp_path, {}) as painter:
        for number, time in enumerate((0.0, 0.6, 0.7, 0.71, 1.0)):
            painter.paint(frame(number, time, None))
    frames = list(read_frames(Input(tmp_path / "clip.mp4", "video")))
    assert len(frames) == LIVE_RATE + 1
    assert [round(frames[at].pixels.mean() / 20) for at in (0, 1, 25)] == [0, 1, 4]


def test_a_video_that_the_disk_had_no_room_for_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    painter = Painter(tmp_path, {})
    painter.paint(frame(0, 0.0, 10.0))
    monkeypatch.setattr("hybridface.inference.draw.count_frames", lambda source: None)
    with pytest.raises(HybridFaceError, match=r"clip\.mp4: could not be written"), painter:
        pass
