"""JSON Lines: one object a picture or frame."""

from __future__ import annotations

import codecs
import json
from typing import Any

from hybridface.inference.output.base import TextWriter
from hybridface.inference.photos import Face, Photo


class JsonLinesWriter(TextWriter):
    """Writes ``{"image": …, "faces": [{"box": […], TASK: {…}}]}``, with ``error`` on failure."""

    def start(self) -> None:
        """Open the file; what is no UTF-8 gets letters beyond ASCII by their numbers."""
        super().start()
        self._ascii = codecs.lookup(self.stream.encoding or "utf-8").name != "utf-8"

    def add(self, photo: Photo) -> None:
        """Write one line."""
        said = content_of(photo)
        self.stream.write(json.dumps(said, ensure_ascii=self._ascii, allow_nan=False) + "\n")


def content_of(photo: Photo) -> dict[str, Any]:
    """Return a picture or frame as an object of JSON."""
    said: dict[str, Any] = {"image": photo.name}
    if photo.frame is not None:
        said |= {"frame": photo.frame, "time": photo.time}
    if photo.size != (0, 0):
        said |= {"width": photo.size[0], "height": photo.size[1]}
    said["faces"] = [_face(face) for face in photo.faces]
    if photo.left_out:
        said["faces_left_out"] = photo.left_out
    if photo.error is not None:
        said["error"] = photo.error
    return said


def _face(face: Face) -> dict[str, Any]:
    said: dict[str, Any] = {"box": face.box}
    if face.score is not None:
        said["score"] = face.score
    if face.landmarks:
        said["landmarks"] = face.landmarks
    if face.track is not None:
        said["track"] = face.track
    return said | dict(face.readings)
