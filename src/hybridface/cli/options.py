"""Options and arguments that several commands take, and the progress that they show."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from hybridface.errors import UsageError

Overrides = Annotated[
    list[str] | None, typer.Argument(help="Changes, as in training.epochs=10 data.fraction=0.2")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Label = Annotated[
    str | None, typer.Option(help="The data's label column; default by the names of the tasks.")
]
CacheLimit = Annotated[
    float,
    typer.Option(
        min=0, help="GiB of decoded pictures to cache at most; else they are decoded each time."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=0, help="Processes that decode what is not cached; default by the cores."),
]
NoDetect = Annotated[
    bool, typer.Option("--no-detect", help="The pictures are face crops; look for none.")
]
Threshold = Annotated[
    float | None, typer.Option(help="Least score of a face, 0 to 1; default the detector's.")
]
LongestSide = Annotated[
    int | None, typer.Option(help="Pixels that photos are reduced to for the detector.")
]
DetectorName = Annotated[
    str, typer.Option(help="centerface, or pkg.module:Class for one of your own.")
]
CENTERFACE = "centerface"  # the default, here so that --help loads nothing
BatchSize = Annotated[int, typer.Option(min=1, help="Pictures and faces at once.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars.")]


def decoding_progress(what: str = "decoding pictures") -> Callable[[int, int], None]:
    """Return a progress callback that writes to the terminal, if there is one."""

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            end = "\n" if done == total else ""
            print(f"\r{what}: {done}/{total}", end=end, file=sys.stderr, flush=True)

    return show


def folder_of(option: str) -> Any:
    """Return what makes an option's text a folder; an empty one would be the working directory.

    What is returned raises UsageError where the name is empty.
    """

    def folder(given: str) -> Path:
        if not given:
            raise UsageError(f"{option}: an empty name; name a folder, as . for this one")
        return Path(given)

    return folder


def check_page(out: Path | None) -> Path | None:
    """Refuse a place for a page that is none by its name, such as a model's or a recipe's.

    Raises:
        UsageError: The name does not end in ``.html``.
    """
    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out: {out}: expected the name of a .html file for the page")
    return out


def detector_options(
    no_detect: bool, detector: str, threshold: float | None, longest_side: int | None
) -> dict[str, Any]:
    """Return how faces are found, as what reads photos takes it.

    Raises:
        UsageError: ``--no-detect`` stands beside options of a detector.
    """
    own = detector if detector != CENTERFACE else None
    options = {"--detector": own, "--threshold": threshold, "--longest-side": longest_side}
    given = [name for name, value in options.items() if value is not None]
    if no_detect and given:
        raise UsageError(f"{given[0]}: nothing looks for faces under --no-detect; leave one out")
    return {
        "detect": not no_detect, "detector": detector, "threshold": threshold,
        "longest": longest_side,
    }  # fmt: skip
