"""What was found, drawn into pictures and videos: box, bars of a classification, axes of a pose."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hybridface.errors import HybridFaceError, one_line
from hybridface.files import cannot_write
from hybridface.inference.detection.base import Picture
from hybridface.inference.inputs import Input
from hybridface.inference.metadata import ModelTask
from hybridface.inference.photos import Face, Photo
from hybridface.inference.readings import Reading, in_words
from hybridface.inference.video import count_frames, opencv
from hybridface.rotations import ANGLES, picture_axes

BOX, TEXT, SHADE, BAR = (64, 200, 120), (255, 255, 255), (20, 20, 20), (90, 140, 230)
AXES = {"right": (220, 60, 60), "down": (70, 190, 70), "nose": (70, 110, 230)}
MOST_BARS = 3
MOST_JPEG_SIDE = 65_500
LIVE_RATE = 25.0


def annotate(photo: Photo, tasks: Mapping[str, ModelTask]) -> Picture:
    """Draw the faces of a photo into a copy of it.

    Args:
        photo: The photo, with its pixels.
        tasks: The model's tasks.

    Returns:
        RGB uint8 ``(H, W, 3)``.
    """
    image = Image.fromarray(np.ascontiguousarray(photo.pixels))
    pen = ImageDraw.Draw(image, "RGBA")
    for face in photo.faces:
        _draw_face(pen, face, tasks, image.size)
    return np.asarray(image)


def _draw_face(
    pen: ImageDraw.ImageDraw, face: Face, tasks: Mapping[str, ModelTask], size: tuple[int, int]
) -> None:
    left, top, _, bottom = face.box
    letter = min(max(10, round((bottom - top) / 11)), max(10, size[1] // 24))
    font = ImageFont.load_default(letter)
    pen.rectangle(face.box, outline=BOX, width=max(1, letter // 6))
    if face.track is not None:
        pen.text((left + 3, top + 1), f"#{face.track}", fill=BOX, font=font)
    lines: list[tuple[str, float | None]] = []
    for name, task in tasks.items():
        reading = face.readings[name]
        if task.kind == "pose":
            _draw_axes(pen, face, reading, max(2, letter // 5))
        if task.kind == "classification":
            chances = reading["probabilities"]
            ranked = sorted(chances, key=lambda each, of=chances: -of[each])  # type: ignore[misc]
            for each in ranked[:MOST_BARS]:
                lines.append((one_line(f"{each} {chances[each]:.0%}"), chances[each]))
        else:
            lines.append((one_line(f"{name}: {in_words(task, reading)}"), None))
    _draw_lines(pen, lines, (left, bottom), font, size)


def _draw_lines(
    pen: ImageDraw.ImageDraw,
    lines: list[tuple[str, float | None]],
    place: tuple[float, float],
    font: Any,
    size: tuple[int, int],
) -> None:
    """Write lines below a place, or as near as the picture has room; bars behind probabilities."""
    if not lines:
        return
    tall = round(font.size * 1.25)
    wide = max(round(pen.textlength(text, font=font)) for text, _ in lines) + font.size
    left = max(0, min(place[0], size[0] - wide))
    top = max(0, min(place[1] + 2, size[1] - tall * len(lines)))
    pen.rectangle((left, top, left + wide, top + tall * len(lines)), fill=(*SHADE, 150))
    for number, (text, part) in enumerate(lines):
        y = top + number * tall
        if part is not None:
            pen.rectangle((left, y, left + wide * part, y + tall - 1), fill=(*BAR, 200))
        pen.text((left + font.size // 3, y), text, fill=TEXT, font=font)


def _draw_axes(pen: ImageDraw.ImageDraw, face: Face, reading: Reading, width: int) -> None:
    left, top, right, bottom = face.box
    if face.landmarks:
        x, y = face.landmarks[2]
    else:
        x, y = (left + right) / 2, (top + bottom) / 2
    length = (right - left + bottom - top) / 4
    angles = np.array([[reading[name] for name in ANGLES]])
    right, top, nose = picture_axes(angles)[0] * length
    for (across, down), colour in zip((right, -top, nose), AXES.values(), strict=True):
        pen.line((x, y, x + across, y + down), fill=colour, width=width)


class Painter:
    """Writes annotated pictures and videos into a folder; a context that closes its videos.

    A picture becomes ``NAME.jpg``, or ``NAME.png`` where it is too long for a JPEG, a video
    ``NAME.mp4``; a name that is taken, by an earlier one or by a file that is there, gets a number.
    What a camera shows is written at 25 frames a second, each as often as its time asks for.

    Args:
        folder: Where to; made if it is not there.
        tasks: The model's tasks.

    Raises:
        HybridFaceError: The folder cannot be made.
    """

    def __init__(self, folder: Path, tasks: Mapping[str, ModelTask]) -> None:
        self.folder, self.tasks = folder, tasks
        self._taken: set[str] = set()
        self._video: Any = None
        self._of: tuple[str, tuple[int, int]] | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the video that is being written.

        Raises:
            HybridFaceError: It could not be written.
        """
        self._end_video()

    def paint(self, photo: Photo) -> None:
        """Write a picture, or the next frame of a video; nothing where it could not be read.

        Raises:
            HybridFaceError: The file cannot be written.
        """
        if photo.pixels is None:
            return
        pixels = annotate(photo, self.tasks)
        if photo.frame is not None:
            self._add_frame(photo, pixels)
            return
        place = self._place(photo.name, ".jpg" if max(photo.size) <= MOST_JPEG_SIDE else ".png")
        try:
            Image.fromarray(pixels).save(place, quality=90)
        except OSError as error:
            raise cannot_write(place, error) from error

    def _place(self, name: str, suffix: str) -> Path:
        stem = Path(name).stem.replace(":", "-") or "picture"
        free = f"{stem}{suffix}"
        number = 2
        while free in self._taken or (self.folder / free).exists():
            free, number = f"{stem}-{number}{suffix}", number + 1
        self._taken.add(free)
        return self.folder / free

    def _add_frame(self, photo: Photo, pixels: Picture) -> None:
        of = (photo.name, photo.size)
        if self._of != of:  # another video, or frames of another size
            self._end_video()
            self._start_video(photo)
            self._of, self._written, self._start = of, 0, photo.time or 0.0
        times = 1
        if photo.rate is None:
            times = round(((photo.time or 0.0) - self._start) * LIVE_RATE) + 1 - self._written
        for _ in range(times):
            self._video.write(pixels[:, :, ::-1])
            self._written += 1

    def _start_video(self, photo: Photo) -> None:
        cv2 = opencv()
        self._file = self._place(photo.name, ".mp4")
        code = cv2.VideoWriter_fourcc(*"mp4v")
        self._video = cv2.VideoWriter(str(self._file), code, photo.rate or LIVE_RATE, photo.size)
        if not self._video.isOpened():
            raise HybridFaceError(f"{self._file}: cannot be written as a video (mp4v)")

    def _end_video(self) -> None:
        if self._video is None:
            return
        self._video.release()
        self._video = self._of = None
        if count_frames(Input(self._file, "video")) is None:  # OpenCV says nothing of a full disk
            raise HybridFaceError(
                f"{self._file}: could not be written as a video, and cannot be played; is there "
                "room on the disk?"
            )
