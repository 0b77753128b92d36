"""A table to read: a line a face, written as it comes."""

from __future__ import annotations

import shutil

from hybridface.errors import one_line
from hybridface.inference.output.base import TextWriter
from hybridface.inference.photos import Face, Photo
from hybridface.inference.readings import in_words, widest_words

BOX = "box"
WIDEST_NAME = 60


class TableWriter(TextWriter):
    """Writes columns as wide as the names of the inputs and the classes of the model allow."""

    def start(self) -> None:
        """Write the head."""
        super().start()
        room = max(20, shutil.get_terminal_size((120, 20)).columns // 3, WIDEST_NAME)
        self._name = min(room, max(len(one_line(name)) for name in [*self.names, "image"]))
        self._widths = {name: widest_words(name, task) for name, task in self.tasks.items()}
        head = ["image".ljust(self._name), *(["time".rjust(8), "track"] if self.moves else [])]
        head += [
            f"{BOX:<17}", *(one_line(name).ljust(width) for name, width in self._widths.items())
        ]  # fmt: skip
        self.stream.write("  ".join(head).rstrip() + "\n")

    def add(self, photo: Photo) -> None:
        """Write a line a face, or that there is none."""
        if photo.error is not None:
            return
        for face in photo.faces:
            self._line(photo, face)
        if not photo.faces and photo.frame is None:
            self.stream.write(f"{self._shown(photo.name)}  no face\n")

    def _line(self, photo: Photo, face: Face) -> None:
        left, top, right, bottom = (round(edge) for edge in face.box)
        parts = [self._shown(photo.name)]
        if self.moves:
            time = "" if photo.time is None else f"{photo.time:.2f}"
            parts += [time.rjust(8), f"{'' if face.track is None else face.track:>5}"]
        parts.append(f"{left},{top} {right - left}x{bottom - top}".ljust(17))
        parts += [
            one_line(in_words(task, face.readings[name])).ljust(self._widths[name])
            for name, task in self.tasks.items()
        ]
        self.stream.write("  ".join(parts).rstrip() + "\n")

    def _shown(self, name: str) -> str:
        """Return the name as wide as its column; of a longer one the end, which tells more."""
        name = one_line(name)
        name = name if len(name) <= self._name else "…" + name[1 - self._name :]
        return name.ljust(self._name)
