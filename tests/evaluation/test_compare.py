"""Comparisons: what must hold of any, and slow references by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridface.errors import UsageError
from hybridface.evaluation.compare import compare, compare_predictions
from hybridface.evaluation.compare_text import print_comparison
from hybridface.evaluation.pairing import joined_groups
from hybridface.evaluation.predictions import (
    Predictions,
    TaskPredictions,
    load_predictions,
    save_predictions,
)

CLASSES = ("happy", "sad", "angry")
COUNT = 60


def made(seed: int, where: str = "a", count: int = COUNT, skill: float = 1.0) -> Predictions:
    """Return predictions for the same made-up pictures; the seed decides what is said of them."""
    targets = np.random.default_rng(7).integers(0, 3, count)
    logits = np.random.default_rng(seed).normal(size=(count, 3)) + skill * np.eye(3)[targets]
    powers = np.exp(logits)
    probabilities = (powers / powers.sum(1, keepdims=True)).astype(np.float32)
    keys = np.array([f"{number}.png" for number in range(count)])
    task = TaskPredictions("expression", CLASSES, keys, targets, probabilities)
    return Predictions(where, f"{where}.onnx", "made:up", "test", "print", {"expression": task})


def changed(predictions: Predictions, **changes: Any) -> Predictions:
    """Return predictions whose only task differs in some parts."""
    task = replace(predictions.tasks["expression"], **changes)
    return replace(predictions, tasks={"expression": task})


def permuted(
    predictions: Predictions, order: list[int], names: tuple[str, ...] = ()
) -> Predictions:
    """Return the same predictions with another order of the classes."""
    task = predictions.tasks["expression"]
    classes = tuple((names or task.classes)[place] for place in order)
    targets = np.argsort(order)[task.targets]
    return changed(
        predictions, classes=classes, targets=targets, probabilities=task.probabilities[:, order]
    )


def figures(a: Predictions, b: Predictions) -> dict[str, Any]:
    result = compare_predictions(a, b)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    task: dict[str, Any] = result["tasks"]["expression"]
    return task


def test_a_model_is_as_good_as_itself() -> None:
    task = figures(made(1), made(1))
    for score in task["difference"].values():
        assert score == {"value": 0, "ci95": [0, 0]}
    assert task["a"] == task["b"]
    assert task["mcnemar"]["p_value"] == 1
    assert task["mcnemar"]["only_a_right"] == task["mcnemar"]["only_b_right"] == 0
    assert task["agreement"]["value"] == 1


def test_persons_are_drawn_whole_where_they_are_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    group = np.arange(COUNT) % 6
    sides = [changed(made(seed), groups=group) for seed in (1, 2)]
    turned = changed(
        sides[1],
        **{
            part: getattr(sides[1].tasks["expression"], part)[::-1]
            for part in ("keys", "targets", "probabilities", "groups")
        },
    )
    by_person, by_picture = figures(sides[0], turned), figures(made(1), made(2))
    assert (by_person["groups"], by_picture["groups"]) == (6, None)
    assert by_person["mcnemar"]["p_value"] is None
    for name, score in by_person["difference"].items():
        assert score["value"] == pytest.approx(by_picture["difference"][name]["value"])
        assert score["ci95"] != by_picture["difference"][name]["ci95"]
    assert by_person["a"]["accuracy"]["ci95"] != by_picture["a"]["accuracy"]["ci95"]
    assert by_person["agreement"]["ci95"] != by_picture["agreement"]["ci95"]
    said = [made(seed).tasks["expression"].predicted for seed in (1, 2)]
    assert by_person["agreement"]["value"] == pytest.approx((said[0] == said[1]).mean())
    one = figures(*(changed(made(seed), groups=np.zeros(COUNT, np.int64)) for seed in (1, 2)))
    assert all(score["ci95"] is None for score in one["difference"].values())
    print_comparison(compare_predictions(*sides))
    printed = capsys.readouterr().out
    assert f"task expression, {COUNT} pictures in 6 groups" in printed
    assert "no McNemar's test" in printed
    save_predictions(tmp_path / "kept.npz", sides[0])
    kept = load_predictions(tmp_path / "kept.npz").tasks["expression"].groups
    assert kept is not None and np.array_equal(kept, group)


def test_persons_that_one_knows_are_drawn_whole() -> None:
    """As of a run that kept near-duplicates together, and another that did not look for them."""
    group = np.arange(COUNT) % 6
    knows = [changed(made(seed), groups=group) for seed in (1, 2)]
    both = figures(*knows)
    assert figures(knows[0], made(2)) == figures(made(1), knows[1]) == both
    assert both["mcnemar"]["p_value"] is None


def test_what_either_holds_together_is_one_group() -> None:
    ours, theirs = np.array([7, 7, 3, 3, 5, 9]), np.array([0, 1, 1, 2, 3, 3])
    group = joined_groups(ours, theirs)
    assert group is not None
    assert [np.flatnonzero(group == each).tolist() for each in dict.fromkeys(group.tolist())] == [
        [0, 1, 2, 3], [4, 5],
    ]  # fmt: skip
    assert joined_groups(ours, None) is joined_groups(None, ours) is ours
    assert joined_groups(None, None) is None


def test_swapping_negates_the_difference() -> None:
    one, other = figures(made(1), made(2, skill=2)), figures(made(2, skill=2), made(1))
    assert one["difference"]["accuracy"]["value"] > 0
    for name, score in one["difference"].items():
        assert other["difference"][name]["value"] == pytest.approx(-score["value"])
        low, high = other["difference"][name]["ci95"]
        assert [-high, -low] == pytest.approx(score["ci95"], abs=0.02)
    assert (one["a"], one["b"]) == (other["b"], other["a"])
    assert one["agreement"] == other["agreement"]
    assert one["mcnemar"]["only_a_right"] == other["mcnemar"]["only_b_right"]
    assert one["mcnemar"]["p_value"] == pytest.approx(other["mcnemar"]["p_value"])


@pytest.mark.parametrize("order", [[2, 0, 1], [1, 2, 0], [2, 1, 0]])
def test_orders_of_classes_and_pictures_change_nothing(order: list[int]) -> None:
    a, b = made(1), made(2)
    before = compare_predictions(a, b)
    assert compare_predictions(a, permuted(b, order)) == before
    assert compare_predictions(permuted(a, order), b) == before
    spelled = permuted(b, order, names=("Happiness", "sadness", "anger"))
    assert compare_predictions(a, spelled) == before
    rows, task = np.random.default_rng(0).permutation(COUNT), b.tasks["expression"]
    shuffled = changed(
        b,
        keys=task.keys[rows],
        targets=task.targets[rows],
        probabilities=task.probabilities[rows],
    )
    assert compare_predictions(a, shuffled) == before


def test_figures_are_those_of_a_slow_reference() -> None:
    a, b = made(1), made(2, skill=2)
    task, targets = figures(a, b), a.tasks["expression"].targets.tolist()
    said = [each.tasks["expression"].probabilities.argmax(1).tolist() for each in (a, b)]
    only_a = only_b = same = 0
    for truth, first, second in zip(targets, *said, strict=True):
        only_a += first == truth != second
        only_b += second == truth != first
        same += first == second
    apart = only_a + only_b
    tail = sum(comb(apart, k) for k in range(min(only_a, only_b) + 1)) / 2**apart
    pairs = task["mcnemar"]
    assert (pairs["only_a_right"], pairs["only_b_right"]) == (only_a, only_b)
    assert pairs["both_right"] + pairs["both_wrong"] + apart == task["count"] == COUNT
    assert pairs["p_value"] == pytest.approx(min(1, 2 * tail))
    assert task["agreement"]["value"] == pytest.approx(same / COUNT)
    assert task["difference"]["accuracy"]["value"] == pytest.approx((only_b - only_a) / COUNT)
    for name in ("accuracy", "mean_class_accuracy", "nll"):
        difference = task["b"][name]["value"] - task["a"][name]["value"]
        assert task["difference"][name]["value"] == pytest.approx(difference)


def test_intervals_are_those_of_drawing_pictures_one_by_one() -> None:
    a, b = made(1), made(2, skill=2)
    targets = a.tasks["expression"].targets
    right = [each.tasks["expression"].probabilities.argmax(1) == targets for each in (a, b)]
    random, drawn = np.random.default_rng(5), {"accuracy": [], "mean_class_accuracy": []}
    for _ in range(2000):
        rows = random.integers(0, COUNT, COUNT)
        gain = right[1][rows].astype(float) - right[0][rows]
        drawn["accuracy"].append(gain.mean())
        present = np.unique(targets[rows])
        drawn["mean_class_accuracy"].append(
            np.mean([gain[targets[rows] == each].mean() for each in present])
        )
    for name, values in drawn.items():
        slow = np.quantile(values, [0.025, 0.975])
        assert figures(a, b)["difference"][name]["ci95"] == pytest.approx(slow, abs=0.02)


def test_one_picture_has_no_intervals() -> None:
    task = figures(made(1, count=1), made(2, count=1))
    assert {score["ci95"] for score in task["difference"].values()} == {None}


DIFFERENT: dict[str, tuple[Predictions, str]] = {
    "label": (changed(made(2), label="mood"), "label columns, 'expression' and 'mood'"),
    "classes": (
        changed(made(2), classes=("happy", "sad", "fear")),
        r"only in A: angry; only in B: fear",
    ),
    "more classes": (
        changed(
            made(2),
            classes=(*CLASSES, "joy"),
            probabilities=np.full((COUNT, 4), 0.25, np.float32),
        ),
        "different classes",
    ),
    "a class that A lacks": (
        changed(
            made(2),
            classes=(*CLASSES, "fear"),
            probabilities=np.full((COUNT, 4), 0.25, np.float32),
        ),
        r"only in A: none; only in B: fear",
    ),
    "fewer pictures": (
        made(2, count=COUNT - 2),
        r"2 only in A \(first: 58.png\), 0 only in B, 58 in both",
    ),
    "other pictures": (
        changed(made(2), keys=np.array([f"{n + 3}.png" for n in range(COUNT)])),
        r"3 only in A \(first: 0.png\), 3 only in B \(first: 60.png\), 57 in both",
    ),
    "other content": (replace(made(2), fingerprint="other"), "pictures that go by the same names"),
    "other labels": (
        changed(made(2), targets=np.zeros(COUNT, np.int64)),
        r"against different labels: \d+ of 60 pictures, first '.*', which is '.*' in A and 'happy'",
    ),
    "other task": (
        replace(made(2), tasks={"mood": made(2).tasks["expression"]}),
        "share no task: A has expression, B has mood",
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_cannot_be_paired_is_refused(name: str) -> None:
    other, said = DIFFERENT[name]
    with pytest.raises(UsageError, match=said):
        compare_predictions(made(1), other)


def test_an_unknown_fingerprint_is_no_difference() -> None:
    assert figures(made(1), replace(made(2), fingerprint=""))["count"] == COUNT


def test_notes_of_both_are_told_apart() -> None:
    a = replace(made(1), notes=("shared", "mine"))
    b = replace(made(2), notes=("shared",), split="all")
    assert compare_predictions(a, b)["notes"] == [
        "shared",
        "A: mine",
        "A was measured on split test of made:up, B on split all of made:up: the same pictures",
    ]


def test_labels_of_kept_predictions_cannot_be_chosen() -> None:
    with pytest.raises(UsageError, match="give it with data only"):
        compare("a.npz", "b.npz", label="mood")


def test_tables_say_what_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    result = compare_predictions(made(1), replace(made(2, "[b]", skill=2), notes=("a note",)))
    print_comparison(result)
    out = " ".join(capsys.readouterr().out.split())
    task = result["tasks"]["expression"]
    for text in (
        "A: a B: [b] on made:up, split test, 60 pictures",
        f"{100 * task['difference']['accuracy']['value']:+.1f} points",
        "mean class accuracy",
        "negative log likelihood",
        f"only A right: {task['mcnemar']['only_a_right']},",
        f"p = {task['mcnemar']['p_value']:.3g}",
        "note: B: a note",
    ):
        assert text in out


def test_what_one_model_alone_tells_is_named() -> None:
    a, b = made(1), made(2)
    more = replace(a, tasks={**a.tasks, "mood": a.tasks["expression"]})
    assert compare_predictions(more, b)["notes"] == ["not compared, as A alone has it: mood"]
    assert compare_predictions(a, replace(more, where="b"))["notes"] == [
        "not compared, as B alone has it: mood"
    ]
