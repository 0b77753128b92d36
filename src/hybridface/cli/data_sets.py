"""The commands on data sets: data list, data sheet and data check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybridface.cli.options import (
    Json,
    Quiet,
    check_page,
    decoding_progress,
)
from hybridface.errors import UsageError
from hybridface.extras import training_extra


def data_list() -> None:
    """List the kinds of data sets, with the layout that each expects."""
    from hybridface.data.sources import source_kinds

    for name, kind in source_kinds().items():
        print(f"{name}\n    {kind.layout}")
        for option, field in kind.Options.model_fields.items():
            default = "" if field.default in (None, ()) else str(field.default)
            print(f"    ?{option}={default.lower() if field.annotation is bool else default}")
    print("one of your own: pkg.module:Class:PATH, a hybridface.data.source.Source")


def data_sheet(
    data: Annotated[str, typer.Argument(help="KIND:PATH, as in folder:/my/faces")],
    out: Annotated[Path, typer.Option(help="A .png file; a sheet that is there is replaced.")],
    count: Annotated[int, typer.Option(min=1, max=400, help="Pictures on it.")] = 48,
    seed: Annotated[int, typer.Option(min=0, help="Decides which pictures.")] = 0,
) -> None:
    """Draw some pictures of a data set with their labels and the axes of heads, to look at."""
    from hybridface.data.sheet import write_sheet

    shown = write_sheet(data, out, count=count, seed=seed)
    print(f"{out}: {shown} pictures; pictures of data sets are not to be published")


def data_check(
    data: Annotated[
        list[str], typer.Argument(metavar="KIND:PATH...", help="Data sets, as in folder:/my/faces.")
    ],
    *,
    as_json: Json = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A page to write too, as in check.html; needs [train].", callback=check_page
        ),
    ] = None,
    no_pictures: Annotated[
        bool, typer.Option("--no-pictures", help="No pictures on the page, nor their names.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 where something is to be mended.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Look through data sets: labels, broken files, duplicates, persons across splits, sizes."""
    from hybridface.data.check.findings import check_data

    if no_pictures and out is None:
        raise UsageError("--no-pictures: is of the page; name one by --out, or leave it out")
    if out is not None:
        with training_extra():
            from hybridface.report.data_page import write_data_page
    decoding, comparing = (
        None if quiet else decoding_progress(what)
        for what in ("decoding pictures", "comparing pictures")
    )
    checked = check_data(data, decoding, comparing)
    if out is not None:
        write_data_page(checked, out, pictures=not no_pictures)
    if as_json:
        import json

        print(json.dumps(checked.result))
    else:
        from hybridface.data.check.text import print_check

        print_check(checked.result)
        if out is not None:
            print(f"page: {out}")
    raise typer.Exit(1 if strict and checked.result["findings"] else 0)
