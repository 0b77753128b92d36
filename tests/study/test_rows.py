"""What a study keeps of a finished run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from hybridface.config import build_recipe
from hybridface.study.config import Cell
from hybridface.study.rows import detail_of
from hybridface.training.train import TrainedRun
from tiny_runs import CONTENT


def _cell(**tasks: dict[str, Any]) -> Cell:
    return Cell("arm", "method", 0, build_recipe({**CONTENT, "tasks": tasks}), {})


def _copied(run: TrainedRun, place: Path) -> tuple[Path, dict[str, Any]]:
    shutil.copytree(run.folder, place)
    return place, json.loads((place / "result.json").read_text())


def _right(detail: dict[str, Any], suffix: str, count: int) -> np.ndarray:
    packed = np.frombuffer(bytes.fromhex(detail[f"test_correct{suffix}"]), dtype=np.uint8)
    return np.unpackbits(packed, count=count).astype(bool)


def test_pictures_without_the_first_tasks_label_do_not_count(
    tiny_run: TrainedRun, tmp_path: Path
) -> None:
    run, result = _copied(tiny_run, tmp_path / "run")
    with np.load(run / "predictions.npz") as kept:
        arrays = dict(kept)
    lost = np.arange(len(arrays["test_labels"])) % 3 == 0
    arrays["test_labels"][lost] = -1
    arrays["test_groups"] = np.arange(len(lost))
    np.savez(run / "predictions.npz", **arrays)
    detail = detail_of(_cell(expression={}), run, result)
    count = int((~lost).sum())
    assert detail["test_count"] == len(detail["test_groups"]) == count
    for suffix in ("", "_last"):
        answered = arrays[f"test_probabilities{suffix}"].argmax(1)
        expected = answered[~lost] == arrays["test_labels"][~lost]
        np.testing.assert_array_equal(_right(detail, suffix, count), expected)


def test_figures_of_supervised_tasks_are_not_those_of_self_supervised_ones(
    tiny_run: TrainedRun, tmp_path: Path
) -> None:
    run, result = _copied(tiny_run, tmp_path / "run")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line["train"] |= {"gender/accuracy": 0.5, "gender/loss": 0.7}
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    cell = _cell(expression={}, gender={}, puzzle={})
    ssl = detail_of(cell, run, result)["ssl"]
    assert ssl
    assert {name.split("/")[0] for name in ssl} == {"puzzle"}
