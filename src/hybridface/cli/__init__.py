"""The command line; each command loads what it needs when it runs."""

from __future__ import annotations

import errno
import io
import os
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Annotated

import typer

from hybridface.cli import data_sets, learning, measuring, models, serving
from hybridface.errors import HybridFaceError, printable
from hybridface.files import DISK_FULL

# Names that the system refuses to look for, wherever that is: too long, a folder that may not be
# entered, links in circles.
UNREACHABLE = (errno.ENAMETOOLONG, errno.EACCES, errno.ELOOP)

app = typer.Typer(
    name="hybridface",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _say_version(wanted: bool) -> None:
    if wanted:
        from hybridface import __version__

        print(f"hybridface {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Face models trained with hybrid learning: supervised and self-supervised together."""


data_app = typer.Typer(help="Data sets: their kinds, a sheet, a check.", no_args_is_help=True)
app.add_typer(data_app, name="data")

COMMANDS: tuple[Callable[..., None], ...] = (
    learning.train,
    measuring.evaluate,
    measuring.compare,
    models.predict,
    models.export,
    models.calibrate,
    serving.serve,
    learning.study,
    measuring.report,
    learning.demo,
    learning.tasks,
    learning.config,
)
for command in COMMANDS:
    app.command()(command)
data_app.command("list")(data_sets.data_list)
data_app.command("sheet")(data_sets.data_sheet)
data_app.command("check")(data_sets.data_check)


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    """Stay silent on what a full disk does to TensorBoard's thread: it is raised again outside."""
    error = failure.exc_value
    if not (isinstance(error, OSError) and error.errno in DISK_FULL):
        threading.__excepthook__(failure)


def _drop_output() -> None:
    """Send what is left to nowhere, so that Python does not try it again as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _replace_closed_output() -> None:
    """Write to nowhere where a caller closed an output, as in ``2>&-``: Python leaves None there.

    A file that is opened next would also get the number of what is closed, and what libraries say.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115


def main() -> None:
    """Run the command line; an error that a person can act on is one message, no traceback."""
    _replace_closed_output()
    threading.excepthook = _thread_failed
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of pictures that are read all the same
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name may have what the terminal's code lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            app(standalone_mode=True)
        finally:
            sys.stdout.flush()  # while an error can still be told
    except HybridFaceError as error:
        print(f"hybridface: {printable(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as end:
        # typer turns Ctrl-C into an exit without a word, with code 130.
        stop = end.__context__ and end.__context__.__cause__
        if isinstance(stop, KeyboardInterrupt):
            print(f"hybridface: {stop}" if str(stop) else "hybridface: stopped", file=sys.stderr)
        raise
    except BrokenPipeError:
        _drop_output()
        sys.exit(1)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL and error.filename is None:
            _drop_output()  # files of ours name themselves
            print(f"hybridface: the output cannot be written ({error.strerror})", file=sys.stderr)
            sys.exit(1)
        if os.environ.get("HYBRIDFACE_DEBUG"):
            raise
        if isinstance(error, OSError) and error.errno in UNREACHABLE and error.filename:
            print(
                f"hybridface: {printable(str(error.filename))}: {error.strerror}; name another "
                "place",
                file=sys.stderr,
            )
            sys.exit(2)
        print(
            f"hybridface: failed unexpectedly: {type(error).__name__}: {error}\n"
            "  this is a defect: set HYBRIDFACE_DEBUG=1 to see where, and please report it",
            file=sys.stderr,
        )
        sys.exit(1)
