"""Errors of poses and numbers, by hand and by a slow reference."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from hybridface.errors import HybridFaceError, UsageError
from hybridface.evaluation.number_metrics import parts_of_mae, pose_metrics, regression_metrics
from hybridface.evaluation.picture_means import bootstrap_means
from hybridface.rotations import geodesic

RANDOM = np.random.default_rng(0)


def test_errors_of_angles_by_hand() -> None:
    targets = np.array([[10, 0, 0], [-40, 20, -170], [70, 5, 0], [120, 0, 0]], np.float32)
    outputs = np.array([[13, 1, 0], [-40, 22, 175], [71, 5, 3], [0, 0, 0]], np.float32)
    found = pose_metrics(outputs, targets)
    json.dumps(found, allow_nan=False)
    # a roll of -170 is beyond 99 degrees too, so the second is left out with the fourth
    assert (found["count"], found["beyond"]) == (2, 2)
    assert found["mae_yaw"]["value"] == pytest.approx((3 + 1) / 2, abs=1e-5)
    assert found["mae_pitch"]["value"] == pytest.approx((1 + 0) / 2, abs=1e-5)
    assert found["mae_roll"]["value"] == pytest.approx((0 + 3) / 2, abs=1e-5)
    assert found["mae"]["value"] == pytest.approx((2 + 0.5 + 1.5) / 3, abs=1e-5)
    by_yaw = {name: each["mae_yaw"]["value"] for name, each in found["by_yaw"].items()}
    assert by_yaw == {"0 to 30": pytest.approx(3), "60 to 99": pytest.approx(1)}


def test_differences_go_the_short_way_and_pictures_beyond_99_degrees_are_counted() -> None:
    targets = np.array([[99, 0, 0], [99.1, 0, 0], [-98, 0, 0]], np.float32)
    outputs = np.array([[-179, 0, 0], [0, 0, 0], [175, 0, 0]], np.float32)
    found = pose_metrics(outputs, targets)
    assert (found["count"], found["beyond"]) == (2, 1)
    assert found["mae_yaw"]["value"] == pytest.approx((82 + 87) / 2, abs=1e-4)
    assert {name: each["count"] for name, each in found["by_yaw"].items()} == {"60 to 99": 2}
    targets[:, 0] = 30, np.nan, -60
    targets[1] = np.nan
    found = pose_metrics(outputs, targets)
    assert {name: each["count"] for name, each in found["by_yaw"].items()} == {
        "30 to 60": 1, "60 to 99": 1,
    }  # fmt: skip
    assert (found["count"], found["beyond"]) == (2, 0)


def poses(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    targets = RANDOM.uniform(-80, 80, (count, 3)).astype(np.float32)
    return targets + RANDOM.normal(0, 5, (count, 3)).astype(np.float32), targets


def test_figures_and_intervals_of_whole_poses() -> None:
    outputs, targets = poses()
    found = pose_metrics(outputs, targets)
    away = np.abs(outputs - targets)
    assert found["mae"]["value"] == pytest.approx(away.mean(), rel=1e-4)
    assert found["geodesic"]["value"] == pytest.approx(geodesic(outputs, targets).mean(), rel=1e-6)
    low, high = found["mae"]["ci95"]
    per_picture = away.mean(axis=1)
    expected = stats.t.interval(0.95, 399, per_picture.mean(), stats.sem(per_picture))
    assert (low, high) == pytest.approx(expected, abs=0.05)
    counts = [each["count"] for each in found["by_yaw"].values()]
    yaw = np.abs(targets[:, 0])
    assert list(found["by_yaw"]) == ["0 to 30", "30 to 60", "60 to 99"]
    assert counts == [(yaw < 30).sum(), ((yaw >= 30) & (yaw < 60)).sum(), (yaw >= 60).sum()]


def test_angles_that_no_picture_has_do_not_count() -> None:
    outputs, targets = poses(50)
    targets[:, 2] = np.nan
    found = pose_metrics(outputs, targets)
    assert found["mae_roll"] == {"value": None, "ci95": None}
    assert found["geodesic"]["value"] is None
    pair = [found["mae_yaw"]["value"], found["mae_pitch"]["value"]]
    assert found["mae"]["value"] == pytest.approx(np.mean(pair))


def test_persons_are_drawn_whole() -> None:
    """Many pictures of few persons who differ: the interval is that of the persons."""
    group = np.repeat(np.arange(8), 100)
    values = np.repeat(RANDOM.normal(10, 3, 8), 100)[:, None]
    alone, together = (bootstrap_means(values, of).figure(0) for of in (None, group))
    width = [each["ci95"][1] - each["ci95"][0] for each in (alone, together)]
    assert width[1] == pytest.approx(np.sqrt(100) * width[0], rel=0.2)
    assert alone["value"] == together["value"]
    assert bootstrap_means(values, np.zeros(800, np.int64)).figure(0)["ci95"] is None


def test_means_by_a_slow_reference() -> None:
    values = RANDOM.normal(size=(30, 2))
    values[RANDOM.random((30, 2)) < 0.3] = np.nan
    group = RANDOM.integers(0, 7, 30)
    found = bootstrap_means(values, group)
    assert np.allclose(found.values, np.nanmean(values, axis=0))
    random = np.random.default_rng(5)
    slow = []
    for _ in range(2000):
        drawn = random.integers(0, 7, 7)
        rows = np.concatenate([np.flatnonzero(group == person) for person in drawn])
        slow.append(np.nanmean(values[rows], axis=0))
    expected = np.quantile(slow, [0.025, 0.975], axis=0)
    assert np.allclose(np.quantile(found.draws, [0.025, 0.975], axis=0), expected, atol=0.1)


def test_numbers_and_how_sure_they_are() -> None:
    truth = RANDOM.uniform(0, 80, 3000).astype(np.float32)
    deviation = RANDOM.uniform(2, 10, 3000)
    outputs = np.stack([truth + RANDOM.normal(1, deviation), deviation], 1).astype(np.float32)
    truth[:7] = np.nan
    found = regression_metrics(outputs, truth)
    json.dumps(found, allow_nan=False)
    assert found["count"] == 2993
    assert found["bias"]["value"] == pytest.approx(1, abs=0.4)
    assert found["coverage"]["value"] == pytest.approx(0.94, abs=0.02)
    assert found["mae"]["ci95"][0] < found["mae"]["value"] < found["mae"]["ci95"][1]


def test_numbers_by_hand() -> None:
    outputs = np.array([[12, 1], [20, 1], [30, 0.1], [7, 9]], np.float32)
    found = regression_metrics(outputs, np.array([10, 21.9, 30, np.nan], np.float32))
    values = {name: each["value"] for name, each in found.items() if name != "count"}
    assert values == pytest.approx(
        {"mae": 1.3, "bias": 0.1 / 3, "coverage": 2 / 3, "deviation": 0.7}, abs=1e-5
    )


def test_of_one_person_there_is_no_interval() -> None:
    outputs, targets = poses(20)
    targets[3] = 120
    one = np.zeros(20, np.int64)
    found = pose_metrics(outputs, targets, one)
    for each in (found, *found["by_yaw"].values()):
        assert each["mae"]["ci95"] is each["geodesic"]["ci95"] is None
    of_numbers = regression_metrics(np.abs(outputs[:, :2]), targets[:, 0], one)
    assert of_numbers["mae"]["ci95"] is None


def test_parts_of_the_error_have_it_as_their_mean() -> None:
    outputs, targets = poses(30)
    targets[:, 2] = np.nan
    targets[:9, 1] = np.nan
    mae = pose_metrics(outputs, targets)["mae"]["value"]
    assert parts_of_mae("pose", outputs, targets).mean() == pytest.approx(mae)
    ages = regression_metrics(np.abs(outputs[:, :2]), targets[:, 0])["mae"]["value"]
    parts = parts_of_mae("regression", np.abs(outputs[:, :2]), targets[:, :1])
    assert parts.mean() == pytest.approx(ages)


def test_what_cannot_be_measured_is_refused() -> None:
    outputs, targets = poses(4)
    with pytest.raises(HybridFaceError, match="1 of 4 rows hold NaN"):
        pose_metrics(np.where(np.arange(4)[:, None] == 2, np.nan, outputs), targets)
    with pytest.raises(HybridFaceError, match=r"no pose to measure \(4 are left out"):
        pose_metrics(outputs, targets + 200)
    with pytest.raises(UsageError, match="expected outputs"):
        pose_metrics(outputs[:, :2], targets)
    with pytest.raises(HybridFaceError, match="no number to measure"):
        regression_metrics(outputs[:, :2], np.full(4, np.nan))
