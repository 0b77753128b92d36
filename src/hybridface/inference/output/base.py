"""What all writers share: where to, and what a row of a face is called."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from hybridface.files import cannot_write
from hybridface.inference.metadata import ModelTask
from hybridface.inference.photos import Face, Photo
from hybridface.inference.readings import column_names, column_values


class Writer(ABC):
    """Writes photos as they come, in constant memory; a context that closes its file.

    Args:
        out: The file; None for standard output.
        tasks: The model's tasks.
        names: What the inputs are called.
        moves: Whether there are videos among them.
    """

    def __init__(
        self,
        out: Path | None,
        tasks: Mapping[str, ModelTask],
        names: Sequence[str],
        *,
        moves: bool,
    ) -> None:
        self.out, self.tasks, self.names, self.moves = out, tasks, names, moves

    def __enter__(self) -> Self:
        """Open the file, in a folder that is made if need be, and write what stands at its start.

        Raises:
            HybridFaceError: It cannot be written.
        """
        try:
            if self.out is not None:
                self.out.parent.mkdir(parents=True, exist_ok=True)
            self.start()
        except OSError as error:
            raise self._refused(error) from error
        return self

    def write(self, photo: Photo) -> None:
        """Write one picture or frame.

        Raises:
            HybridFaceError: The file cannot be written.
        """
        try:
            self.add(photo)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._refused(error) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file, where what was held back is written.

        Raises:
            HybridFaceError: It cannot be written.
        """
        try:
            self.end()
        except BrokenPipeError:
            raise
        except OSError as broken:
            raise self._refused(broken) from broken

    @abstractmethod
    def start(self) -> None:
        """Open the file and write its head."""

    @abstractmethod
    def add(self, photo: Photo) -> None:
        """Write one picture or frame."""

    @abstractmethod
    def end(self) -> None:
        """Write what is left and close the file."""

    def columns(self) -> list[str]:
        """Return the columns of a row a face."""
        place = ["left", "top", "right", "bottom", "score"]
        moving = ["frame", "time", "track"] if self.moves else []
        return ["image", *moving, *place, *column_names(self.tasks)]

    def row(self, photo: Photo, face: Face) -> list[Any]:
        """Return the values of :meth:`columns`."""
        moving = [photo.frame, photo.time, face.track] if self.moves else []
        readings = column_values(self.tasks, face.readings)
        return [photo.name, *moving, *face.box, face.score, *readings]

    def _refused(self, error: OSError) -> Exception:
        return error if self.out is None else cannot_write(self.out, error)


class TextWriter(Writer):
    """A writer of lines, to a file or standard output."""

    stream: TextIO

    def start(self) -> None:
        """Open the file; a subclass writes its head after this."""
        if self.out is None:
            self.stream = sys.stdout
        else:
            self.stream = self.out.open("w", encoding="utf-8", newline="")

    def end(self) -> None:
        """Close the file."""
        if self.out is not None:
            self.stream.close()
        else:
            self.stream.flush()
