"""What was found, written as a table to read, JSON Lines, CSV or Parquet; one file a format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hybridface.errors import UsageError, unknown
from hybridface.inference.metadata import ModelTask
from hybridface.inference.output.base import Writer
from hybridface.inference.output.csv_rows import CsvWriter
from hybridface.inference.output.jsonl import JsonLinesWriter
from hybridface.inference.output.parquet import ParquetWriter
from hybridface.inference.output.table import TableWriter

FORMATS: dict[str, type[Writer]] = {
    "table": TableWriter,
    "jsonl": JsonLinesWriter,
    "csv": CsvWriter,
    "parquet": ParquetWriter,
}


def open_writer(
    form: str | None,
    out: Path | None,
    tasks: Mapping[str, ModelTask],
    names: Sequence[str],
    *,
    moves: bool,
) -> Writer:
    """Return a writer, to be used as a context.

    Args:
        form: A name of :data:`FORMATS`; None for what the suffix of ``out`` says, else the table.
        out: The file; None for standard output.
        tasks: The model's tasks.
        names: What the inputs are called, to be as wide as the longest.
        moves: Whether there are videos, whose frames have a time.

    Raises:
        UsageError: There is no such format, or it cannot go there.
        HybridFaceError: The file cannot be written, or Parquet's library is missing.
    """
    suffix = "" if out is None else out.suffix.removeprefix(".").lower()
    if form in FORMATS and suffix in FORMATS and form != suffix:
        raise UsageError(
            f"--out: {out} is {suffix} by its name, and {form} is asked for; leave one of them out"
        )
    if form is None:
        form = "table" if out is None else suffix
        if form not in FORMATS:
            known = " ".join(f".{each}" for each in FORMATS if each != "table")
            raise UsageError(
                f"{out}: the suffix says no format; expected one of {known}, or --format"
            )
    if form not in FORMATS:
        raise unknown("output format", form, FORMATS)
    if form == "parquet" and out is None:
        raise UsageError("Parquet is no text for a terminal: name a file by --out faces.parquet")
    return FORMATS[form](out, tasks, names, moves=moves)
