"""CSV: a head and a row a face."""

from __future__ import annotations

import csv
from typing import Any

from hybridface.inference.output.base import TextWriter
from hybridface.inference.photos import Photo


class CsvWriter(TextWriter):
    """Writes a row a face; a picture without one has no row."""

    def start(self) -> None:
        """Write the head."""
        super().start()
        self._rows: Any = csv.writer(self.stream, lineterminator="\n")
        self._rows.writerow(self.columns())

    def add(self, photo: Photo) -> None:
        """Write the rows of a picture."""
        self._rows.writerows(self.row(photo, face) for face in photo.faces)
