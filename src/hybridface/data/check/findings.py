"""The whole check of one or several data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hybridface.data.cache import Progress
from hybridface.data.check.counts import count_looks, count_problems, count_rows
from hybridface.data.check.groups import Duplicates, find_duplicates
from hybridface.data.check.looks import open_looks
from hybridface.data.check.members import Opened, count_duplicates
from hybridface.data.sources import open_source
from hybridface.errors import UsageError

FORMAT = 1


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        result: All figures, ready for JSON; see :func:`check_data`.
        opened: The data sets.
        duplicates: The groups among the pictures of all of them, numbered through.
    """

    result: dict[str, Any]
    opened: Sequence[Opened]
    duplicates: Duplicates


def check_data(
    specs: Sequence[str], decoding: Progress | None = None, comparing: Progress | None = None
) -> Checked:
    """Look through data sets and say what is in them and wrong with them.

    Args:
        specs: ``KIND:PATH`` of each.
        decoding: Called with (done, total) while pictures are decoded.
        comparing: Called with (done, total) while pictures are compared.

    Returns:
        Among others ``result``: its ``data`` describes each data set by itself, ``duplicates`` and
        ``persons_across_splits`` (None where no data set knows persons) are those of all, and
        ``findings`` says in words what should be mended before a training.

    Raises:
        UsageError: A data set is named twice, or its kind or an option is unknown.
        DataError: A layout is not there.
    """
    for spec in specs:
        if list(specs).count(spec) > 1:
            raise UsageError(f"data check: {spec} is named twice; name each data set once")
    sources = [(spec, open_source(spec)) for spec in specs]
    opened = []
    for spec, source in sources:
        rows = source.read()
        opened.append(Opened(spec, source, rows, open_looks(source, rows, decoding)))
    found = find_duplicates([each.looks for each in opened], comparing)
    alone = len(opened) == 1
    data = [
        _describe(each, found if alone else find_duplicates([each.looks], comparing))
        for each in opened
    ]
    persons = [each["persons_across_splits"] for each in data]
    known = [count for count in persons if count is not None]
    result = {
        "format": FORMAT,
        "data": data,
        "duplicates": count_duplicates(opened, found),
        "persons_across_splits": sum(known) if known else None,
    }
    return Checked(result | {"findings": findings(result)}, opened, found)


def _describe(opened: Opened, duplicates: Duplicates) -> dict[str, Any]:
    """Describe one data set by itself."""
    return {
        "source": opened.spec,
        "rows": len(opened.rows),
        **count_looks(opened.rows, opened.looks),
        **count_rows(opened.rows),
        "duplicates": count_duplicates([opened], duplicates),
        "broken_files": count_problems(opened.looks.problems),
        "problems": count_problems(opened.rows.problems),
        "notes": opened.rows.notes,
    }


def findings(result: dict[str, Any]) -> list[str]:
    """Say in words what should be mended before a training, and what ``--strict`` refuses.

    Args:
        result: ``data`` and ``duplicates``, as :func:`check_data` gives them.
    """
    said = []
    several = len(result["data"]) > 1
    for each in result["data"]:
        where = f"{each['source']}: " if several else ""
        counts = (
            (each["broken_files"]["count"], "picture{s} that cannot be decoded"),
            (each["problems"]["count"], "problem{s} that the source names"),
            (each["persons_across_splits"] or 0, "person{s} in several splits"),
            *_across(each["duplicates"], "across_splits", "across splits"),
            (
                each["duplicates"]["exact"]["with_different_labels"],
                "group{s} of equal pictures whose labels differ",
            ),
        )
        said += [f"{where}{_counted(count, what)}" for count, what in counts if count]
    shared = _across(result["duplicates"], "across_sources", "across the data sets")
    return said + [_counted(count, what) for count, what in shared if count]


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what.format(s='' if count == 1 else 's')}"


def _across(duplicates: dict[str, Any], key: str, where: str) -> list[tuple[int, str]]:
    return [
        (duplicates["exact"][key], f"group{{s}} of equal pictures {where}"),
        (duplicates["near"][key], f"group{{s}} of nearly equal pictures {where}"),
    ]
