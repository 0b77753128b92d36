"""What two arms made of each test picture, compared."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hybridface.errors import HybridFaceError
from hybridface.evaluation.bootstrap import paired_bootstrap
from hybridface.evaluation.statistics import Interval
from hybridface.report.study_rows import FinishedCell


def over_pictures(
    pairs: Sequence[tuple[FinishedCell, FinishedCell]], last_epoch: bool, same_pictures: bool
) -> Interval | None:
    """Return the difference of two arms with its interval over test pictures.

    Args:
        pairs: The cells of both, seed by seed.
        last_epoch: Whether to take the last epoch instead of the validation checkpoint.
        same_pictures: Whether all seeds were tested on the same pictures.

    Returns:
        The difference, by person where persons are known; None where it was not recorded which
        pictures were right, or how far off each was.

    Raises:
        HybridFaceError: The recorded pictures are broken, differ between the arms, or do not
            agree with the recorded figure.
    """
    marks = [(_outcomes(one, last_epoch), _outcomes(other, last_epoch)) for one, other in pairs]
    known = [(one, other) for one, other in marks if one is not None and other is not None]
    if len(known) < len(marks):
        return None
    ours, theirs = ([pair[side] for pair in known] for side in (0, 1))
    persons = [one.details.test_groups for one, _ in pairs]
    groups = [np.array(each) for each in persons] if all(persons) else None
    return paired_bootstrap(ours, theirs, same_pictures=same_pictures, groups=groups)


def _outcomes(
    cell: FinishedCell, last_epoch: bool
) -> NDArray[np.bool_] | NDArray[np.float64] | None:
    """Return which test pictures were right, or how far off each was; None if not recorded."""
    if cell.measure.higher_is_better:
        return _correct(cell, last_epoch)
    errors = cell.details.test_errors_last if last_epoch else cell.details.test_errors
    if errors is None:
        return None
    recorded = cell.test_last if last_epoch else cell.test
    mean = float(np.mean(errors)) if errors else math.nan
    if not abs(mean - recorded) <= 2e-3 * recorded:
        raise HybridFaceError(
            f"study cell '{cell.cell}': the recorded pictures are off by {mean:.4g} in the mean, "
            f"but the recorded error is {recorded:.4g}"
        )
    return np.array(errors)


def _correct(cell: FinishedCell, last_epoch: bool) -> NDArray[np.bool_] | None:
    """Unpack which test pictures were right, and hold them against the recorded accuracy."""
    packed = cell.details.test_correct_last if last_epoch else cell.details.test_correct
    if packed is None:
        return None
    count = cell.details.test_count
    try:
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(packed), dtype=np.uint8))
    except ValueError as error:
        raise HybridFaceError(f"study cell '{cell.cell}': test_correct is not hex") from error
    if not 0 <= len(bits) - count < 8 or count < 1:
        raise HybridFaceError(
            f"study cell '{cell.cell}': test_correct holds {len(bits)} bits for {count} pictures"
        )
    correct = bits[:count].astype(bool)
    accuracy = cell.test_last if last_epoch else cell.test
    if abs(correct.mean() - accuracy) > 1e-3:
        raise HybridFaceError(
            f"study cell '{cell.cell}': {correct.mean():.4f} of the recorded pictures are right,"
            f" but the recorded accuracy is {accuracy:.4f}"
        )
    return correct
