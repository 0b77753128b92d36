"""Parquet: a row a face, numbers as numbers; needs the extra ``[parquet]``."""

from __future__ import annotations

import importlib
from typing import Any

from hybridface.errors import UsageError
from hybridface.inference.output.base import Writer
from hybridface.inference.photos import Photo

ROWS = 10_000
WHOLE = ("frame", "track")


class ParquetWriter(Writer):
    """Writes row groups of 10,000 faces."""

    def start(self) -> None:
        """Open the file."""
        try:
            arrow: Any = importlib.import_module("pyarrow")
            parquet: Any = importlib.import_module("pyarrow.parquet")
        except ModuleNotFoundError as error:
            raise UsageError('Parquet needs an extra: pip install "hybridface[parquet]"') from error
        self._arrow = arrow
        text = {"image"} | {n for n, task in self.tasks.items() if task.kind == "classification"}
        fields = [(name, self._type(name, text)) for name in self.columns()]
        self._schema = arrow.schema(fields)
        self._file = parquet.ParquetWriter(self.out, self._schema)
        self._waiting: list[list[Any]] = []

    def _type(self, name: str, text: set[str]) -> Any:
        if name in text:
            return self._arrow.string()
        return self._arrow.int64() if name in WHOLE else self._arrow.float64()

    def add(self, photo: Photo) -> None:
        """Keep the rows of a picture, and write those that wait once they are many."""
        self._waiting += [self.row(photo, face) for face in photo.faces]
        if len(self._waiting) >= ROWS:
            self._flush()

    def end(self) -> None:
        """Write the rows that wait."""
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        columns = list(map(list, zip(*self._waiting, strict=True))) or [[] for _ in self._schema]
        arrays = [
            self._arrow.array(values, type=field.type)
            for values, field in zip(columns, self._schema, strict=True)
        ]
        self._file.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._waiting = []
