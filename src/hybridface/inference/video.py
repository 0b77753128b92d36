"""Videos and cameras as a stream of frames, with faces followed from frame to frame."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.inference.detection.base import Picture, overlaps
from hybridface.inference.inputs import Input
from hybridface.inference.photos import FaceReader, Photo

FRAMES = 8


class Tracker:
    """Numbers faces through the frames of one video by how much their boxes overlap.

    Args:
        least_overlap: A face goes on where its box overlaps the last one by this at least.
        patience: Frames that a face may be missing and still keep its number.
    """

    def __init__(self, least_overlap: float = 0.3, patience: int = 15) -> None:
        self.least_overlap, self.patience = least_overlap, patience
        self._next = 0
        self._boxes: dict[int, NDArray[np.float32]] = {}
        self._missing: dict[int, int] = {}

    def update(self, boxes: NDArray[np.float32]) -> list[int]:
        """Take the boxes ``(N, 4)`` of the next frame; return the number of each face."""
        known = list(self._boxes)
        before = np.array([self._boxes[each] for each in known], np.float32).reshape(-1, 4)
        shared = overlaps(boxes, before)
        numbers = [-1] * len(boxes)
        while shared.size and shared.max() >= self.least_overlap:
            ours, theirs = np.unravel_index(int(shared.argmax()), shared.shape)
            numbers[int(ours)] = known[int(theirs)]
            shared[ours, :] = -1
            shared[:, theirs] = -1
        for place, number in enumerate(numbers):
            if number < 0:
                numbers[place], self._next = self._next, self._next + 1
        self._remember(dict(zip(numbers, boxes, strict=True)))
        return numbers

    def _remember(self, seen: dict[int, NDArray[np.float32]]) -> None:
        missing = {each: self._missing[each] + 1 for each in self._boxes if each not in seen}
        kept = {each for each, count in missing.items() if count <= self.patience}
        self._boxes = {each: self._boxes[each] for each in kept} | seen
        self._missing = {each: missing.get(each, 0) for each in self._boxes}


@dataclass(frozen=True)
class Frame:
    """A picture of a video: its number from 0, its time in seconds, RGB uint8 pixels.

    The time of a camera's frame is what passed since the first one. The rate is how many frames a
    second are read, on average, and the length the seconds that the video says it lasts, 0 where it
    does not say; None for a camera.
    """

    number: int
    time: float
    pixels: Picture
    rate: float | None = None
    length: float | None = None


def opencv() -> Any:
    """Return OpenCV, which says nothing of its own on standard error: what fails is said by us."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2: Any = importlib.import_module("cv2")  # only here: importing it is slow
    if hasattr(cv2, "setLogLevel"):
        cv2.setLogLevel(0)
    else:  # since OpenCV 5
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


@contextmanager
def _opened(source: Input) -> Iterator[Any]:
    """Open a video or a camera; gives None where that fails."""
    cv2 = opencv()
    capture = cv2.VideoCapture(source.camera if source.kind == "camera" else source.name)
    try:
        yield capture if capture.isOpened() else None
    finally:
        capture.release()


def count_frames(source: Input, every: int = 1) -> int | None:
    """Return about how many frames will be read; None for a camera or where nobody knows."""
    if source.kind == "camera":
        return None
    cv2 = opencv()
    with _opened(source) as capture:
        frames = 0 if capture is None else int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return -(-frames // every) if frames > 0 else None


def read_frames(source: Input, every: int = 1) -> Iterator[Frame]:
    """Read the frames of a video or camera, one at a time; none where it cannot be read.

    Args:
        source: The video or camera.
        every: 1 for all frames, 2 for every second.
    """
    cv2 = opencv()
    with _opened(source) as capture:
        if capture is None:
            return
        live = source.kind == "camera"
        said = capture.get(cv2.CAP_PROP_FPS)
        rate = said or 25.0
        length = max(0.0, capture.get(cv2.CAP_PROP_FRAME_COUNT)) / said if said > 0 else 0.0
        number, start = 0, 0.0
        while capture.grab():
            now = time.monotonic()
            start = start if number else now
            if number % every == 0:
                whole, picture = capture.retrieve()
                if whole and picture is not None:
                    pixels = np.ascontiguousarray(picture[:, :, ::-1])
                    # A camera gives fewer frames than it says where reading them takes longer.
                    passed = now - start if live else _stream_time(capture) or number / rate
                    about = (None, None) if live else (rate / every, length)
                    yield Frame(number, round(passed, 3), pixels, *about)
            number += 1


def _stream_time(capture: Any) -> float:
    """Return when the frame is shown, in seconds, as frames may come unevenly; 0 if not known."""
    seconds: float = capture.get(opencv().CAP_PROP_POS_MSEC) / 1000
    return max(0.0, seconds)


def read_video(reader: FaceReader, source: Input, every: int = 1) -> Iterator[Photo]:
    """Read the faces of a video or camera, a :class:`Photo` a frame, in constant memory.

    Args:
        reader: What reads a picture.
        source: The video or camera.
        every: 1 for all frames, 2 for every second.

    Returns:
        An iterator; a source without a single frame gives one photo with an error, and so does, at
        its end, a video that is cut short.
    """
    most = 1 if source.kind == "camera" else min(FRAMES, reader.batch_size)
    tracker, waiting, last = Tracker(), list[Frame](), None
    for frame in read_frames(source, every):
        waiting.append(frame)
        last = frame
        if len(waiting) == most:
            yield from _read_batch(reader, tracker, source, waiting)
            waiting = []
    yield from _read_batch(reader, tracker, source, waiting)
    if last is None:
        yield Photo(source.name, error=_why_unread(source))
    elif _is_cut_short(last):
        said = (
            f"its last frame is at {last.time:.1f} of {last.length:.1f} s; is the file cut short?"
        )
        yield Photo(source.name, error=said)


def _is_cut_short(last: Frame) -> bool:
    """Say whether a video ends well before what it says.

    The last frame may be shown for longer than others, and lengths are often estimates.
    """
    if last.rate is None or last.length is None:
        return False
    return last.length - last.time - 1 / last.rate > max(1.0, last.length / 10)


def _why_unread(source: Input) -> str:
    if source.kind == "camera":
        return "no such camera"
    try:
        source.path.open("rb").close()
    except (OSError, ValueError) as error:
        return f"cannot be read ({getattr(error, 'strerror', None) or error})"
    return "not a video that can be read"


def _read_batch(
    reader: FaceReader, tracker: Tracker, source: Input, frames: list[Frame]
) -> Iterator[Photo]:
    photos = reader.read([frame.pixels for frame in frames], [source.name] * len(frames))
    for frame, photo in zip(frames, photos, strict=True):
        boxes = np.array([face.box for face in photo.faces], np.float32).reshape(-1, 4)
        numbers = tracker.update(boxes)
        faces = [
            replace(face, track=number) for face, number in zip(photo.faces, numbers, strict=True)
        ]
        yield replace(photo, faces=faces, frame=frame.number, time=frame.time, rate=frame.rate)
