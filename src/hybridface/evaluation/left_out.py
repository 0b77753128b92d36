"""What an evaluation does not measure, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hybridface.data.cache import CachedPictures
from hybridface.data.source import Problem, Rows
from hybridface.errors import DataError
from hybridface.evaluation.matching import AnyMatch, Mask, count_unmatched

EXAMPLES = 20


def skipped_rows(
    rows: Rows, pictures: CachedPictures, inside: Mask, matches: Sequence[AnyMatch]
) -> dict[str, Any]:
    """Count and name the rows of the split that cannot be measured in any task."""
    unreadable = inside & ~pictures.decoded
    unlabelled = inside & pictures.decoded
    for match in matches:
        unlabelled &= match.unlabelled
    reasons = {problem.where: problem.what for problem in pictures.problems}
    columns = " or ".join(f"'{match.column}'" for match in matches)
    first = np.flatnonzero(unreadable | unlabelled)[:EXAMPLES]
    problems = []
    for row in first:
        where = Problem(rows.keys[row], "").where  # as text, as the cache's problems have it
        unread = reasons.get(where, "cannot be decoded")
        what = f"no label in column {columns}" if unlabelled[row] else unread
        problems.append(Problem(where, what))
    counts = {"unlabelled": int(unlabelled.sum()), "unreadable": int(unreadable.sum())}
    return {"count": sum(counts.values()), **counts, "examples": named(problems)}


def named(problems: Iterable[Problem]) -> list[dict[str, str]]:
    """Return the first problems, for JSON."""
    return [{"where": each.where, "what": each.what} for each in problems][:EXAMPLES]


def nothing_left(
    where: str, count: int, skipped: dict[str, Any], matches: Sequence[AnyMatch], usable: Mask
) -> DataError:
    """Build the error for a split of which no row can be measured."""
    foreign = sum(sum(count_unmatched(match, usable).values()) for match in matches)
    example = f"; first: {skipped['examples'][0]}" if skipped["examples"] else ""
    return DataError(
        f"{where}: none of its {count} rows can be measured: "
        f"{skipped['unlabelled']} without label, {skipped['unreadable']} unreadable, {foreign} of "
        f"classes that the model does not have{example}"
    )
