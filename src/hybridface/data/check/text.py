"""A check as text to read on a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from hybridface.console import all_printable, number_table, stdout_console
from hybridface.data.check.counts import NO_SPLIT
from hybridface.data.check.members import COLUMNS, KINDS
from hybridface.data.numbers import decimals_of_range

_NAMED = 5


def print_check(result: dict[str, Any]) -> None:
    """Print what :func:`hybridface.data.check.findings.check_data` found, on stdout."""
    result, console = all_printable(result), stdout_console()
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
    _print_contradictions(console, data["duplicates"]["exact"])
    if uncut and data["duplicates"]["near"]["groups"]:
        console.print("  cuts may part these, unless data.keep_together says near_duplicates")
    _print_remarks(console, data)


def _classes(column: str, counts: dict[str, Any]) -> Table:
    table = number_table(column, *counts["splits"])
    for place, name in enumerate(counts["names"]):
        table.add_row(name, *(f"{each['counts'][place]:,}" for each in counts["splits"].values()))
    if counts["unknown"]:
        unknown = (f"{each['unknown']:,}" for each in counts["splits"].values())
        table.add_row("(no label)", *unknown)
    return table


def _figures(title: str, parts: dict[str, Any]) -> Table:
    table = number_table(
        title, "known", "unknown", "least", "5 %", "median", "95 %", "most", "mean"
    )
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
    columns = [key for key in COLUMNS if several or key != "across_sources"]
    table = number_table("duplicates", *(COLUMNS[key] for key in columns))
    for kind, name in KINDS.items():
        table.add_row(name, *(f"{duplicates[kind][key]:,}" for key in columns))
    return table


def _print_groups(console: Console, duplicates: dict[str, Any], key: str, *, several: bool) -> None:
    """Name the first groups that stand where they should not."""
    for kind, name in KINDS.items():
        shown = duplicates[kind]["first"][: min(_NAMED, duplicates[kind][key])]
        for group in shown:
            members = (
                f"{each['source'] + ' ' if several else ''}{each['key']} ({each['split'] or '-'})"
                for each in group[:3]
            )
            console.print(f"  {name}: {', '.join(members)}", soft_wrap=True)
        if more := duplicates[kind][key] - len(shown):
            console.print(f"  and {more:,} more groups of {name} pictures there", soft_wrap=True)


def _print_contradictions(console: Console, exact: dict[str, Any]) -> None:
    """Name the first groups of equal pictures that have several classes."""
    for group in exact["first_with_different_labels"][:_NAMED]:
        members = (
            f"{each['key']} ({', '.join(each['classes'].values()) or '-'})" for each in group[:3]
        )
        console.print(f"  equal, labels differ: {', '.join(members)}", soft_wrap=True)


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
