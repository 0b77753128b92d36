"""Compare two models picture by picture: the same pictures, the same labels, paired figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.data.cache import Progress
from hybridface.data.source import is_file
from hybridface.errors import UsageError
from hybridface.evaluation.compare_numbers import compare_numbers
from hybridface.evaluation.compare_text import print_comparison
from hybridface.evaluation.evaluate import measure
from hybridface.evaluation.metrics import (
    classification_metrics,
    interval_in_json,
    mean_in_json,
    picture_nll,
    require_training_extra,
    share_in_json,
)
from hybridface.evaluation.pairing import Paired, pair_task
from hybridface.evaluation.predictions import SPLITS_OF_RUN, SUFFIX, Predictions, load_predictions
from hybridface.evaluation.run_predictions import load_run_predictions
from hybridface.files import CACHE_LIMIT_GIB, at_home
from hybridface.inference.shipped import MODEL_SUFFIX, is_shipped

SCORES = ("accuracy", "mean_class_accuracy", "nll")

Place = str | Path


def compare(
    a: Place,
    b: Place,
    data: str | None = None,
    split: str | None = None,
    label: str | None = None,
    *,
    batch_size: int = 256,
    progress: Progress | None = None,
    cache_limit_gib: float = CACHE_LIMIT_GIB,
    workers: int | None = None,
) -> dict[str, Any]:
    """Compare two models on the same pictures.

    Without ``data`` the predictions that were kept are compared: those of a finished run, or of
    an evaluation. With ``data`` both models are measured on it first.

    Args:
        a: A run folder, an ONNX file or ``default`` (with ``data``), or a kept evaluation
            (without).
        b: The same of the other model.
        data: ``KIND:PATH`` or ``KIND:PATH?option=value``, or None.
        split: With ``data`` as in :func:`hybridface.evaluate`. Else the kept split to
            compare: None takes ``test`` where both kept it, else ``val``.
        label: The label column of ``data`` to measure on.
        batch_size: How many pictures the models see at once.
        progress: See :func:`hybridface.evaluate`.
        cache_limit_gib: See :func:`hybridface.evaluate`.
        workers: See :func:`hybridface.evaluate`.

    Returns:
        What :func:`compare_predictions` gives.

    Raises:
        UsageError: A or B cannot be opened as asked, kept no predictions of the split, or they
            are evaluations on different pictures, labels or classes.
        DataError: A file of predictions is damaged, or ``data`` is not of its kind.
        HybridFaceError: A model or the cache fails, or torch is not installed.
    """
    require_training_extra()
    if data is None:
        if label is not None:
            raise UsageError("label: kept predictions have their labels; give it with data only")
        return compare_predictions(*_choose_split(_open_kept(a), _open_kept(b), split))
    for place in (a, b):
        if Path(place).suffix == SUFFIX:
            raise UsageError(
                f"{place}: a kept evaluation cannot be measured on other data; name its model, or "
                "leave out --data to compare what was kept"
            )
    options: dict[str, Any] = {
        "batch_size": batch_size,
        "progress": progress,
        "cache_limit_gib": cache_limit_gib,
        "workers": workers,
    }
    first, second = (measure(place, data, split, label, **options)[1] for place in (a, b))
    return compare_predictions(first, second)


def compare_predictions(a: Predictions, b: Predictions) -> dict[str, Any]:
    """Compare two models by their predictions for the same pictures.

    Per task that both have, and paired by picture: the difference B - A of accuracy and of mean
    class accuracy with 95 % percentile bootstrap intervals over pictures (10,000 draws from a
    fixed seed), of the negative log likelihood with a t interval; McNemar's exact test; and how
    often both say the same class. Where any of the two knows whose picture each is, all intervals
    are by bootstrap over ``groups``, persons or pictures that were kept together, and McNemar's
    test, which takes pictures for independent, is left out. Classes are matched by name. Of tasks
    of numbers, the difference in mean absolute error; see
    :func:`hybridface.evaluation.compare_numbers.compare_numbers`.

    Args:
        a: The predictions of one model.
        b: Those of the other.

    Returns:
        A dictionary that ``json.dumps`` takes::

            {"a": {"from": "runs/a", "model": "runs/a/model.onnx"}, "b": {…},
             "data": "rafdb:/data/rafdb", "split": "test", "count": 3068,
             "tasks": {"expression": {
                 "label": "expression", "classes": […], "count": 3068, "groups": None,
                 "a": {"accuracy": {"value": 0.81, "ci95": [0.79, 0.82]},
                     "mean_class_accuracy": {…}, "nll": {…}},
                 "b": {…},
                 "difference": {"accuracy": {…}, "mean_class_accuracy": {…}, "nll": {…}},
                 "mcnemar": {"both_right": …, "only_a_right": 120, "only_b_right": 165,
                     "both_wrong": …, "p_value": 0.009},
                 "agreement": {"value": 0.84, "ci95": […]}}},
             "notes": []}

        ``count`` is the largest of the tasks' counts. An interval from fewer than two pictures is
        None.

    Raises:
        UsageError: No task is in both, or a task's pictures, labels or classes differ.
        HybridFaceError: Probabilities are none, or torch is not installed.
    """
    shared = [name for name in a.tasks if name in b.tasks]
    numbers = [name for name in a.numbers if name in b.numbers]
    if not shared and not numbers:
        has = [", ".join([*each.tasks, *each.numbers]) for each in (a, b)]
        raise UsageError(
            f"A ({a.where}) and B ({b.where}) share no task: A has {has[0]}, "
            f"B has {has[1]}; compare models of the same task"
        )
    tasks = {name: _compare_task(pair_task(name, a, b)) for name in shared}
    tasks |= {name: compare_numbers(name, a, b) for name in numbers}
    return {
        "a": {"from": a.where, "model": a.model},
        "b": {"from": b.where, "model": b.model},
        "data": a.data,
        "split": a.split,
        "count": max(task["count"] for task in tasks.values()),
        "tasks": tasks,
        "notes": _notes(a, b),
    }


def _open_kept(place: Place) -> dict[str, Predictions]:
    """Return the predictions that were kept in a place, by split, the one to prefer first."""
    path = at_home(place)
    try:
        is_folder = path.is_dir()
    except OSError as error:  # too long a name, a folder that may not be entered
        raise UsageError(f"{path}: cannot be opened ({error.strerror})") from error
    if is_folder:
        return load_run_predictions(path)
    there = is_file(path)
    if path.suffix == MODEL_SUFFIX if there else is_shipped(path):
        raise UsageError(
            f"{path}: a model keeps no predictions; say what to measure it on with --data KIND:PATH"
        )
    if not there:
        raise UsageError(
            f"{path}: does not exist; expected a run's folder, what evaluate --out FILE{SUFFIX} "
            "wrote, or, with --data KIND:PATH, a model"
        )
    kept = load_predictions(path)
    return {kept.split: kept}


def _choose_split(
    a: dict[str, Predictions], b: dict[str, Predictions], split: str | None
) -> tuple[Predictions, Predictions]:
    if split is None:
        both = (name for name in SPLITS_OF_RUN if name in a and name in b)
        # Splits may be named differently and be the same pictures, which is looked at later.
        name = next(both, None)
        return a[name or next(iter(a))], b[name or next(iter(b))]
    for kept in (a, b):
        if split not in kept:
            where = next(iter(kept.values())).where
            raise UsageError(
                f"{where}: kept no predictions of split '{split}', but of {' and '.join(kept)}"
            )
    return a[split], b[split]


def _compare_task(pair: Paired) -> dict[str, Any]:
    from hybridface.evaluation.bootstrap import paired_bootstrap, paired_class_bootstrap

    targets, group = pair.targets, pair.group
    said_a, said_b = (each.argmax(axis=1) for each in (pair.a, pair.b))
    right_a, right_b = said_a == targets, said_b == targets
    losses_a, losses_b = (picture_nll(each, targets) for each in (pair.a, pair.b))
    groups = None if group is None else [group]
    drawn = len(targets if group is None else np.unique(group))
    accuracy = paired_bootstrap([right_b], [right_a], groups=groups)
    by_class = paired_class_bootstrap(right_b, right_a, targets, group=group)
    return {
        "label": pair.label,
        "classes": list(pair.classes),
        "count": len(targets),
        "groups": None if group is None else drawn,
        "a": _scores(pair.a, pair),
        "b": _scores(pair.b, pair),
        "difference": {
            "accuracy": interval_in_json(accuracy, drawn),
            "mean_class_accuracy": interval_in_json(by_class, drawn),
            "nll": mean_in_json(losses_b - losses_a, group),
        },
        "mcnemar": _right_and_wrong(right_a, right_b, independent=group is None),
        "agreement": share_in_json(said_a == said_b, group),
    }


def _right_and_wrong(
    right_a: NDArray[np.bool_], right_b: NDArray[np.bool_], *, independent: bool
) -> dict[str, Any]:
    from hybridface.evaluation.statistics import mcnemar_exact

    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    return {
        "both_right": int((right_a & right_b).sum()),
        "only_a_right": only_a,
        "only_b_right": only_b,
        "both_wrong": int((~right_a & ~right_b).sum()),
        "p_value": mcnemar_exact(only_a, only_b) if independent else None,
    }


def _scores(probabilities: NDArray[np.float64], pair: Paired) -> dict[str, Any]:
    figures = classification_metrics(probabilities, pair.targets, pair.classes, pair.group)
    return {name: figures[name] for name in SCORES}


def _notes(a: Predictions, b: Predictions) -> list[str]:
    """Return the notes of both, each once, what one alone tells, and what differs in name only."""
    notes = [note for note in a.notes if note in b.notes]
    for name, ours, theirs in (("A", a, b), ("B", b, a)):
        notes += [f"{name}: {note}" for note in ours.notes if note not in theirs.notes]
        alone = [*(ours.tasks.keys() - theirs.tasks), *(ours.numbers.keys() - theirs.numbers)]
        if alone:
            notes.append(f"not compared, as {name} alone has it: {', '.join(sorted(alone))}")
    if (a.data, a.split) != (b.data, b.split):
        said: Sequence[str] = [f"split {each.split} of {each.data}" for each in (a, b)]
        notes.append(f"A was measured on {said[0]}, B on {said[1]}: the same pictures")
    return notes


def run_compare(
    a: Place,
    b: Place,
    data: str | None = None,
    split: str | None = None,
    as_json: bool = False,
    *,
    label: str | None = None,
    progress: Progress | None = None,
    cache_limit_gib: float = CACHE_LIMIT_GIB,
    workers: int | None = None,
) -> int:
    """Compare two models and print the result: the command line's ``compare``.

    Args:
        a: See :func:`compare`.
        b: See :func:`compare`.
        data: See :func:`compare`.
        split: See :func:`compare`.
        as_json: Print exactly one JSON object instead of tables, and nothing else, on stdout.
        label: See :func:`compare`.
        progress: See :func:`compare`; must not write to stdout.
        cache_limit_gib: See :func:`compare`.
        workers: See :func:`compare`.

    Returns:
        The exit code, 0.

    Raises:
        HybridFaceError: See :func:`compare`.
    """
    result = compare(
        a, b, data, split, label, progress=progress,
        cache_limit_gib=cache_limit_gib, workers=workers,
    )  # fmt: skip
    if as_json:
        print(json.dumps(result, indent=2, allow_nan=False))
    else:
        print_comparison(result)
    return 0
