"""The command that serves a model over HTTP."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated

import typer

from hybridface.cli.options import (
    CENTERFACE,
    BatchSize,
    DetectorName,
    LongestSide,
    NoDetect,
    Threshold,
    detector_options,
)
from hybridface.errors import UsageError
from hybridface.extras import serving_extra

KEY_VARIABLE = "HYBRIDFACE_API_KEY"


def serve(
    model: Annotated[
        Path | None, typer.Option(help="A run folder or an ONNX file; default the one that ships.")
    ] = None,
    ssl_model: Annotated[
        Path | None,
        typer.Option(
            help="Has the self-supervised heads for the page; default --model or what ships."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 for all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar=KEY_VARIABLE,
            show_envvar=False,
            help=f"Key that requests must bring; better in {KEY_VARIABLE}, which ps does not show.",
        ),
    ] = None,
    *,
    max_mb: Annotated[float, typer.Option(help="Megabytes of one request.")] = 20,
    max_megapixels: Annotated[float, typer.Option(help="Megapixels of one picture.")] = 40,
    max_pictures: Annotated[int, typer.Option(min=1, help="Pictures of one request.")] = 16,
    max_faces: Annotated[int, typer.Option(min=1, help="Faces of a picture, the surest.")] = 64,
    max_waiting: Annotated[
        int, typer.Option(min=1, help="Pictures of all requests; more are answered with 429.")
    ] = 128,
    max_held_mb: Annotated[
        float, typer.Option(help="Megabytes of all requests; more are answered with 429.")
    ] = 256,
    timeout: Annotated[float, typer.Option(help="Seconds for one request.")] = 30,
    no_detect: NoDetect = False,
    threshold: Threshold = None,
    longest_side: LongestSide = None,
    detector: DetectorName = CENTERFACE,
    batch_size: BatchSize = 16,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of the model; default ONNX Runtime's.")
    ] = None,
) -> None:
    """Serve a model over HTTP, with a web page: REST, health, Prometheus metrics."""
    with serving_extra():
        from hybridface.serving.limits import Limits
        from hybridface.serving.server import run_serve
    limits = Limits(
        request_bytes=round(_positive("--max-mb", max_mb, 1e6)),
        pixels=round(_positive("--max-megapixels", max_megapixels, 1e6)),
        held_bytes=round(_positive("--max-held-mb", max_held_mb, 1e6)),
        seconds=_positive("--timeout", timeout),
        pictures=max_pictures, faces=max_faces, waiting=max_waiting,
    )  # fmt: skip
    if api_key is None:
        api_key = os.environ.get(KEY_VARIABLE)  # typer takes one that is set and empty for none
    code = run_serve(
        model, ssl_model, host=host, port=port, key=api_key, limits=limits,
        batch_size=batch_size, threads=threads,
        **detector_options(no_detect, detector, threshold, longest_side),
    )  # fmt: skip
    raise typer.Exit(code)


def _positive(option: str, number: float, of: float = 1) -> float:
    """Return so many units of ``of``.

    Raises:
        UsageError: It is not above 0, no number, or endless.
    """
    if not 0 < number * of < math.inf:
        raise UsageError(f"{option}: expected a number above 0 that is not endless, got {number:g}")
    return number * of
