from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hybridface.data.batches import Batch
from hybridface.data.source import Labels
from hybridface.errors import UsageError
from hybridface.tasks import build_tasks
from hybridface.tasks.expression import Expression
from tiny_runs import labelled_batch

SEEDS = st.integers(0, 2**32 - 1)
NAMES = ("angry", "happy", "neutral", "sad")


def expression(
    ids: Any = (0, 1, 2, 3), names: tuple[str, ...] = NAMES, **options: Any
) -> Expression:
    (task,) = build_tasks({"expression": options})
    assert isinstance(task, Expression)
    ids = np.asarray(ids, dtype=np.int64)
    task.adopt(Labels(names, ids), torch.from_numpy(ids), 32)
    return task


def slow_loss(logits: np.ndarray, targets: list[np.ndarray | None], weights: np.ndarray) -> float:
    """Add up -w * sum(t * log p) over what has a target, and divide by the weights."""
    total, counted = 0.0, 0.0
    for row, (target, weight) in zip(logits, zip(targets, weights, strict=True), strict=True):
        if target is None:
            continue
        log_p = row - row.max()
        log_p = log_p - np.log(np.exp(log_p).sum())
        total -= weight * float((target * log_p).sum())
        counted += weight
    return total / counted if counted else 0.0


@st.composite
def answers(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Logits of four classes and labels, some of them missing."""
    random = np.random.default_rng(draw(SEEDS))
    count = draw(st.integers(1, 12))
    logits = torch.from_numpy(random.normal(0, 3, (count, 4)))
    return logits, torch.from_numpy(random.integers(-1, 4, count))


@given(answers(), st.sampled_from(["none", "root", "balanced"]), st.floats(0, 0.5))
def test_loss_is_what_a_slow_sum_gives(
    case: tuple[Tensor, Tensor], class_weights: str, smoothing: float
) -> None:
    logits, ids = case
    train = [0] * 10 + [1] * 5 + [2] * 2 + [3]
    task = expression(train, class_weights=class_weights, label_smoothing=smoothing)
    weights = task.class_weights.double().numpy()
    targets = [
        None if known < 0 else (1 - smoothing) * np.eye(4)[known] + smoothing / 4
        for known in ids.tolist()
    ]
    each = [weights[max(known, 0)] for known in ids.tolist()]
    expected = slow_loss(logits.numpy(), targets, np.array(each))
    assert task.loss(logits, (ids, None)).item() == pytest.approx(expected, rel=1e-5, abs=1e-9)


@given(answers(), SEEDS, st.sampled_from(["none", "balanced"]), st.floats(0, 0.5))
def test_votes_are_the_target(
    case: tuple[Tensor, Tensor], seed: int, class_weights: str, smoothing: float
) -> None:
    logits, ids = case
    random = np.random.default_rng(seed)
    votes = random.dirichlet(np.ones(4), len(ids))
    votes[(random.random(len(ids)) < 0.3)] = 0  # nobody voted: the label, if any, counts
    train = [0] * 10 + [1] * 5 + [2] * 2 + [3]
    task = expression(train, class_weights=class_weights, label_smoothing=smoothing)
    targets: list[np.ndarray | None] = []
    weights = []
    for known, row in zip(ids.tolist(), votes, strict=True):
        share = row if row.any() else np.eye(4)[known] if known >= 0 else None
        targets.append(None if share is None else (1 - smoothing) * share + smoothing / 4)
        weights.append(0 if share is None else share @ task.class_weights.double().numpy())
    expected = slow_loss(logits.numpy(), targets, np.array(weights))
    loss = task.loss(logits, (ids, torch.from_numpy(votes)))
    assert loss.item() == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_half_precision_leaves_the_weights_of_classes_as_they_are() -> None:
    task = expression([0] * 100 + [1] * 99 + [2] * 3 + [3], class_weights="balanced")
    ids = torch.arange(4)
    (mean,) = task.means(torch.zeros(4, 4).bfloat16(), (ids, None), labelled_batch(4))
    torch.testing.assert_close(mean.weight, task.class_weights.sum())


def test_votes_cost_what_labels_cost_in_half_precision_too() -> None:
    logits = torch.tensor([[3.1, 0.2, -1.3, 0.7], [0.1, 2.3, 0.4, -2.2]]).bfloat16()
    ids = torch.tensor([0, 3])
    votes = torch.nn.functional.one_hot(ids, 4).float()
    with torch.autocast("cpu", torch.bfloat16):
        losses = [expression().loss(logits, (ids, soft)) for soft in (votes, None)]
    torch.testing.assert_close(losses[0], losses[1])


def test_no_label_to_weigh_classes_by_weighs_all_the_same() -> None:
    task = expression([-1, -1], class_weights="balanced")
    assert task.class_weights.tolist() == [1.0] * 4


def test_votes_without_a_winner_still_teach() -> None:
    ids = torch.tensor([-1, -1])
    votes = torch.tensor([[0.5, 0.5, 0, 0], [0.0, 0, 0, 0]])
    logits = torch.zeros(2, 4, requires_grad=True)
    loss = expression().loss(logits, (ids, votes))
    loss.backward()
    assert loss.item() == pytest.approx(np.log(4))
    assert logits.grad is not None
    assert (logits.grad[0] != 0).any()
    assert (logits.grad[1] == 0).all()


def test_votes_reach_the_loss_through_the_batch() -> None:
    votes = torch.tensor([[0.2, 0.8, 0, 0]])
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    batch = Batch(images, {"mood": torch.tensor([1])}, {"mood": votes})
    view = expression(label="mood").make_view(images.float(), batch, torch.Generator())
    assert view.images is None
    assert view.target[0] is batch.labels["mood"]
    assert view.target[1] is votes


@pytest.mark.parametrize(("class_weights", "power"), [("none", 0), ("root", 0.5), ("balanced", 1)])
def test_classes_weigh_by_rarity_and_one_on_average(class_weights: str, power: float) -> None:
    train = np.array([0] * 16 + [1] * 4 + [2] * 4 + [3] * 1 + [-1] * 9)
    weights = expression(train, class_weights=class_weights).class_weights.numpy()
    counts = np.array([16, 4, 4, 1])
    np.testing.assert_allclose(weights / weights[3], (1 / counts) ** power, rtol=1e-5)
    assert (weights * counts).sum() == pytest.approx(counts.sum(), rel=1e-5)


def test_a_class_without_pictures_has_a_finite_weight() -> None:
    weights = expression([0, 0, 1, 2], class_weights="balanced").class_weights
    assert weights.isfinite().all()


def test_accuracy_is_over_labelled_pictures() -> None:
    output = torch.eye(4)
    ids = torch.tensor([0, 1, 0, -1])
    assert expression().measure(output, (ids, None))["accuracy"].item() == pytest.approx(2 / 3)
    assert expression().measure(output, (torch.full((4,), -1), None))["accuracy"] == 0


def test_decoded_are_probabilities_in_the_order_of_the_classes() -> None:
    task = expression()
    output = torch.tensor([[0.0, 3, 1, -2]])
    powers = np.exp(output.numpy())
    np.testing.assert_allclose(task.decode(output).numpy(), powers / powers.sum(), rtol=1e-6)
    assert task.describe() == {"kind": "classification", "classes": list(NAMES)}


def test_any_label_column_can_be_learned() -> None:
    (task,) = build_tasks({"gender": {"type": "expression", "label": "sex"}})
    assert task.label == "sex"
    assert task.name == "gender"


@pytest.mark.parametrize("labels", [None, Labels(("one",), np.zeros(3, dtype=np.int64))])
def test_fewer_than_two_classes_are_refused(labels: Labels | None) -> None:
    (task,) = build_tasks({"expression": {}})
    with pytest.raises(UsageError, match="'expression' has fewer than 2 classes"):
        task.adopt(labels, None, 32)
