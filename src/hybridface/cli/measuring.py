"""The commands that measure: evaluate, compare and report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybridface.cli.options import (
    CacheLimit,
    Json,
    Label,
    Workers,
    check_page,
    decoding_progress,
)
from hybridface.extras import training_extra
from hybridface.files import CACHE_LIMIT_GIB


def evaluate(
    model: Annotated[
        Path, typer.Argument(help="A run folder, an ONNX file, or default, which ships.")
    ],
    data: Annotated[
        str, typer.Option("--data", help="KIND:PATH; hybridface data list has the kinds.")
    ],
    split: Annotated[
        str | None, typer.Option(help="train, val, test or all; default test, else all")
    ] = None,
    *,
    as_json: Json = False,
    label: Label = None,
    out: Annotated[
        Path | None, typer.Option(help="A .npz file to keep the predictions in, for compare.")
    ] = None,
    cache_limit_gib: CacheLimit = CACHE_LIMIT_GIB,
    workers: Workers = None,
) -> None:
    """Measure a model on a data set; classes are matched by name."""
    with training_extra():
        from hybridface.evaluation.evaluate import run_evaluate

    progress = None if as_json else decoding_progress()
    code = run_evaluate(
        model, data, split, as_json, progress, label=label, out=out,
        cache_limit_gib=cache_limit_gib, workers=workers,
    )  # fmt: skip
    raise typer.Exit(code)


def compare(
    a: Annotated[
        Path,
        typer.Argument(
            help="A run folder, an ONNX file, default, or the .npz file of an evaluation."
        ),
    ],
    b: Annotated[Path, typer.Argument(help="The same of the other model.")],
    data: Annotated[
        str | None, typer.Option(help="KIND:PATH; default the predictions that were kept")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="train, val, test or all; default test where there is one")
    ] = None,
    *,
    as_json: Json = False,
    label: Label = None,
    cache_limit_gib: CacheLimit = CACHE_LIMIT_GIB,
    workers: Workers = None,
) -> None:
    """Compare two models picture by picture: is B better than A, and how sure is that."""
    with training_extra():
        from hybridface.evaluation.compare import run_compare

    progress = None if as_json else decoding_progress()
    code = run_compare(
        a, b, data, split, as_json, label=label, progress=progress,
        cache_limit_gib=cache_limit_gib, workers=workers,
    )  # fmt: skip
    raise typer.Exit(code)


def report(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[
        Path | None,
        typer.Option(help="A .html file; default RUN/report.html.", callback=check_page),
    ] = None,
    mistakes: Annotated[int, typer.Option(min=0, help="Worst mistakes to show.")] = 24,
    no_pictures: Annotated[
        bool, typer.Option("--no-pictures", help="No pictures of the data set, nor their names.")
    ] = False,
) -> None:
    """Write a run's page: curves, confusion, calibration, worst mistakes, self-supervised tasks."""
    with training_extra():
        from hybridface.report.run import write_run_report

    print(write_run_report(run, out, pictures=not no_pictures, mistakes=mistakes))
