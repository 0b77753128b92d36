"""Label tables in Parquet files, with the paths of pictures or the pictures. No kind of its own."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from hybridface import images
from hybridface.data.source import Made, Pixels, Problem, in_threads
from hybridface.data.sources.tables import NOT_UTF8, Table, Tally, check_columns
from hybridface.errors import DataError, HybridFaceError

SUFFIXES = (".parquet", ".pq")
_ROWS_AT_ONCE = 256
_PICTURES_AT_ONCE = 32
_BUFFER = 1 << 20


@dataclass(frozen=True)
class ParquetTable(Table):
    """A Parquet file of which only the schema has been read; its lines are its rows, from 1.

    Attributes:
        names: Column names with whatever space is around them.
        types: pyarrow's type of each column.
    """

    names: tuple[str, ...]
    types: tuple[Any, ...]

    def wrong_type(self, place: int) -> str:
        """Return the type of a column that holds neither text nor numbers; empty for others."""
        return "" if _is_text(self.types[place]) else str(self.types[place])

    def pictures(self, place: int) -> EmbeddedPictures | None:
        """Return what decodes the pictures that a column holds; None where it holds none."""
        kind = self.types[place]
        if _is_bytes(kind):
            return EmbeddedPictures(self.path, self.names[place])
        index = kind.get_field_index("bytes") if _is("struct", kind) else -1
        if index >= 0 and _is_bytes(kind.field(index).type):
            return EmbeddedPictures(self.path, f"{self.names[place]}.bytes")
        return None

    def rows(self, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
        """Read the rows, some hundred at a time; columns of other types are not read.

        A cell of a column that :meth:`wrong_type` names is the name of the row.

        Args:
            problems: Gets one problem for all rows with bytes that are not UTF-8.

        Yields:
            The number of the row, and its cells without outer space; empty ones where null.

        Raises:
            DataError: The file is damaged.
        """
        doubtful = Tally()
        wanted = [place for place in range(len(self.columns)) if not self.wrong_type(place)]
        number = 0
        for batch in self._batches([self.names[place] for place in wanted]):
            texts = {place: _texts(batch.column(self.names[place])) for place in wanted}
            for row in range(batch.num_rows):
                number += 1
                where = self.where(number)
                cells = [
                    texts[place][row] if place in texts else where
                    for place in range(len(self.columns))
                ]
                if any("\ufffd" in cell for cell in cells):
                    doubtful.add(where, NOT_UTF8)
                yield number, cells
        problems.extend(doubtful.problems())

    def _batches(self, names: list[str]) -> Iterator[Any]:
        done = 0
        try:
            for batch in _open(self.path).iter_batches(_ROWS_AT_ONCE, columns=names):
                yield batch
                done += batch.num_rows
        except _damage() as error:
            raise DataError(
                f"{self.path}: cannot be read past row {done} ({_first_line(error)}); "
                "expected a whole Parquet file: write or fetch it again"
            ) from error


@dataclass
class EmbeddedPictures:
    """Encoded pictures in a column of a Parquet file, read some at a time, best in order.

    No more is held than some pictures and one page, the least part of a file that can be read;
    how many pictures a page has was decided where the file was written.

    Attributes:
        path: The file.
        column: The column of bytes, with a dot before a field of it.
    """

    path: Path
    column: str
    _starts: list[int] = field(default_factory=list)
    _file: Any = None
    _group: int = -1
    _batches: Iterator[Any] = field(default_factory=lambda: iter(()))
    _first: int = 0
    _cells: Any = ()
    _damaged: dict[int, tuple[int, str]] = field(default_factory=dict)

    def __reduce__(self) -> tuple[type[EmbeddedPictures], tuple[Path, str]]:
        """Let another process open the file by itself."""
        return EmbeddedPictures, (self.path, self.column)

    def decode_each(
        self, keys: Sequence[str], finish: Callable[[Pixels], Made]
    ) -> list[Made | Problem]:
        """Decode the pictures of some rows; see :meth:`Source.decode_each`.

        Args:
            keys: Names of rows, as :meth:`Table.where` gives them.
            finish: Called with the ``(H, W, 3)`` RGB pixels of each picture.
        """

        def one(read: tuple[str, bytes | Problem]) -> Made | Problem:
            key, content = read
            if isinstance(content, Problem):
                return content
            try:
                pixels = images.decode(content, key)
            except DataError as error:
                return Problem(key, str(error).removeprefix(f"{key}: "))
            return finish(pixels)

        made: list[Made | Problem] = []
        for start in range(0, len(keys), _PICTURES_AT_ONCE):
            part = keys[start : start + _PICTURES_AT_ONCE]
            made.extend(in_threads(one, [(key, self._read(key)) for key in part]))
        return made

    def _read(self, key: str) -> bytes | Problem:
        """Return the bytes in a row, or what is wrong with it."""
        try:
            group, offset = self._place(int(key.rpartition(":")[2]) - 1)
        except _damage() as error:  # the file was changed since its labels were read
            return Problem(key, f"the table cannot be read ({_first_line(error)})")
        damaged_from, what = self._damaged.get(group, (offset + 1, ""))
        if offset >= damaged_from:
            return Problem(key, what)
        try:
            content = self._cell(group, offset)
        except StopIteration:
            what = "the table has fewer rows than its end says"
        except _damage() as error:
            what = f"this part of the table is damaged ({_first_line(error)})"
        else:
            return Problem(key, "no picture in the cell") if content is None else content
        self._damaged[group], self._group = (self._first, what), -1
        return Problem(key, what)

    def _place(self, row: int) -> tuple[int, int]:
        """Return the row group that a row is in, and its place there."""
        if self._file is None:
            self._file = _open(self.path)
            end = self._file.metadata
            counts = (end.row_group(group).num_rows for group in range(end.num_row_groups))
            self._starts = [0, *accumulate(counts)]
        group = bisect_right(self._starts, row) - 1
        return group, row - self._starts[group]

    def _cell(self, group: int, offset: int) -> bytes | None:
        """Read on to a cell; from the start of its row group where it lies behind."""
        if group != self._group or offset < self._first:
            self._group, self._first, self._cells = group, 0, ()
            self._batches = self._file.iter_batches(
                _PICTURES_AT_ONCE, row_groups=[group], columns=[self.column]
            )
        while offset >= self._first + len(self._cells):
            self._first, self._cells = self._first + len(self._cells), ()
            self._cells = next(self._batches).column(0)
        value: Any = self._cells[offset - self._first].as_py()
        content: bytes | None = value["bytes"] if isinstance(value, dict) else value
        return content


def open_parquet(path: Path) -> ParquetTable:
    """Read the column names and types of a Parquet file.

    Raises:
        DataError: The file is no whole Parquet file, or has no or ambiguous column names.
        HybridFaceError: pyarrow is not installed.
    """
    try:
        schema = _open(path).schema_arrow
        names, types = tuple(schema.names), tuple(schema.types)
    except _damage() as error:
        raise DataError(
            f"{path}: not a whole Parquet file ({_first_line(error)}); is it one, and not cut "
            "short? Write or fetch it again"
        ) from error
    columns = tuple(name.strip() for name in names)
    check_columns(path, columns, "the table")
    return ParquetTable(path, columns, names, types)


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise HybridFaceError(
            f"Parquet files need pyarrow ({error.name} is missing): "
            'pip install "hybridface[parquet]"'
        ) from error
    return pyarrow


def _damage() -> tuple[type[Exception], ...]:
    """Return what pyarrow raises on damaged files."""
    return (_pyarrow().ArrowException, OSError, ValueError, MemoryError, OverflowError)


def _open(path: Path) -> Any:
    # Columns are streamed, so that a row group of many pictures is never held as a whole.
    return _pyarrow().parquet.ParquetFile(
        path, pre_buffer=False, buffer_size=_BUFFER, page_checksum_verification=True
    )


def _is(name: str, kind: Any) -> bool:
    return bool(getattr(_pyarrow().types, f"is_{name}")(kind))


def _is_string(kind: Any) -> bool:
    return any(_is(name, kind) for name in ("string", "large_string", "string_view"))


def _is_bytes(kind: Any) -> bool:
    return any(
        _is(name, kind) for name in ("binary", "large_binary", "binary_view", "fixed_size_binary")
    )


def _is_text(kind: Any) -> bool:
    if _is("dictionary", kind):
        return _is_text(kind.value_type)
    return _is_string(kind) or any(
        _is(name, kind) for name in ("integer", "floating", "boolean", "null")
    )


def _texts(column: Any) -> list[str]:
    """Return a column's cells as a CSV file would have them; damaged UTF-8 is replaced."""
    if _is("dictionary", column.type):
        column = column.dictionary_decode()
    if _is_string(column.type):
        column = column.cast(_pyarrow().large_binary())
    return [_text(value) for value in column.to_pylist()]


def _text(value: object) -> str:
    if value is None:
        return ""
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
