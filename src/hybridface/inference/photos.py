"""From whole photos to faces and what a model says of each, batched over photos."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface import images
from hybridface.errors import DataError, UsageError
from hybridface.inference.detection import open_detector
from hybridface.inference.detection.base import Detections, Detector, Picture
from hybridface.inference.inputs import Input
from hybridface.inference.readings import Reading, read_row, without_numbers
from hybridface.inference.runtime import FaceModel, load

MOST_HELD = 64_000_000
MOST_AHEAD = 4


@dataclass(frozen=True)
class Face:
    """A face and what the model says of it.

    Attributes:
        box: Left, top, right and bottom in pixels of the upright picture.
        readings: What the model says by task; see :func:`~hybridface.inference.readings.read_row`.
        score: How sure the detector is, in [0, 1]; None where none was asked.
        landmarks: Five points ``(x, y)``: the eyes, the nose, the corners of the mouth, each pair
            from left to right; empty where there are none.
        track: The number of the face in its video; None in a picture.
    """

    box: tuple[float, ...]
    readings: Mapping[str, Reading]
    score: float | None = None
    landmarks: tuple[tuple[float, float], ...] = ()
    track: int | None = None


@dataclass(frozen=True)
class Photo:
    """A picture, or a frame of a video, with the faces in it.

    Attributes:
        name: The file.
        faces: The surest first; none where there is none, or where the file failed.
        size: Width and height in pixels, after turning by EXIF.
        error: What is wrong with it, or None.
        frame: The number of the frame in its video, from 0; None for a picture.
        time: Seconds from the start of the video.
        rate: Frames a second that are read of the video, on average; None for pictures and cameras.
        pixels: The picture, RGB uint8 ``(H, W, 3)``; None where the file failed.
        left_out: How many faces were found beyond those that are read at most.
    """

    name: str
    faces: Sequence[Face] = ()
    size: tuple[int, int] = (0, 0)
    error: str | None = None
    frame: int | None = None
    time: float | None = None
    rate: float | None = None
    pixels: Picture | None = field(default=None, repr=False, compare=False)
    left_out: int = 0


class FaceReader:
    """Finds the faces of photos and reads each with a model.

    Args:
        model: A loaded model, a model file, a run folder or ``default``; None for the one that
            ships.
        detector: A detector, its name, or None where each picture is one face, cut already.
        batch_size: How many faces the model sees at once, and at most how many pictures are held.
        most_faces: How many faces of a picture are read, the surest; None for all.

    Raises:
        UsageError: There is no such model or detector, or a number is less than 1.
        HybridFaceError: The model or the detector cannot be loaded.
    """

    def __init__(
        self,
        model: FaceModel | str | Path | None = None,
        detector: Detector | str | None = "centerface",
        batch_size: int = 16,
        most_faces: int | None = None,
    ) -> None:
        for name, number in (("batch_size", batch_size), ("most_faces", most_faces)):
            if number is not None and number < 1:
                raise UsageError(f"{name}: expected at least 1, got {number}")
        self.model = model if isinstance(model, FaceModel) else load(model)
        self.detector = open_detector(detector) if isinstance(detector, str) else detector
        self.batch_size = batch_size
        self.most_faces = most_faces

    def read(self, pictures: Sequence[Picture], names: Sequence[str] | None = None) -> list[Photo]:
        """Read pictures that are in memory, as one batch.

        Args:
            pictures: RGB, each uint8 ``(H, W, 3)``, of any sizes.
            names: What to call them.

        Returns:
            A :class:`Photo` a picture.

        Raises:
            UsageError: A picture has another shape or type.
            HybridFaceError: ONNX Runtime failed.
        """
        for number, picture in enumerate(pictures):
            images.check(picture, number)
        if self.detector is None:
            found, beyond = [_whole(picture) for picture in pictures], [0] * len(pictures)
            outputs = self.model.predict(pictures, self.batch_size)
        else:
            found, beyond = self._detect(pictures)
            cut = [
                self.model.crop.cut(picture, faces.boxes, self.model.size)
                for picture, faces in zip(pictures, found, strict=True)
            ]
            size = self.model.size
            every = np.concatenate([*cut, np.zeros((0, size, size, 3), np.uint8)])
            outputs = self.model.predict(every, self.batch_size)
        photos, start = [], 0
        for number, (picture, faces) in enumerate(zip(pictures, found, strict=True)):
            own = {name: rows[start : start + len(faces)] for name, rows in outputs.items()}
            photo = self._photo(names[number] if names else "", picture, faces, own)
            photos.append(replace(photo, left_out=beyond[number]))
            start += len(faces)
        return photos

    def _detect(self, pictures: Sequence[Picture]) -> tuple[list[Detections], list[int]]:
        """Return the faces that are read, and how many more there are in each picture."""
        assert self.detector is not None
        found = self.detector.detect(pictures)
        kept = [each.first(self.most_faces) for each in found]
        return kept, [len(all_) - len(few) for all_, few in zip(found, kept, strict=True)]

    def _photo(
        self,
        name: str,
        picture: Picture,
        found: Detections,
        outputs: Mapping[str, NDArray[np.float32]],
    ) -> Photo:
        size = (picture.shape[1], picture.shape[0])
        if wrong := without_numbers(outputs):
            error = f"the model gives no numbers (NaN) for task '{wrong[0]}'"
            return Photo(name, size=size, error=error, pixels=picture)
        faces = []
        for row in range(len(found)):
            points = found.landmarks[row]
            known = bool(np.isfinite(points).all())
            faces.append(
                Face(
                    box=tuple(_rounded(found.boxes[row])),
                    readings={
                        task: read_row(self.model.tasks[task], rows[row])
                        for task, rows in outputs.items()
                    },
                    score=None if self.detector is None else round(float(found.scores[row]), 4),
                    landmarks=tuple((x, y) for x, y in map(_rounded, points)) if known else (),
                )
            )
        return Photo(name, faces, size, pixels=picture)

    def read_files(self, files: Iterable[Input]) -> Iterator[Photo]:
        """Read picture files, in order; what is decoded ahead is bounded in number and pixels.

        Args:
            files: The pictures; see :func:`~hybridface.inference.inputs.find_inputs`.

        Returns:
            An iterator with one :class:`Photo` a file. A file that is no picture comes with an
            error in its place.

        Raises:
            HybridFaceError: ONNX Runtime failed.
        """
        waiting: list[tuple[str, Picture | str]] = []
        held = 0
        for name, loaded in _decoded_ahead(files):
            waiting.append((name, loaded))
            held += 0 if isinstance(loaded, str) else loaded.size // 3
            if len(waiting) >= self.batch_size or held >= MOST_HELD:
                yield from self._read_loaded(waiting)
                waiting, held = [], 0
        yield from self._read_loaded(waiting)

    def _read_loaded(self, loaded: Sequence[tuple[str, Picture | str]]) -> Iterator[Photo]:
        intact = [(name, each) for name, each in loaded if not isinstance(each, str)]
        photos = iter(self.read([each for _, each in intact], [name for name, _ in intact]))
        for name, each in loaded:
            yield Photo(name, error=each) if isinstance(each, str) else next(photos)


def _rounded(numbers: NDArray[np.float32]) -> list[float]:
    """Return pixels to a hundredth."""
    return [round(float(number), 2) for number in numbers]


def _whole(picture: Picture) -> Detections:
    """Return the whole picture as one face."""
    box = np.array([[0, 0, picture.shape[1], picture.shape[0]]], np.float32)
    return Detections(box, np.ones(1, np.float32), np.full((1, 5, 2), np.nan, np.float32))


def _decoded_ahead(files: Iterable[Input]) -> Iterator[tuple[str, Picture | str]]:
    """Decode in threads, a few files ahead of what is asked for; an error takes its place.

    Of large pictures fewer are decoded ahead: together they have at most 64 million pixels, unless
    one alone has more.
    """
    ahead = min(os.cpu_count() or 1, MOST_AHEAD)
    waiting: deque[tuple[str, int, Future[Picture | str]]] = deque()
    held = 0
    with ThreadPoolExecutor(ahead) as pool:
        for each in files:
            pixels = images.count_pixels(each.path)
            while waiting and (len(waiting) > ahead or held + pixels > MOST_HELD):
                name, done, future = waiting.popleft()
                held -= done
                yield name, future.result()
            waiting.append((each.name, pixels, pool.submit(_load, each.path)))
            held += pixels
        for name, _, future in waiting:
            yield name, future.result()


def _load(path: Path) -> Any:
    """Return the picture, or what is wrong with its file."""
    try:
        if path.is_dir():
            return "a folder that holds no picture"
        return images.read(path)
    except (DataError, OSError) as error:
        return str(error).removeprefix(f"{path}: ")
