from __future__ import annotations

import numpy as np
import pytest

from hybridface.inference.metadata import ModelTask
from hybridface.inference.readings import (
    column_names,
    column_values,
    in_words,
    read_row,
    widest_words,
    without_numbers,
)

TASKS = {
    "expression": ModelTask("classification", ("happy", "sad")),
    "pose": ModelTask("pose"),
    "age": ModelTask("regression", unit="years"),
}
ROWS = {"expression": [0.25, 0.75], "pose": [12.4, -3.1, 1.0], "age": [31.2, 6.0]}
READINGS = {name: read_row(TASKS[name], np.array(row, np.float32)) for name, row in ROWS.items()}


def test_readings_say_what_the_columns_mean() -> None:
    assert READINGS == {
        "expression": {
            "label": "sad", "probability": 0.75, "probabilities": {"happy": 0.25, "sad": 0.75},
        },
        "pose": {"yaw": 12.4, "pitch": -3.1, "roll": 1.0},
        "age": {"mean": 31.2, "deviation": 6.0, "unit": "years"},
    }  # fmt: skip


def test_a_row_of_a_table_fits_its_head() -> None:
    row = dict(zip(column_names(TASKS), column_values(TASKS, READINGS), strict=True))
    assert row == {
        "expression": "sad", "expression_probability": 0.75, "expression.happy": 0.25,
        "expression.sad": 0.75, "pose.yaw": 12.4, "pose.pitch": -3.1, "pose.roll": 1.0,
        "age.mean": 31.2, "age.deviation": 6.0,
    }  # fmt: skip


def test_words_are_for_people_and_fit_their_column() -> None:
    words = {name: in_words(TASKS[name], reading) for name, reading in READINGS.items()}
    assert words["expression"] == "sad 75 %"
    assert words["pose"] == "yaw +12 pitch -3 roll +1"
    assert words["age"] == "31 ± 6 years"
    for name, said in words.items():
        assert max(len(said), len(name)) <= widest_words(name, TASKS[name])


@pytest.mark.parametrize(
    ("mean", "deviation", "said"),
    [
        (-0.617, 0.21, "-0.6 ± 0.2"), (-0.617, 0.043, "-0.62 ± 0.04"), (-0.04, 0.3, "0.0 ± 0.3"),
        (0.5, 0.00002, "0.500 ± 0.000"), (0.5, 0.0, "0.500 ± 0.000"), (-31.4, 1.2, "-31 ± 1"),
        (-0.3, 12.0, "0 ± 12"),
    ],
)  # fmt: skip
def test_a_number_is_as_fine_as_its_deviation(mean: float, deviation: float, said: str) -> None:
    task = ModelTask("regression")
    assert in_words(task, {"mean": mean, "deviation": deviation}) == said
    assert len(said) <= widest_words("valence", task)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_named(bad: float) -> None:
    outputs = {"a": np.ones((2, 3), np.float32), "b": np.array([[1, bad]], np.float32)}
    assert list(without_numbers(outputs)) == ["b"]
