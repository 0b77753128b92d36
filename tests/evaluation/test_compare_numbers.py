"""Comparisons of predicted numbers: paired, by picture or by person."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridface.errors import DataError, UsageError
from hybridface.evaluation.compare import compare_predictions
from hybridface.evaluation.compare_numbers import compare_numbers
from hybridface.evaluation.compare_text import print_comparison
from hybridface.evaluation.numeric_predictions import NumericPredictions
from hybridface.evaluation.predictions import Predictions, load_predictions, save_predictions

COUNT, PEOPLE = 120, 6


def predictions(shift: float = 0.0, persons: bool = True) -> Predictions:
    """Return ages of people of whom each is off by an amount of his own, and some noise."""
    random = np.random.default_rng(0)
    person = np.arange(COUNT) % PEOPLE
    true = random.uniform(20, 60, COUNT).astype(np.float32)
    off = np.abs(random.normal(0, 0.1, COUNT)) + 1 + shift * person
    outputs = np.stack([true + off, np.ones(COUNT)], axis=1).astype(np.float32)
    keys = np.array([f"{number}.png" for number in range(COUNT)])
    ages = NumericPredictions(
        "age", "regression", ("age",), "years", keys, true[:, None], outputs,
        person.astype(np.int64) if persons else None,
    )  # fmt: skip
    return Predictions("where", "model", "folder:x", "test", "f", {}, (), {"age": ages})


def width(found: dict[str, dict[str, dict[str, list[float]]]]) -> float:
    low, high = found["difference"]["mae"]["ci95"]
    return high - low


def test_persons_are_drawn_whole_where_they_are_known() -> None:
    by_person = compare_numbers("age", predictions(), predictions(0.5))
    by_picture = compare_numbers("age", predictions(persons=False), predictions(0.5, persons=False))
    assert compare_numbers("age", predictions(), predictions(0.5, persons=False)) == by_person
    assert compare_numbers("age", predictions(persons=False), predictions(0.5)) == by_person
    assert by_person["groups"] == PEOPLE
    assert by_picture["groups"] is None
    for found in (by_person, by_picture):
        assert found["difference"]["mae"]["value"] == pytest.approx(
            0.5 * (PEOPLE - 1) / 2, abs=1e-4
        )
    assert width(by_person) > 2 * width(by_picture)


def test_persons_follow_their_pictures_into_any_order() -> None:
    a, b = predictions(), predictions(0.5)
    mixed = np.random.default_rng(1).permutation(COUNT)
    turned = replace(b, numbers={"age": b.numbers["age"].rows(mixed)})
    assert compare_numbers("age", a, turned) == compare_numbers("age", a, b)
    assert compare_numbers("age", turned, a)["groups"] == PEOPLE


def altered(**parts: Any) -> Predictions:
    """Return predictions whose ages differ in some parts."""
    whole = predictions(0.5)
    return replace(whole, numbers={"age": replace(whole.numbers["age"], **parts)})


AGES = predictions().numbers["age"]
DIFFERENT: dict[str, tuple[Predictions, str]] = {
    "unit": (altered(unit="months"), "were measured on different columns"),
    "pictures": (altered(keys=np.char.add(AGES.keys, "x")), "120 only in A .* 120 only in B"),
    "content": (replace(predictions(), fingerprint="g"), "pictures that go by the same names"),
    "labels": (altered(targets=AGES.targets + 1), "different labels: 120 of 120 pictures, first"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_cannot_be_paired_is_refused(name: str) -> None:
    other, said = DIFFERENT[name]
    with pytest.raises(UsageError, match=said):
        compare_numbers("age", predictions(), other)


def test_without_a_label_there_is_nothing_to_compare() -> None:
    nothing = altered(targets=np.full_like(AGES.targets, np.nan))
    with pytest.raises(UsageError, match="no picture whose label can be measured"):
        compare_numbers("age", nothing, nothing)


def test_poses_are_compared_on_the_pictures_that_count() -> None:
    """Not those without a label, nor those beyond 99 degrees."""
    random = np.random.default_rng(2)
    targets = random.uniform(-60, 60, (COUNT, 3)).astype(np.float32)
    targets[:5], targets[5, 1] = np.nan, 120
    sides = []
    for noise in (3, 6):
        outputs = (np.nan_to_num(targets) + random.normal(0, noise, (COUNT, 3))).astype(np.float32)
        poses = NumericPredictions(
            "pose", "pose", ("yaw", "pitch", "roll"), "degrees", AGES.keys, targets, outputs,
            AGES.groups,
        )  # fmt: skip
        sides.append(replace(predictions(), numbers={"pose": poses}))
    found = compare_numbers("pose", *sides)
    errors = [
        np.abs(side.numbers["pose"].outputs - targets)[6:].mean(dtype=float) for side in sides
    ]
    assert (found["count"], found["groups"]) == (COUNT - 6, PEOPLE)
    assert [found[name]["mae"]["value"] for name in "ab"] == pytest.approx(errors, abs=1e-4)
    gain = found["difference"]["mae"]["value"]
    assert gain == pytest.approx(errors[1] - errors[0], abs=1e-4)


def test_persons_are_kept_in_a_file(tmp_path: Path) -> None:
    for persons in (True, False):
        path = tmp_path / f"{persons}.npz"
        save_predictions(path, predictions(persons=persons))
        kept = load_predictions(path).numbers["age"].groups
        assert (kept is not None) == persons
    arrays = dict(np.load(tmp_path / "True.npz"))
    np.savez(tmp_path / "bad.npz", **{**arrays, "age/groups": np.zeros(3, np.int64)})
    with pytest.raises(DataError, match="groups are no 120 whole numbers"):
        load_predictions(tmp_path / "bad.npz")


@pytest.mark.parametrize(("unit", "scale", "decimals"), [("years", 1.0, 2), ("m", 0.001, 5)])
def test_small_errors_and_persons_are_printed(
    unit: str, scale: float, decimals: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def scaled(predictions: Predictions) -> Predictions:
        ages = predictions.numbers["age"]
        parts = {"targets": scale * ages.targets, "outputs": scale * ages.outputs, "unit": unit}
        kept = {name: each.astype(np.float32) for name, each in parts.items() if name != "unit"}
        return replace(predictions, numbers={"age": replace(ages, **{**parts, **kept})})

    result = compare_predictions(scaled(predictions()), scaled(predictions(0.5)))
    print_comparison(result)
    printed = capsys.readouterr().out
    assert "task age, 120 pictures in 6 groups" in printed
    assert f"{result['tasks']['age']['a']['mae']['value']:.{decimals}f} " in printed
