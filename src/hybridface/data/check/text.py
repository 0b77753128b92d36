"""A check as text to read on a terminal."""

from __future__ import annotations

import sys
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from hybridface.data.check.counts import NO_SPLIT
from hybridface.data.numbers import decimals_of_range
from hybridface.errors import printable

_WIDTH = 120
_NAMED = 5


def print_check(result: dict[str, Any]) -> None:
    """Print what :func:`hybridface.data.check.findings.check_data` found, on stdout."""
    result = _printable(result)
    width = None if sys.stdout.isatty() else _WIDTH
    console = Console(file=sys.stdout, width=width, markup=False, highlight=False)
    for data in result["data"]:
        _print_data(console, data)
    if len(result["data"]) > 1:
        console.print("\nall data sets together", style="bold")
        console.print(_duplicates(result["duplicates"], several=True))
        _print_groups(console, result["duplicates"], "across_sources", several=True)
    said = result["findings"]
    console.print("\nto be mended before a training" if said else "\nnothing found to be mended")
    for line in said:
        console.print(f"  {line}", soft_wrap=True)


def _printable(value: Any) -> Any:
    """Return what is to be printed without control characters, which names may have."""
    if isinstance(value, dict):
        return {_printable(key): _printable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_printable(each) for each in value]
    return printable(value) if isinstance(value, str) else value


def _print_data(console: Console, data: dict[str, Any]) -> None:
    console.print(
        f"{data['source']}: {data['rows']:,} rows, {data['pictures']:,} pictures", style="bold"
    )
    for column, counts in data["classes"].items():
        console.print(_classes(column, counts))
    if not data["classes"]:
        named = (f"{split} {count:,}" for split, count in data["splits"].items())
        console.print(f"rows by split: {', '.join(named)}")
    for column, numbers in data["numbers"].items():
        title = f"{column} ({numbers['unit']})" if numbers["unit"] else column
        console.print(_figures(title, numbers["parts"]))
    console.print(
        _figures(
            "pictures",
            {
                "width (pixels)": data["sizes"]["width"],
                "height (pixels)": data["sizes"]["height"],
                "brightness (0 to 255)": data["brightness"],
                "contrast (0 to 127.5)": data["contrast"],
            },
        )
    )
    console.print(_duplicates(data["duplicates"], several=False))
    uncut = list(data["splits"]) == [NO_SPLIT]
    shown = "groups" if uncut else "across_splits"
    _print_groups(console, data["duplicates"], shown, several=False)
    if uncut and data["duplicates"]["near"]["groups"]:
        console.print("  cuts may part these, unless data.keep_together says near_duplicates")
    _print_remarks(console, data)


def _classes(column: str, counts: dict[str, Any]) -> Table:
    table = _table(column, *counts["splits"])
    for place, name in enumerate(counts["names"]):
        table.add_row(name, *(f"{each['counts'][place]:,}" for each in counts["splits"].values()))
    if counts["unknown"]:
        unknown = (f"{each['unknown']:,}" for each in counts["splits"].values())
        table.add_row("(no label)", *unknown)
    return table


def _figures(title: str, parts: dict[str, Any]) -> Table:
    table = _table(title, "known", "unknown", "least", "5 %", "median", "95 %", "most", "mean")
    for name, each in parts.items():
        counts = [f"{each[key]:,}" for key in ("known", "unknown")]
        if not each["known"]:
            table.add_row(name, *counts, *["-"] * 6)
            continue
        quantiles = [each["quantiles"][part] for part in ("0.05", "0.5", "0.95")]
        values = [each["min"], *quantiles, each["max"], each["mean"]]
        digits = decimals_of_range(each["min"], each["max"])
        table.add_row(name, *counts, *(f"{value:,.{digits}f}" for value in values))
    return table


def _duplicates(duplicates: dict[str, Any], *, several: bool) -> Table:
    columns = {
        "groups": "groups", "pictures": "pictures", "within_splits": "within a split",
        "across_splits": "across splits", "across_sources": "across data sets",
        "with_different_labels": "labels differ", "largest": "largest",
    }  # fmt: skip
    if not several:
        del columns["across_sources"]
    table = _table("duplicates", *columns.values())
    for kind, name in (("exact", "equal"), ("near", "nearly equal")):
        table.add_row(name, *(f"{duplicates[kind][key]:,}" for key in columns))
    return table


def _print_groups(console: Console, duplicates: dict[str, Any], key: str, *, several: bool) -> None:
    """Name the first groups that stand where they should not."""
    for kind, name in (("exact", "equal"), ("near", "nearly equal")):
        shown = duplicates[kind]["first"][: min(_NAMED, duplicates[kind][key])]
        for group in shown:
            members = (
                f"{each['source'] + ' ' if several else ''}{each['key']} ({each['split'] or '-'})"
                for each in group[:3]
            )
            console.print(f"  {name}: {', '.join(members)}", soft_wrap=True)
        if more := duplicates[kind][key] - len(shown):
            console.print(f"  and {more:,} more groups of {name} pictures there", soft_wrap=True)


def _print_remarks(console: Console, data: dict[str, Any]) -> None:
    if data["persons"] is not None:
        console.print(
            f"persons: {data['persons']:,}, {data['persons_across_splits']:,} of them in several "
            "splits"
        )
    if count := data["showing_nothing"]["count"]:
        first = ", ".join(data["showing_nothing"]["first"][:_NAMED])
        console.print(f"pictures that show nothing: {count:,}, as {first}", soft_wrap=True)
    for key, what in (("broken_files", "broken files"), ("problems", "problems of the data set")):
        if not data[key]["count"]:
            continue
        console.print(f"{what}: {data[key]['count']:,}")
        for each in data[key]["first"]:
            console.print(f"  {each['where']}: {each['what']}", soft_wrap=True)
        if more := data[key]["count"] - len(data[key]["first"]):
            console.print(f"  and {more:,} more")
    for note in data["notes"]:
        console.print(f"note: {note}", soft_wrap=True)


def _table(*columns: str) -> Table:
    """Make a table whose first column holds names and whose others hold numbers."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=bool(number))
    return table
