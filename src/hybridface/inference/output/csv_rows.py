"""CSV: a head and a row a face."""

from __future__ import annotations

import csv
from typing import Any, TextIO

from hybridface.inference.output.base import TextWriter
from hybridface.inference.photos import Photo


class _Rows:
    """A stream whose rows end in a line feed alone.

    Python's writer puts into quotes what holds one of the signs that its own rows end with: told
    of a line feed alone, it would write a name with a carriage return in it as two rows.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, row: str) -> int:
        return self._stream.write(row.removesuffix("\r\n") + "\n")


class CsvWriter(TextWriter):
    """Writes a row a face; a picture without one has no row."""

    def start(self) -> None:
        """Write the head."""
        super().start()
        self._rows: Any = csv.writer(_Rows(self.stream), lineterminator="\r\n")
        self._rows.writerow(self.columns())

    def add(self, photo: Photo) -> None:
        """Write the rows of a picture."""
        self._rows.writerows(self.row(photo, face) for face in photo.faces)
