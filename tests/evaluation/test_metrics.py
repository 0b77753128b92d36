from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_calibration import slow_calibration_error

from hybridface.errors import HybridFaceError, UsageError
from hybridface.evaluation import drawn_counts, metrics
from hybridface.evaluation.metrics import classification_metrics

NAMES = ("angry", "happy", "sad", "neutral", "fear")
Case = tuple[NDArray[np.float64], NDArray[np.int64], tuple[str, ...]]


def make_case(count: int, classes: int, seed: int, used: int | None = None) -> Case:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.full(classes, 0.7), count)
    targets = random.integers(0, used or classes, count)
    return probabilities, targets, NAMES[:classes]


cases = st.builds(
    make_case,
    st.integers(1, 60),
    st.integers(2, 5),
    st.integers(0, 10_000),
    st.sampled_from([1, 2, None]),
)


def slow_confusion(case: Case) -> list[list[int]]:
    probabilities, targets, names = case
    table = [[0] * len(names) for _ in names]
    for row, target in zip(probabilities.tolist(), targets.tolist(), strict=True):
        table[target][row.index(max(row))] += 1
    return table


def slow_scores(table: list[list[int]]) -> tuple[float, float, float]:
    """Return accuracy, mean class accuracy and macro F1 over the classes that have a picture."""
    classes = range(len(table))
    total = sum(sum(row) for row in table)
    recalls, scores = [], []
    for k in classes:
        hits, true = table[k][k], sum(table[k])
        guessed = sum(table[row][k] for row in classes)
        if true:
            recalls.append(hits / true)
            precision = hits / guessed if guessed else 0.0
            both = precision + hits / true
            scores.append(2 * precision * (hits / true) / both if both else 0.0)
    right = sum(table[k][k] for k in classes)
    return right / total, sum(recalls) / len(recalls), sum(scores) / len(scores)


@settings(max_examples=60, deadline=None)
@given(case=cases)
def test_point_values_are_the_slow_ones(case: Case) -> None:
    probabilities, targets, names = case
    result = classification_metrics(probabilities, targets, names)
    table = slow_confusion(case)
    accuracy, mean_class_accuracy, macro_f1 = slow_scores(table)
    assert result["confusion"] == {"classes": list(names), "counts": table}
    assert result["count"] == len(targets)
    assert result["accuracy"]["value"] == pytest.approx(accuracy)
    assert result["mean_class_accuracy"]["value"] == pytest.approx(mean_class_accuracy, abs=1e-6)
    assert result["macro_f1"]["value"] == pytest.approx(macro_f1, abs=1e-6)
    losses = [-math.log(row[k]) for row, k in zip(probabilities.tolist(), targets, strict=True)]
    assert result["nll"]["value"] == pytest.approx(sum(losses) / len(losses))
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    ece = slow_calibration_error(confidence, correct)
    assert result["ece"] == {"value": pytest.approx(ece)}
    for k, name in enumerate(names):
        each, guessed = result["per_class"][name], sum(row[k] for row in table)
        assert each["count"] == sum(table[k])
        assert each["precision"] == (
            pytest.approx(table[k][k] / guessed, abs=1e-6) if guessed else None
        )
        assert each["recall"] == (
            pytest.approx(table[k][k] / sum(table[k]), abs=1e-6) if sum(table[k]) else None
        )
        assert (each["f1"] is None) == (name in result["absent_classes"]) == (not sum(table[k]))
        if each["f1"] is not None:
            f1 = 2 * table[k][k] / (sum(table[k]) + guessed)
            assert each["f1"] == pytest.approx(f1, abs=1e-6)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


@settings(max_examples=40, deadline=None)
@given(case=cases, order=st.permutations(range(5)))
def test_the_order_of_classes_changes_nothing(case: Case, order: list[int]) -> None:
    probabilities, targets, names = case
    order = [k for k in order if k < len(names)]
    places = np.argsort(order)
    first = classification_metrics(probabilities, targets, names)
    second = classification_metrics(
        probabilities[:, order], places[targets], [names[k] for k in order]
    )
    for key in ("accuracy", "mean_class_accuracy", "macro_f1", "nll"):
        assert second[key]["value"] == pytest.approx(first[key]["value"])
        assert second[key]["ci95"] == (first[key]["ci95"] and pytest.approx(first[key]["ci95"]))
    assert second["ece"]["value"] == pytest.approx(first["ece"]["value"])
    assert second["per_class"] == first["per_class"]
    assert sorted(second["absent_classes"]) == sorted(first["absent_classes"])


def test_accuracy_has_wilsons_interval() -> None:
    probabilities = np.tile([0.9, 0.1], (50, 1))
    targets = np.array([0] * 43 + [1] * 7)
    z, n, p = 1.959963984540054, 50, 43 / 50
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    accuracy = classification_metrics(probabilities, targets, ("a", "b"))["accuracy"]
    assert accuracy["ci95"] == pytest.approx([centre - half, centre + half])


def test_nll_has_a_t_interval() -> None:
    probabilities = np.array([[0.5, 0.5], [0.8, 0.2], [0.1, 0.9]])
    nll = classification_metrics(probabilities, np.array([0, 0, 0]), ("a", "b"))["nll"]
    losses = [-math.log(p) for p in (0.5, 0.8, 0.1)]
    mean = sum(losses) / 3
    deviation = math.sqrt(sum((loss - mean) ** 2 for loss in losses) / 2)
    half = 4.302652729911275 * deviation / math.sqrt(3)
    assert nll == {"value": pytest.approx(mean), "ci95": pytest.approx([mean - half, mean + half])}


def test_bootstrap_is_the_slow_one_over_pictures() -> None:
    case = make_case(120, 4, seed=3)
    probabilities, targets, names = case
    result = classification_metrics(probabilities, targets, names)
    random = np.random.default_rng(0)
    draws = []
    for _ in range(1500):
        chosen = random.integers(0, len(targets), len(targets))
        draws.append(slow_scores(slow_confusion((probabilities[chosen], targets[chosen], names))))
    for place, key in ((1, "mean_class_accuracy"), (2, "macro_f1")):
        wanted = np.quantile([draw[place] for draw in draws], [0.025, 0.975])
        assert result[key]["ci95"] == pytest.approx(wanted, abs=0.015)


@pytest.mark.parametrize("persons", [None, 20])
def test_bootstrap_in_blocks_and_again_is_the_same(
    persons: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case(90, 5, seed=5)
    group = None if persons is None else np.arange(90) % persons
    whole = classification_metrics(*case, group)
    assert classification_metrics(*case, group) == whole
    monkeypatch.setattr(drawn_counts, "_BLOCK", 500)
    assert classification_metrics(*case, group) == whole


def test_persons_are_drawn_whole_as_the_slow_draw_does() -> None:
    """Of few persons, some easy and some hard, intervals are those of the persons."""
    random = np.random.default_rng(3)
    group = random.integers(0, 15, 300)
    targets = random.integers(0, 3, 300)
    logits = random.normal(size=(300, 3)) + 4 * random.random(15)[group, None] * np.eye(3)[targets]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = NAMES[:3]
    result = classification_metrics(probabilities, targets, names, group)
    draws = []
    for _ in range(1500):
        drawn = random.integers(0, 15, 15)
        rows = np.concatenate([np.flatnonzero(group == person) for person in drawn])
        losses = -np.log(probabilities[rows, targets[rows]])
        scores = slow_scores(slow_confusion((probabilities[rows], targets[rows], names)))
        draws.append((*scores, losses.mean()))
    by_picture = classification_metrics(probabilities, targets, names)
    for place, key in enumerate(("accuracy", "mean_class_accuracy", "macro_f1", "nll")):
        wanted = np.quantile([draw[place] for draw in draws], [0.025, 0.975])
        assert result[key]["ci95"] == pytest.approx(wanted, abs=0.03), key
        assert result[key]["value"] == pytest.approx(by_picture[key]["value"])
        widths = [high - low for low, high in (result[key]["ci95"], by_picture[key]["ci95"])]
        assert widths[0] > 1.5 * widths[1], key
    one = classification_metrics(probabilities, targets, names, np.zeros(300, np.int64))
    assert one["accuracy"]["ci95"] is one["macro_f1"]["ci95"] is one["nll"]["ci95"] is None


def test_all_right_of_few_persons_is_not_certain() -> None:
    probabilities, targets = np.tile([0.9, 0.1], (60, 1)), np.zeros(60, np.int64)
    accuracy = classification_metrics(probabilities, targets, NAMES[:2], np.arange(60) % 6)
    of_six = classification_metrics(probabilities[:6], targets[:6], NAMES[:2])
    assert accuracy["accuracy"] == of_six["accuracy"]
    wrong = classification_metrics(probabilities, targets + 1, NAMES[:2], np.arange(60) % 6)
    assert wrong["accuracy"]["value"] == 0 and wrong["accuracy"]["ci95"][1] > 0.2


def test_absent_classes_are_said_and_left_out() -> None:
    probabilities = np.array([[0.9, 0.05, 0.05], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7]])
    result = classification_metrics(probabilities, np.array([0, 1, 1]), ("a", "b", "c"))
    assert result["absent_classes"] == ["c"]
    assert result["mean_class_accuracy"]["value"] == 0.75  # predicting c for b is an error of b
    assert result["macro_f1"]["value"] == pytest.approx((1 + 2 / 3) / 2)
    assert result["per_class"]["c"] == {"precision": 0.0, "recall": None, "f1": None, "count": 0}


def test_one_picture_has_no_interval() -> None:
    result = classification_metrics(np.array([[0.3, 0.7]]), np.array([1]), ("a", "b"))
    for key in ("accuracy", "mean_class_accuracy", "macro_f1", "nll"):
        assert result[key]["ci95"] is None
    assert result["accuracy"]["value"] == 1


def test_two_pictures_have_an_interval() -> None:
    result = classification_metrics(np.eye(2), np.array([0, 0]), ("a", "b"))
    for key in ("accuracy", "mean_class_accuracy", "macro_f1", "nll"):
        low, high = result[key]["ci95"]
        assert low < result[key]["value"] < high or key == "macro_f1"


def test_a_true_class_of_no_probability_keeps_the_loss_finite() -> None:
    nll = classification_metrics(np.array([[1.0, 0.0]]), np.array([1]), ("a", "b"))["nll"]
    assert nll["value"] == pytest.approx(87.34, abs=0.01)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_no_numbers_are_refused(bad: float) -> None:
    probabilities = np.array([[0.5, 0.5], [bad, 0.5]])
    with pytest.raises(HybridFaceError, match="1 of 2 rows hold NaN"):
        classification_metrics(probabilities, np.array([0, 1]), ("a", "b"))


def test_probabilities_may_be_rounded() -> None:
    rounded = classification_metrics(np.array([[0.503, 0.503]]), np.array([0]), ("a", "b"))
    assert rounded["nll"]["value"] == pytest.approx(-math.log(0.503))


@pytest.mark.parametrize("row", [[3.0, -2.0], [0.9, 0.9], [0.5, 0.53]])
def test_logits_are_refused(row: list[float]) -> None:
    with pytest.raises(HybridFaceError, match="these are no probabilities"):
        classification_metrics(np.array([row]), np.array([0]), ("a", "b"))


@pytest.mark.parametrize(
    ("targets", "names"),
    [
        ([0, 2], "ab"),
        ([0, -1], "ab"),
        ([0.0, 1.0], "ab"),
        ([0], "ab"),
        ([0, 1], "abc"),
        ([0, 0], "a"),
    ],
)
def test_what_does_not_fit_together_is_wrong_use(targets: list[Any], names: str) -> None:
    with pytest.raises(UsageError, match=r"metrics: .*expected"):
        classification_metrics(np.full((2, 2), 0.5), np.array(targets), list(names))


def test_one_class_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="at least 2 class names"):
        classification_metrics(np.ones((2, 1)), np.array([0, 0]), ["a"])


def test_nothing_to_measure() -> None:
    with pytest.raises(HybridFaceError, match="no row"):
        classification_metrics(np.zeros((0, 2)), np.zeros(0, int), ("a", "b"))


def test_without_torch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    monkeypatch.setattr(metrics.importlib, "import_module", without)
    with pytest.raises(HybridFaceError, match=r'pip install "hybridface\[train\]"'):
        classification_metrics(np.array([[0.5, 0.5]]), np.array([0]), ("a", "b"))
