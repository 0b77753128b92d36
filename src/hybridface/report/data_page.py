"""The page of a check of data sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hybridface.data.check.findings import Checked
from hybridface.data.check.members import COLUMNS, KINDS, Opened
from hybridface.data.numbers import decimals_of_range
from hybridface.files import write_atomically
from hybridface.report import data_figures
from hybridface.report.data_groups import group_parts
from hybridface.report.document import (
    Callout,
    Figure,
    Gallery,
    Page,
    Paragraph,
    Part,
    Section,
    Table,
    Tile,
    render_html,
)
from hybridface.report.sections import picture_notices
from hybridface.report.text import MISSING, counted, number

QUANTILES = {"0.05": "5%", "0.5": "Median", "0.95": "95%"}


def write_data_page(checked: Checked, out: Path, *, pictures: bool = True) -> None:
    """Write a page of what a check found.

    Args:
        checked: What :func:`hybridface.data.check.findings.check_data` gave.
        out: Where to write.
        pictures: Whether to show pictures of duplicates, and to name pictures at all.

    Raises:
        HybridFaceError: The page cannot be written.
    """
    result = checked.result
    several = len(checked.opened) > 1
    sections = [_to_mend(result["findings"]), _duplicates(checked, pictures)]
    for opened, data in zip(checked.opened, result["data"], strict=True):
        head = f"{data['source']}: " if several else ""
        sections += [
            Section(f"{head}Labels", _labels(opened, data)),
            Section(f"{head}Pictures", _pictures(opened, data)),
            *_problems(head, data, pictures),
        ]
    sources = [each.spec for each in checked.opened]
    page = Page(
        title="Check of " + (f"{len(sources)} data sets" if several else sources[0]),
        lead=", ".join(
            f"{each['source']}: {counted(each['rows'], 'row')}" for each in result["data"]
        ),
        notices=picture_notices(sections, sources),
        tiles=_tiles(result),
        sections=[section for section in sections if section.parts],
    )
    write_atomically(out, render_html(page))


def _tiles(result: dict[str, Any]) -> list[Tile]:
    duplicates, data = result["duplicates"], result["data"]
    across = "across_sources" if len(data) > 1 else "across_splits"
    where = "groups across data sets" if len(data) > 1 else "groups across splits"
    persons = result["persons_across_splits"]
    return [
        Tile("Pictures", f"{sum(each['pictures'] for each in data):,}"),
        Tile("Broken files", f"{sum(each['broken_files']['count'] for each in data):,}"),
        Tile("Equal pictures", f"{duplicates['exact'][across]:,}", where),
        Tile("Nearly equal pictures", f"{duplicates['near'][across]:,}", where),
        Tile(
            "Persons across splits",
            MISSING if persons is None else f"{persons:,}",
            "not known" if persons is None else "",
        ),
    ]


def _to_mend(said: Sequence[str]) -> Section:
    parts: list[Part] = [Callout(f"{line}.", "warning") for line in said]
    nothing = "No broken file, and no picture or person in two splits or data sets."
    return Section("To be mended before a training", parts or [Paragraph(nothing)])


def _duplicates(checked: Checked, pictures: bool) -> Section:
    """Count groups in each data set and in all, and show some."""
    several = len(checked.opened) > 1
    columns = [key for key in COLUMNS if several or key != "across_sources"]
    named = [(each["source"], each["duplicates"]) for each in checked.result["data"]]
    if several:
        named.append(("all together", checked.result["duplicates"]))
    rows = [
        [*([name] if several else []), kind, *(f"{counts[key][each]:,}" for each in columns)]
        for name, counts in named
        for key, kind in KINDS.items()
    ]
    heads = [
        *(["Data set"] if several else []),
        "Pictures are",
        *(COLUMNS[key].capitalize() for key in columns),
    ]
    table = Table(
        "Groups of pictures that are equal, pixel for pixel, or nearly so.", heads, rows,
        text_columns=2 if several else 1,
    )  # fmt: skip
    parts: list[Part] = [table]
    if pictures:
        parts += group_parts(checked)
    return Section("Duplicates", parts)


def _labels(opened: Opened, data: dict[str, Any]) -> list[Part]:
    """Show the classes by split and the numbers."""
    splits = data["splits"]
    parts: list[Part] = [
        Table("Rows in each split.", ["Split", "Rows"], [[k, f"{v:,}"] for k, v in splits.items()])
    ]
    if data["persons"] is not None:
        across = counted(data["persons_across_splits"], "person")
        parts.append(Paragraph(f"Persons: {data['persons']:,}; in several splits: {across}."))
    figures = []
    for column, counts in data["classes"].items():
        by_split = {split: each["counts"] for split, each in counts["splits"].items()}
        alt = f"pictures of each {column} in {data['source']}, by split"
        svg = data_figures.class_bars(counts["names"], by_split, alt)
        figures.append(Figure(svg, f"Pictures with each {column}, by split."))
        parts.append(_class_table(column, counts))
    for column, numbers in data["numbers"].items():
        unit = f" ({numbers['unit']})" if numbers["unit"] else ""
        parts.append(_figures(f"{column}{unit}", numbers["parts"]))
        values = opened.rows.numeric[column].values
        for place, name in enumerate(numbers["parts"]):
            if numbers["parts"][name]["known"]:
                alt = f"how often each {column}, {name}, occurs in {data['source']}"
                svg = data_figures.histogram(values[:, place], f"{name}{unit}", alt)
                figures.append(Figure(svg, f"{column}: {name}."))
    return [*parts, *([Gallery(figures)] if figures else [])]


def _class_table(column: str, counts: dict[str, Any]) -> Table:
    rows = [
        [name, *(f"{each['counts'][place]:,}" for each in counts["splits"].values())]
        for place, name in enumerate(counts["names"])
    ]
    if counts["unknown"]:
        rows.append(["(no label)", *(f"{each['unknown']:,}" for each in counts["splits"].values())])
    return Table(f"Pictures with each {column}, by split.", ["Class", *counts["splits"]], rows)


def _figures(title: str, parts: dict[str, Any]) -> Table:
    """Lay out what :func:`hybridface.data.check.counts.describe` gave of several columns."""

    def row(name: str, each: dict[str, Any]) -> list[str]:
        quantiles = each["quantiles"] or {}
        values = [each["min"], *(quantiles.get(part) for part in QUANTILES), each["max"]]
        digits = decimals_of_range(each["min"], each["max"])
        numbers = (number(value, digits) for value in [*values, each["mean"]])
        return [name, f"{each['known']:,}", f"{each['unknown']:,}", *numbers]

    heads = ["", "Known", "Unknown", "Least", *QUANTILES.values(), "Most", "Mean"]
    return Table(f"{title}.", heads, [row(name, each) for name, each in parts.items()])


def _pictures(opened: Opened, data: dict[str, Any]) -> list[Part]:
    """Show sizes and light."""
    sizes = data["sizes"]
    parts = {
        "Width (pixels)": sizes["width"],
        "Height (pixels)": sizes["height"],
        "Brightness (0 to 255)": data["brightness"],
        "Contrast (0 to 127.5)": data["contrast"],
    }
    common = [
        [f"{each['width']} x {each['height']}", f"{each['count']:,}"]
        for each in sizes["most_common"]
    ]
    shown: list[Part] = [
        _figures("Sizes and light of the pictures that can be decoded", parts),
        Table(
            f"The most common of {counted(sizes['different'], 'size')}, width x height.",
            ["Size", "Pictures"],
            common,
        ),
    ]
    if not data["pictures"]:
        return shown
    seen = opened.looks.decoded
    alt = f"brightness of the pictures of {data['source']}"
    light = data_figures.histogram(opened.looks.brightness[seen], "Brightness (0 to 255)", alt)
    figures = [Figure(light, "Brightness: the mean of a picture's grey levels.")]
    if sizes["different"] > 1:
        side = np.sqrt(opened.looks.sizes[seen].prod(axis=1, dtype=np.float64))
        alt = f"sizes of the pictures of {data['source']}"
        svg = data_figures.histogram(side, "Square root of width times height (pixels)", alt)
        figures.append(Figure(svg, "Size of the pictures."))
    return [*shown, Gallery(figures)]


def _problems(head: str, data: dict[str, Any], named: bool) -> list[Section]:
    """Name what cannot be used, and what shows nothing."""
    parts: list[Part] = []
    for key, what in (("broken_files", "broken file"), ("problems", "problem of the data set")):
        found = data[key]
        if not found["count"]:
            continue
        title = f"{counted(found['count'], what)}"
        rows = [[each["where"], each["what"]] for each in found["first"]]
        more = f"; the first {len(rows)}" if found["count"] > len(rows) else ""
        shown = Table(f"{title}{more}.", ["Where", "What"], rows, text_columns=2)
        parts.append(shown if named else Paragraph(f"{title}."))
    if count := data["showing_nothing"]["count"]:
        first = f": {', '.join(data['showing_nothing']['first'])}" if named else ""
        parts.append(Paragraph(f"{counted(count, 'picture')} of one grey level or nearly{first}."))
    parts += [Paragraph(note) for note in data["notes"]]
    return [Section(f"{head}Remarks", parts)] if parts else []
