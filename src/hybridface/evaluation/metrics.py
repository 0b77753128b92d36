"""How good predicted probabilities are, with 95 % confidence intervals, as plain JSON."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hybridface.errors import HybridFaceError, UsageError
from hybridface.evaluation.calibration import reliability
from hybridface.evaluation.drawn_counts import drawn_counts
from hybridface.evaluation.picture_means import DRAWS, SEED, Floats, bootstrap_means

if TYPE_CHECKING:
    from hybridface.evaluation.statistics import Interval

SMALLEST = float(np.finfo(np.float32).tiny)

Counts = NDArray[np.int64]


def require_training_extra() -> None:
    """Check that what measuring needs beyond the plain install is there.

    Raises:
        UsageError: torch, torchmetrics or scipy is missing; says how to install them.
    """
    for name in ("torch", "torchmetrics", "scipy"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise UsageError(
                f"measuring a model needs {error.name}, which is not installed: "
                'pip install "hybridface[train]"'
            ) from error


def classification_metrics(
    probabilities: NDArray[np.floating[Any]],
    targets: NDArray[np.integer[Any]],
    classes: Sequence[str],
    group: Counts | None = None,
) -> dict[str, Any]:
    """Measure predicted class probabilities against the true classes.

    - ``accuracy``: the share of pictures whose most probable class is the true one; Wilson's
      interval.
    - ``mean_class_accuracy``: the mean over the classes of their recall; ``macro_f1``: the mean
      over the classes of F1. Intervals by bootstrap over pictures, as 2,000 multinomial draws
      over the cells of the confusion matrix from a fixed seed.
    - ``nll``: the mean of ``-log(probability of the true class)``, probabilities below 1.2e-38
      taken as that; t interval.
    - ``ece``: the expected calibration error of the most probable class over 15 bins of equal
      width, each open below and closed above (Guo et al., ICML 2017).

    Where persons are known, all intervals are by bootstrap over persons, as pictures of one person
    are wrong together.

    Classes without a picture count in neither mean and are named in ``absent_classes``. A number
    that means nothing is None: the recall and F1 of an absent class, the precision of a class
    that is never predicted, an interval from fewer than two pictures, or persons.

    Args:
        probabilities: ``(N, K)``, rows that add up to 1.
        targets: ``(N,)`` true classes, 0 to K - 1.
        classes: K class names.
        group: ``(N,)`` ids of persons, or None.

    Returns:
        A dictionary that ``json.dumps`` takes::

            {"accuracy": {"value": 0.86, "ci95": [0.84, 0.88]}, "mean_class_accuracy": {…},
             "macro_f1": {…}, "nll": {…}, "ece": {"value": 0.05},
             "per_class": {"happy": {"precision": …, "recall": …, "f1": …, "count": 12}},
             "confusion": {"classes": […], "counts": [[…], …]},
             "absent_classes": [], "count": 100}

        Rows of ``counts`` are the true classes, columns the predicted ones.

    Raises:
        UsageError: The shapes or the targets do not fit together.
        HybridFaceError: There is no row, a value is NaN or no probability, or torch is missing.
    """
    require_training_extra()
    values, wanted = np.asarray(probabilities, dtype=np.float64), np.asarray(targets)
    check_probabilities(values, wanted, len(classes))
    count, wanted, predicted = len(wanted), wanted.astype(np.int64), values.argmax(axis=1)
    points = _point_values(predicted, wanted, len(classes))
    present = points.confusion.sum(axis=1) > 0
    order = sorted(range(len(classes)), key=lambda k: classes[k])
    intervals = _bootstrap(predicted, wanted, order, group)
    return {
        "accuracy": share_in_json(predicted == wanted, group),
        "mean_class_accuracy": {
            "value": float(points.recall[present].mean()),
            "ci95": intervals[0],
        },
        "macro_f1": {"value": float(points.f1[present].mean()), "ci95": intervals[1]},
        "nll": mean_in_json(picture_nll(values, wanted), group),
        "ece": {"value": reliability(values.max(axis=1), predicted == wanted).error},
        "per_class": _per_class(points, classes),
        "confusion": {"classes": list(classes), "counts": points.confusion.tolist()},
        "absent_classes": [name for name, seen in zip(classes, present, strict=True) if not seen],
        "count": count,
    }


def picture_nll(probabilities: Floats, targets: Counts) -> Floats:
    """Return the negative log likelihood of each picture, in nats.

    Args:
        probabilities: ``(N, K)``; those below 1.2e-38 are taken as that.
        targets: ``(N,)`` true classes, 0 to K - 1.
    """
    of_true_class = probabilities[np.arange(len(targets)), targets]
    losses: Floats = -np.log(np.clip(of_true_class, SMALLEST, 1))
    return losses


@dataclass(frozen=True)
class _Points:
    confusion: Counts
    precision: Floats
    recall: Floats
    f1: Floats


def check_probabilities(probabilities: Floats, targets: NDArray[Any], count: int) -> None:
    """Refuse what cannot be measured.

    Args:
        probabilities: ``(N, K)``, rows that add up to 1.
        targets: ``(N,)`` true classes, 0 to K - 1.
        count: K.

    Raises:
        UsageError: The shapes or the targets do not fit together.
        HybridFaceError: There is no row, or a value is NaN or no probability.
    """
    shape = probabilities.shape
    if len(shape) != 2 or shape[1] != count or targets.shape != shape[:1] or count < 2:
        raise UsageError(
            f"metrics: expected probabilities (N, K), targets (N,) and at least 2 class names, "
            f"got {shape}, {targets.shape} and {count} names"
        )
    outside = targets.size and not 0 <= targets.min() <= targets.max() < count
    if targets.dtype.kind not in "iu" or outside:
        raise UsageError(f"metrics: targets: expected whole numbers from 0 to {count - 1}")
    if not len(targets):
        raise HybridFaceError("metrics: there is no row to measure")
    if not np.isfinite(probabilities).all():
        bad = int((~np.isfinite(probabilities)).any(axis=1).sum())
        raise HybridFaceError(
            f"metrics: {bad} of {len(targets)} rows hold NaN or infinite probabilities; the model "
            "diverged in training, or its export is broken"
        )
    off = float(np.abs(probabilities.sum(axis=1) - 1).max())
    if probabilities.min() < -1e-3 or off > 1e-2:
        raise HybridFaceError(
            f"metrics: these are no probabilities: the smallest is {probabilities.min():g}, and a "
            f"row adds up to 1 with an error of {off:g}; the model must end in a softmax"
        )


def _point_values(predicted: Counts, targets: Counts, count: int) -> _Points:
    import torch
    from torchmetrics.functional import classification

    guess, truth = torch.from_numpy(predicted), torch.from_numpy(targets)

    def per_class(metric: Any) -> Floats:
        each: Floats = metric(guess, truth, num_classes=count, average="none").double().numpy()
        return each

    confusion = classification.multiclass_confusion_matrix(guess, truth, num_classes=count)
    return _Points(
        confusion=confusion.numpy().astype(np.int64),
        precision=per_class(classification.multiclass_precision),
        recall=per_class(classification.multiclass_recall),
        f1=per_class(classification.multiclass_f1_score),
    )


def _per_class(points: _Points, classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the numbers of each class; None where one means nothing."""
    true, guessed = points.confusion.sum(axis=1).tolist(), points.confusion.sum(axis=0).tolist()
    return {
        name: {
            "precision": float(points.precision[k]) if guessed[k] else None,
            "recall": float(points.recall[k]) if true[k] else None,
            "f1": float(points.f1[k]) if true[k] else None,
            "count": true[k],
        }
        for k, name in enumerate(classes)
    }


def interval_in_json(interval: Interval, count: int) -> dict[str, Any]:
    """Return an interval as ``{"value": …, "ci95": [low, high]}``; None for under two pictures."""
    return {"value": interval.mean, "ci95": [interval.low, interval.high] if count > 1 else None}


def share_in_json(right: NDArray[np.bool_], group: Counts | None = None) -> dict[str, Any]:
    """Return the share of pictures ``(N,)`` of which something is so, with its interval.

    That is Wilson's or, where persons ``(N,)`` are known, a bootstrap over them. Where it is so of
    all pictures or of none, every draw is alike: then it is Wilson's, as if of a picture a person.
    """
    from hybridface.evaluation.statistics import wilson_interval

    if group is not None and right.all() == right.any():
        people = len(np.unique(group))
        return interval_in_json(wilson_interval(people * int(right.all()), people), people)
    if group is not None:
        return bootstrap_means(right[:, np.newaxis].astype(np.float64), group).figure(0)
    return interval_in_json(wilson_interval(int(right.sum()), len(right)), len(right))


def mean_in_json(values: Floats, group: Counts | None = None) -> dict[str, Any]:
    """Return the mean of a number of each picture ``(N,)``, with its interval.

    That is Student's or, where persons ``(N,)`` are known, a bootstrap over them.
    """
    from hybridface.evaluation.statistics import t_interval

    if group is not None:
        return bootstrap_means(values[:, np.newaxis], group).figure(0)
    return interval_in_json(t_interval(values), len(values))


def _bootstrap(
    predicted: Counts, targets: Counts, order: Sequence[int], group: Counts | None
) -> list[list[float] | None]:
    """Return percentile intervals of the mean class accuracy and of macro F1.

    A class that a draw leaves out does not count in it.

    Args:
        predicted: ``(N,)`` classes.
        targets: ``(N,)`` true classes.
        order: The classes in an order that does not depend on how the model orders them, so that
            equal results get equal intervals.
        group: ``(N,)`` ids of persons, or None.
    """
    if (len(targets) if group is None else len(np.unique(group))) < 2:
        return [None, None]
    place = np.argsort(order)
    pairs = np.stack([place[targets], place[predicted]])
    (true, guessed), cells = np.unique(pairs, axis=1, return_inverse=True)
    random = np.random.default_rng(SEED)
    drawn = drawn_counts(cells.ravel(), DRAWS, random, group)
    means = np.concatenate([_means(each, true, guessed) for each in drawn])
    edges = np.quantile(means, [0.025, 0.975], axis=0)
    return [[float(low), float(high)] for low, high in edges.T]


def _means(draws: Floats, true: Counts, guessed: Counts) -> Floats:
    """Return ``(D, 2)`` mean class accuracy and macro F1 of ``(D, cells)`` drawn counts."""
    hits, recalls, scores = true == guessed, np.zeros(len(draws)), np.zeros(len(draws))
    seen = np.zeros(len(draws))
    for k in np.unique(true):
        right = draws[:, hits & (true == k)].sum(axis=1)
        wanted = draws[:, true == k].sum(axis=1)
        given = draws[:, guessed == k].sum(axis=1)
        seen += wanted > 0
        recalls += right / np.maximum(wanted, 1)
        scores += np.where(wanted > 0, 2 * right / np.maximum(wanted + given, 1), 0)
    return np.stack([recalls / seen, scores / seen], axis=1)
