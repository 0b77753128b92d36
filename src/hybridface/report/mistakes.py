"""The predictions that were wrong and surest, with their pictures where these can still be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybridface.data.fingerprint import join_fingerprints
from hybridface.data.source import Problem, as_text
from hybridface.data.sources import from_one_line, open_source
from hybridface.errors import DataError, HybridFaceError
from hybridface.evaluation.predictions import Predictions, TaskPredictions
from hybridface.files import cache_folder
from hybridface.report.document import Album, Callout, Captioned, Paragraph, Part, Picture, Table
from hybridface.report.pictures import data_address
from hybridface.report.text import counted, first_line, percent


@dataclass(frozen=True)
class Mistake:
    """A wrong prediction.

    Attributes:
        key: The name of the picture in its data set.
        truth: The name of its true class.
        predicted: The name of the class that it was taken for.
        confidence: The probability of that class, in [0, 1].
    """

    key: str
    truth: str
    predicted: str
    confidence: float


def worst_mistakes(task: TaskPredictions, most: int) -> list[Mistake]:
    """Return the wrong predictions of the highest confidence, that of the highest first.

    Args:
        task: The predictions.
        most: How many to return, where there are so many.
    """
    predicted = task.predicted
    confidence = task.probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != task.targets)
    order = wrong[np.argsort(-confidence[wrong], kind="stable")]
    return [
        Mistake(
            key=str(task.keys[row]),
            truth=task.classes[task.targets[row]],
            predicted=task.classes[predicted[row]],
            confidence=float(confidence[row]),
        )
        for row in order[:most]
    ]


def find_pictures(predictions: Predictions, keys: Sequence[str]) -> list[str | Problem]:
    """Return pictures that were predicted, for a page, from the data set they came from.

    Args:
        predictions: What says which data set, and what its content was.
        keys: The names of the pictures.

    Returns:
        For each name a ``data:`` address, or why the picture cannot be decoded.

    Raises:
        HybridFaceError: The data set cannot be read, or is no longer what it was.
        OSError: The same, from a source that does not say it in words.
    """
    opened = {name: open_source(spec) for name, spec in from_one_line(predictions.data).items()}
    read = {name: source.read() for name, source in opened.items()}
    place = {
        f"{name}/{as_text(key)}" if name else key: (name, row)
        for name, rows in read.items()
        for row, key in enumerate(rows.keys)
    }
    changed = any(key not in place for key in keys)
    if predictions.fingerprint and not changed:
        memory = cache_folder() / "digests"
        content = [opened[name].fingerprint(rows, memory) for name, rows in read.items()]
        changed = join_fingerprints(content) != predictions.fingerprint
    if changed:
        raise DataError(f"{predictions.data}: the data set has changed since")
    found: dict[str, str | Problem] = {}
    for name, source in opened.items():
        here = [key for key in keys if place[key][0] == name]
        made = source.decode_each(read[name], [place[key][1] for key in here], data_address)
        found |= zip(here, made, strict=True)
    return [found[key] for key in keys]


def mistake_parts(
    predictions: Predictions, task: TaskPredictions, where: str, most: int, pictures: bool
) -> list[Part]:
    """Show the worst mistakes of a task, as pictures where that is possible.

    Args:
        predictions: What the task is of.
        task: Its predictions.
        where: Where they were made, as in ``the test set``.
        most: How many mistakes to show.
        pictures: Whether to show pictures and their names.
    """
    wrong = int((task.predicted != task.targets).sum())
    total = len(task.targets)
    if not wrong or not most:
        return [Paragraph(f"Taken for another class: {wrong:,} of {total:,} pictures of {where}.")]
    mistakes = worst_mistakes(task, most)
    shown = "this is the one" if len(mistakes) == 1 else f"these are the {len(mistakes)}"
    text = (
        f"Of {where}, {wrong:,} of {counted(total, 'picture')} {'is' if wrong == 1 else 'are'} "
        f"taken for another class; {shown} with the most confidence in it. Look for wrong labels, "
        "and for what such pictures have in common."
    )
    if not pictures:
        left_out = "Pictures and their names are left out of this page, as asked."
        return [Paragraph(text), Paragraph(left_out), _table(mistakes, named=False)]
    try:
        found = find_pictures(predictions, [mistake.key for mistake in mistakes])
    except (HybridFaceError, OSError) as error:
        reason = f"The pictures cannot be shown: {first_line(error)}"
        return [Paragraph(text), Callout(reason, "warning"), _table(mistakes, named=True)]
    entries = [
        _entry(number, mistake, picture)
        for number, (mistake, picture) in enumerate(zip(mistakes, found, strict=True), start=1)
    ]
    return [Paragraph(text), Album("The worst mistakes", entries)]


def _entry(number: int, mistake: Mistake, found: str | Problem) -> Captioned:
    lines = [
        f"true: {mistake.truth}",
        f"predicted: {mistake.predicted}",
        f"confidence: {percent(mistake.confidence)}%",
        as_text(mistake.key),
    ]
    if isinstance(found, Problem):
        return Captioned(None, [found.what, *lines])
    alt = f"mistake {number}: true class {mistake.truth}, predicted {mistake.predicted}"
    return Captioned(Picture(found, alt), lines)


def _table(mistakes: Sequence[Mistake], named: bool) -> Table:
    rows = [
        [
            *([as_text(mistake.key)] if named else []),
            mistake.truth,
            mistake.predicted,
            percent(mistake.confidence),
        ]
        for mistake in mistakes
    ]
    heads = [*(["Picture"] if named else []), "True class", "Predicted class", "Confidence (%)"]
    return Table("The worst mistakes.", heads, rows, text_columns=len(heads) - 1)
