from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hybridface.data.source import (
    MISSING,
    Labels,
    NumericLabels,
    Problem,
    Rows,
    Source,
    SourceOptions,
)
from hybridface.errors import DataError, UsageError
from hybridface.evaluation.evaluate import evaluate
from hybridface.evaluation.matching import match_columns
from hybridface.evaluation.predictions import load_predictions
from hybridface.inference.runtime import FaceModel
from hybridface.rotations import ANGLES
from tiny_models import EXPRESSIONS, weights_of, write_model

pytestmark = pytest.mark.usefixtures("hybridface_cache")


class Made(Source):
    """Random pictures, the fifth broken, with whatever labels a test gives them."""

    kind = "made"
    layout = "nothing"
    labels: dict[str, Labels]
    group: NDArray[np.int64] | None = None

    def read(self) -> Rows:
        count = len(next(iter(self.labels.values())).ids)
        keys = [f"{number}.png" for number in range(count)]
        split = np.array([""] * count)
        return Rows(keys, split, self.labels, notes=["made by hand"], group=self.group)

    def fingerprint(self, rows: Rows, memory: Path) -> str:
        return f"made of {len(rows)}"

    def decode_each(
        self, rows: Rows, index: Sequence[int], finish: Callable[..., Any]
    ) -> list[Any]:
        return [
            finish(np.random.default_rng(row).integers(0, 256, (8, 8, 3), dtype=np.uint8))
            if row != 4
            else Problem(rows.keys[row], "made broken")
            for row in index
        ]


def evaluate_made(model: str | Path | FaceModel, **columns: tuple[Sequence[str], Any]) -> Any:
    source = Made("nowhere", SourceOptions())
    source.labels = {
        name: Labels(tuple(names), np.array(ids, dtype=np.int64))
        for name, (names, ids) in columns.items()
    }
    with patch("hybridface.evaluation.evaluate.open_source", return_value=source):
        return evaluate(model, "made:nowhere")


def test_several_tasks_each_on_its_own_rows(tmp_path: Path) -> None:
    tasks = {"expression": EXPRESSIONS, "gender": ("female", "male"), "age": ("old", "young")}
    model = FaceModel.load(write_model(tmp_path / "m.onnx", tasks))
    none = [MISSING] * 8
    result = evaluate_made(
        model,
        expression=(EXPRESSIONS, [0, 1, MISSING, MISSING, 2, 3, MISSING, MISSING]),
        gender=(("male", "female"), [0, MISSING, 1, MISSING, 0, 1, 1, MISSING]),
        age=(("young", "old"), none),
        pose=(("left", "right"), none),
    )
    assert list(result["tasks"]) == ["expression", "gender"]
    assert result["count"] == 5
    assert [result["tasks"][name]["count"] for name in ("expression", "gender")] == [3, 4]
    assert [result["tasks"][name]["unlabelled"] for name in ("expression", "gender")] == [4, 3]
    assert result["tasks"]["gender"]["per_class"]["female"]["count"] == 3
    skipped = result["skipped"]
    assert (skipped["count"], skipped["unlabelled"], skipped["unreadable"]) == (3, 2, 1)
    assert [each["where"] for each in skipped["examples"]] == ["3.png", "4.png", "7.png"]
    assert result["notes"] == ["made by hand", "task 'age' has no usable row"]


def test_persons_are_known_to_every_figure_and_broken_pictures_to_none(tmp_path: Path) -> None:
    model = FaceModel.load(write_model(tmp_path / "m.onnx", {"expression": EXPRESSIONS}))
    kept = tmp_path / "kept.npz"
    source = Made("nowhere", SourceOptions())
    for broken in (MISSING, 7, 0):  # the label of the fifth
        ids = [0, 1, MISSING, 7, broken, 2]
        source.labels = {
            "expression": Labels((*EXPRESSIONS, "other"), np.array(ids)),
            "gender": Labels(("female", "male"), np.arange(6) % 2),
        }
        source.group = np.zeros(6, np.int64)
        with patch("hybridface.evaluation.evaluate.open_source", return_value=source):
            task = evaluate(model, "made:nowhere", out=kept)["tasks"]["expression"]
        assert (task["unlabelled"], task["unmatched"]["data_classes"]) == (1, {"other": 1})
        of_groups = task["by_group"]["gender"].values()
        assert {each["accuracy"]["ci95"] for each in (task, *of_groups)} == {None}
        groups = load_predictions(kept).tasks["expression"].groups
        assert groups is not None and groups.tolist() == [0, 0, 0]


def classes_of(*names: str) -> Labels:
    return Labels(names, np.zeros(2, np.int64))


def numbers_of(*names: str, unit: str = "") -> NumericLabels:
    return NumericLabels(names, np.zeros((2, len(names)), np.float32), unit)


MOOD = ("classification", ("happy", "sad"), "")
AGE, POSE = ("regression", (), "years"), ("pose", (), "degrees")
TURNS = numbers_of(*ANGLES, unit="degrees")
MATCHES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, str]]] = {
    "by name": ({"a": MOOD, "b": MOOD}, {"a": classes_of("sad", "x")}, {"a": "a"}),
    "the only one": ({"a": MOOD}, {"b": classes_of("sad", "x"), "c": TURNS}, {"a": "b"}),
    "two tasks": ({"a": MOOD, "b": MOOD}, {"c": classes_of("sad", "x")}, {}),
    "two columns": ({"a": MOOD}, {n: classes_of("sad", "x") for n in ("b", "c")}, {}),
    "that of another": (
        {"a": MOOD, "age": AGE},
        {"age": classes_of("sad", "x"), "b": classes_of("sad", "x")},
        {},
    ),
    "no class": ({"a": MOOD}, {"b": classes_of("x", "y")}, {}),
    "poses": ({"a": POSE, "b": AGE}, {"c": TURNS}, {"a": "c"}),
    "no poses": ({"a": POSE}, {"c": numbers_of("x", "y", "z")}, {}),
    "its unit": ({"a": AGE}, {"c": numbers_of("x", unit="years")}, {"a": "c"}),
    "no unit": ({"a": AGE}, {"c": numbers_of("x")}, {"a": "c"}),
    "another unit": ({"a": AGE}, {"a": numbers_of("x", unit="months")}, {}),
    "two numbers": ({"a": AGE}, {"a": numbers_of("x", "y", unit="years")}, {}),
}


@pytest.mark.parametrize("name", MATCHES)
def test_a_task_takes_the_column_of_its_name_or_the_only_one_that_fits(name: str) -> None:
    made, columns, expected = MATCHES[name]
    tasks: dict[str, Any] = {
        task: SimpleNamespace(kind=kind, classes=classes, unit=unit, columns=classes)
        for task, (kind, classes, unit) in made.items()
    }
    if not expected:
        with pytest.raises(UsageError, match="no label column matches"):
            match_columns(tasks, columns, None, "data")
        return
    found = match_columns(tasks, columns, None, "data")
    assert {match.task: match.column for match in found} == expected


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    of_data=st.permutations(range(4)),
    of_model=st.permutations(range(4)),
    ids=st.lists(st.integers(-1, 3), min_size=8, max_size=8).filter(lambda ids: max(ids[5:]) >= 0),
)
def test_the_order_of_classes_changes_nothing(
    tmp_path: Path, of_data: list[int], of_model: list[int], ids: list[int]
) -> None:
    names, others = ("happy", "sad", "fear", "angry"), ("happiness", "sad", "afraid", "contempt")
    weights = weights_of(4)
    plain = write_model(tmp_path / "plain.onnx", {"expression": names}, {"expression": weights})
    mixed = write_model(
        tmp_path / "mixed.onnx",
        {"expression": [names[k] for k in of_model]},
        {"expression": weights[:, of_model]},
    )
    places = [*np.argsort(of_data), MISSING]
    known = [k for k in ids[:4] + ids[5:] if 0 <= k < 3]
    shuffled = ([others[k] for k in of_data], [places[k] for k in ids])
    if not known:
        for model in (plain, mixed):
            with pytest.raises(DataError, match="can be measured"):
                evaluate_made(model, expression=shuffled)
        return
    first = evaluate_made(plain, expression=(others, ids))
    second = evaluate_made(mixed, expression=shuffled)
    one, two = first["tasks"]["expression"], second["tasks"]["expression"]
    for key in ("accuracy", "mean_class_accuracy", "macro_f1", "nll", "ece"):
        assert two[key]["value"] == pytest.approx(one[key]["value"], rel=1e-5)
        if one[key].get("ci95"):
            assert two[key]["ci95"] == pytest.approx(one[key]["ci95"], rel=1e-5)
    assert two["per_class"] == one["per_class"]
    assert two["unmatched"] == one["unmatched"]
    assert one["unmatched"]["model_classes"] == ["angry"]
    assert second["skipped"] == first["skipped"]
    assert second["count"] == first["count"] == len(known)
