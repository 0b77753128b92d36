"""Errors for the person who reads them: what is wrong, where, what was expected, what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

MOST_NAMES = 40
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tabs and ends of lines


class HybridFaceError(Exception):
    """Something failed while doing what was asked; the command line exits with 1."""

    exit_code = 1


class DataError(HybridFaceError):
    """Data on disk is not what its kind expects, or nothing usable is left of it."""


class UsageError(HybridFaceError):
    """What was asked for cannot be done as asked; the command line exits with 2."""

    exit_code = 2


class StoppedError(HybridFaceError):
    """A signal ended a training, which can be gone on with; the command line exits with 143."""

    exit_code = 128 + 15  # what a shell says of a process that SIGTERM ended


def printable(text: str) -> str:
    """Return text with control characters, as a file's name may have them, by their numbers.

    Printed as they are they would steer the terminal.
    """
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def one_line(text: str) -> str:
    """Return text as :func:`printable` does, its ends of lines and tabs by their numbers too."""
    return printable(text).replace("\n", r"\x0a").replace("\t", r"\x09")


def unknown(what: str, name: str, choices: Iterable[str]) -> UsageError:
    """Build the error for a name that nobody knows.

    Args:
        what: What the name should have been, as in ``"task"``.
        name: The name as it was given.
        choices: Every right name.

    Returns:
        A :class:`UsageError` that names the nearest right name, and all of them.
    """
    names = sorted(choices)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    if len(names) > MOST_NAMES:
        shown = difflib.get_close_matches(name, names, n=5, cutoff=0.0)
        known = f"{len(names)} are known, the nearest: {', '.join(shown)}"
    else:
        known = f"known are: {', '.join(names) or 'none'}"
    return UsageError(f"unknown {what} '{name}': {hint}{known}")
