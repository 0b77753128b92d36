"""Run folders and studies as training would have left them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridface.data.sources import open_source
from hybridface.report.study import StudyResult

from .helpers import RunBuilder, pages

CLASSES = ["angry", "happy", "neutral", "sad"]


def metrics(accuracy: float, count: int = 200) -> dict[str, Any]:
    """Return an evaluation in the layout of result.json."""
    each, right = count // 4, round(accuracy * count / 4)
    counts = [[right if i == j else (each - right) // 3 for j in range(4)] for i in range(4)]
    score = {"precision": accuracy, "recall": accuracy, "f1": accuracy, "count": each}
    return {
        "accuracy": {"value": accuracy, "ci95": [accuracy - 0.065, accuracy + 0.061]},
        "mean_class_accuracy": {"value": accuracy - 0.0123, "ci95": [accuracy - 0.08, accuracy]},
        "macro_f1": {"value": accuracy - 0.02},
        "nll": {"value": 1.2345},
        "ece": {"value": 0.0678},
        "per_class": dict.fromkeys(CLASSES, score),
        "confusion": {"classes": CLASSES, "counts": counts},
        "count": count,
    }


def history(epochs: int, puzzle: bool) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl."""
    lines = []
    for epoch in range(1, epochs + 1):
        done = 1 - np.exp(-3 * epoch / epochs)
        train = {
            "loss": 7 - 3 * done,
            "expression/loss": 1.4 - done,
            "expression/accuracy": 0.25 + 0.6 * done,
        }
        if puzzle:
            train |= {"puzzle/loss": 2.2 - done, "puzzle/slot_accuracy": 0.11 + 0.7 * done}
        val = {
            "accuracy": 0.25 + 0.42 * done,
            "mean_class_accuracy": 0.25 + 0.4 * done,
            "nll": 1.5 - 0.6 * done,
        }
        line = {"epoch": epoch, "step": 27 * epoch, "seconds": 7.5 * epoch, "lr": 1e-3}
        lines.append({**line, "train": train, "val": val})
    return lines


@pytest.fixture
def build_run(tmp_path: Path) -> RunBuilder:
    """Return a function that writes a whole run folder, and changes what it is told to."""

    def build(name: str = "puzzle_own", accuracy: float = 0.66, **changes: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        puzzle = "puzzle" in name
        result = {
            "name": name,
            "label": "expression",
            "classes": CLASSES,
            "best_epoch": 30,
            "epochs": 40,
            "steps": 1080,
            "seconds": 300.1,
            "train_rows": 840,
            "parameters": 4016515,
            "val": metrics(accuracy + 0.01),
            "test": metrics(accuracy),
            "test_last": metrics(accuracy - 0.015),
            **changes,
        }
        data = {
            "source": "drawn:4000",
            "rows": {"train": 840, "val": 200, "test": 200},
            "notes": ["Validation was cut from training, one picture in five."],
            "dropped_duplicates": ["train/0017.png"],
            "problems": [{"where": "train/0044.png", "what": "cannot be decoded"}],
            "classes": {
                "expression": {"train": [211, 210, 210, 209], "test": [50] * 4, "names": CLASSES}
            },
        }
        (folder / "result.json").write_text(json.dumps(result))
        (folder / "data.json").write_text(json.dumps(data))
        lines = [json.dumps(line) for line in history(40, puzzle)]
        (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        (folder / "config.yaml").write_text("data: drawn:4000\ntasks:\n  expression: {}\n")
        environment = {"machine": "4 cores", "versions": {"torch": "2.7.1"}, "revision": "abc123"}
        (folder / "environment.json").write_text(json.dumps(environment))
        if puzzle:
            np.savez(folder / "samples.npz", **samples())
        return folder

    return build


@pytest.fixture
def predicted_run(
    build_run: RunBuilder,
    tmp_path: Path,
    write_picture: Callable[..., Path],
    hybridface_cache: Path,
) -> RunBuilder:
    """Return a function that writes a run folder with predictions of a test split.

    The pictures lie in ``tmp_path / "faces"``, five a class. The run takes them by turns for the
    right class and the next one, each time more surely; its last one has no label.
    """
    count = 20
    for number in range(count):
        write_picture(tmp_path / "faces" / CLASSES[number // 5] / f"{number:02}.png", number)
    source = open_source(f"folder:{tmp_path / 'faces'}")
    rows = source.read()
    fingerprint = source.fingerprint(rows, hybridface_cache / "digests")
    targets = rows.labels["expression"].ids
    guessed = np.where(np.arange(count) % 2, (targets + 1) % 4, targets)
    probabilities = np.zeros((count, 4), np.float32)
    sure = 0.5 + 0.02 * np.arange(count)
    probabilities[np.arange(count), guessed] = sure
    probabilities[np.arange(count), (guessed + 1) % 4] = 1 - sure
    about = {"task": "expression", "label": "expression", "data": f"folder:{tmp_path / 'faces'}"}

    def build(
        split: str = "test",
        classes: Sequence[str] = CLASSES,
        fingerprint: str = fingerprint,
        **changes: Any,
    ) -> Path:
        folder = build_run()
        said = {**about, "classes": list(classes), "fingerprint": fingerprint}
        arrays = {
            "about": np.array(json.dumps(said)),
            f"{split}_keys": np.array(rows.keys),
            f"{split}_labels": np.where(np.arange(count) == count - 1, -1, targets),
            f"{split}_probabilities": probabilities,
        }
        np.savez(folder / "predictions.npz", **{**arrays, **changes})
        return folder

    return build


def samples() -> dict[str, np.ndarray]:
    """Return sample pictures: a face of sorts, and its shuffled tiles."""
    side = 48
    y, x = np.mgrid[:side, :side] / side - 0.5
    face = np.hypot(x, y * 0.85) < 0.42
    eyes = np.hypot(np.abs(x) - 0.16, y + 0.1) < 0.06
    mouth = (np.abs(np.hypot(x, y - 0.02) - 0.22) < 0.03) & (y > 0.1)
    tone = np.where(face, 200, 90) - 150 * (eyes | mouth)
    picture = np.stack([tone, tone * 0.85, tone * 0.7], axis=-1).clip(0, 255)
    intact = np.stack([picture * shade for shade in (1, 0.9, 0.8)]).astype(np.uint8)
    tiles = intact.reshape(3, 3, 16, 3, 16, 3).transpose(0, 1, 3, 2, 4, 5).reshape(3, 9, 16, 16, 3)
    dealt = tiles[:, np.random.default_rng(0).permutation(9)]
    dealt = dealt.reshape(3, 3, 3, 16, 16, 3).transpose(0, 1, 3, 2, 4, 5).reshape(3, 48, 48, 3)
    return {"puzzle/intact": intact, "puzzle/dealt": dealt, "puzzle/answered": intact}


ARMS = {
    # name: method, view, mean test accuracy, seconds, steps, views
    "supervised": ("supervised", None, 0.60, 100.0, 1000, 1),
    "supervised_stretched": ("supervised_stretched", None, 0.605, 205.0, 2000, 1),
    "supervised_two_views": ("supervised_two_views", None, 0.61, 198.0, 1000, 2),
    "puzzle_own": ("puzzle", "own", 0.66, 200.0, 1000, 2),
    "puzzle_shared": ("puzzle", "shared", 0.58, 102.0, 1000, 1),
    "inpaint": ("inpaint", "own", 0.615, 240.0, 1000, 2),
}
PICTURES = 400
StudyBuilder = Callable[..., StudyResult]


@pytest.fixture(scope="session")
def build_study() -> StudyBuilder:
    """Return a function that makes a study of so many seeds, and changes what it is told to."""

    def build(seeds: int = 5, fractions: tuple[float, ...] = (0.2,), **changes: Any) -> StudyResult:
        rows, details = [], {}
        for fraction in fractions:
            for arm in ARMS:
                for seed in range(seeds):
                    row, detail = _cell(arm, seed, fraction)
                    rows.append(row)
                    details[row["cell"]] = detail
        tuning = [
            {
                "arm": "puzzle_own",
                "settings": {"ssl_weight": weight, "lr": 0.001},
                "val_accuracy": accuracy,
                "epochs": 20,
                "seconds": 90.0,
                "seed": 100,
                "chosen": weight == 0.3,
            }
            for weight, accuracy in ((0.1, 0.641), (0.3, 0.652), (1.0, 0.633))
        ]
        content: dict[str, Any] = {
            "name": "few_labels",
            "title": "Do self-supervised tasks help when labels are few?",
            "description": [
                "Every arm was tuned with the same budget.",
                "Test sets were used once.",
            ],
            "rows": rows,
            "details": details,
            "tuning": tuning,
            "headline": "",
            "baseline": "supervised",
            "command": "hybridface study configs/studies/few_labels.yaml",
        }
        return StudyResult(**{**content, **changes})

    return build


@pytest.fixture(scope="session")
def rendered(
    build_study: StudyBuilder, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StudyResult, str, str]:
    """Return a study of five seeds with its pages, Markdown and HTML."""
    study = build_study(5)
    return study, *pages(study, tmp_path_factory.mktemp("study"))


def _cell(arm: str, seed: int, fraction: float) -> tuple[dict[str, Any], dict[str, Any]]:
    method, view, mean, seconds, steps, views = ARMS[arm]
    random = np.random.default_rng([seed, list(ARMS).index(arm), int(100 * fraction)])
    fold = np.random.default_rng(seed).normal(0, 0.02)  # what all arms of a seed share
    hard = np.random.default_rng([seed, 77]).random(PICTURES)
    share = mean + fold + (fraction - 0.2) / 4 + random.normal(0, 0.006)
    correct = hard + random.normal(0, 0.05, PICTURES) < share
    last = hard + random.normal(0, 0.05, PICTURES) < share - 0.01
    epochs = 80 if arm == "supervised_stretched" else 40
    progress = np.arange(1, epochs + 1) / epochs
    curve = [
        [
            epoch,
            1.4 - done,
            0.25 + (share - 0.25) * (1 - np.exp(-5 * done)) + random.normal(0, 0.006),
        ]
        for epoch, done in zip(range(1, epochs + 1), progress, strict=True)
    ]
    cell = f"{arm}-{fraction}-{seed}"
    row = {
        "data": "rafdb",
        "fraction": fraction,
        "labels": 840,
        "method": method,
        "arm": arm,
        "view": view,
        "grid": 3 if method == "puzzle" else None,
        "ssl_weight": 0.3 if view else None,
        "init": "random",
        "augment": "strong",
        "backbone": "efficientnet_b0",
        "size": 48,
        "batch": 64,
        "epochs": epochs,
        "steps": steps,
        "pictures": steps * 64 * views,
        "seed": seed,
        "seconds": seconds + random.normal(0, 2),
        "val_accuracy": share + 0.005,
        "test_accuracy": correct.mean(),
        "test_accuracy_last": last.mean(),
        "mean_class_accuracy": correct.mean() - 0.01,
        "revision": "abc1234",
        "machine": "2 cores",
        "cell": cell,
    }
    right = int(correct.sum() / 4)
    detail = {
        "curve": curve,
        "test_correct": np.packbits(correct).tobytes().hex(),
        "test_count": PICTURES,
        "test_correct_last": np.packbits(last).tobytes().hex(),
        "confusion": [
            [right if i == j else (100 - right) // 3 for j in range(4)] for i in range(4)
        ],
        "classes": CLASSES,
        "ece": 0.05 + seed / 100,
        "nll": 1.1,
        "ssl": {"puzzle/slot_accuracy": 0.9} if method == "puzzle" else {},
    }
    return row, detail
