"""Figures of pictures that the model was trained on are said to be so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import write_rafdb
from hybridface.evaluation.evaluate import evaluate
from tiny_models import EXPRESSIONS, write_model

pytestmark = pytest.mark.usefixtures("hybridface_cache")

Write = Callable[..., Path]


@pytest.fixture
def archive(tmp_path: Path, write_picture: Write) -> Callable[..., Path]:
    """A function that writes an archive in RAF-DB's layout with so many pictures of each split."""

    def write(name: str, **counts: int) -> Path:
        lines = [
            (f"{split}_{number:04}", str(number % 7 + 1))
            for split, count in counts.items()
            for number in range(count)
        ]
        return write_rafdb(tmp_path / name, write_picture, lines)

    return write


@pytest.fixture
def trained_archive(archive: Callable[..., Path]) -> Path:
    """An archive without a test split, as RAF-DB's training archive."""
    return archive("trained", train=9)


@pytest.fixture
def mixed(archive: Callable[..., Path]) -> Path:
    return archive("mixed", train=5, test=14)


@pytest.fixture
def expression_model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "expressions.onnx", {"expression": EXPRESSIONS})


def test_training_rows_are_owned_up_to(
    trained_archive: Path, mixed: Path, expression_model: Path
) -> None:
    [note] = evaluate(expression_model, f"rafdb:{trained_archive}")["notes"]
    assert note.startswith("9 of the 9 measured pictures are of the data set's own training split")
    assert "flattered" in note
    assert evaluate(expression_model, f"rafdb:{mixed}")["notes"] == []
    [note] = evaluate(expression_model, f"rafdb:{mixed}", "all")["notes"]
    assert note.startswith("5 of the 19 measured pictures")


def write_run(model: Path, data: str) -> Path:
    run = model.parent / "run"
    run.mkdir(exist_ok=True)
    shutil.copy(model, run / "model.onnx")
    (run / "config.yaml").write_text(f"data: {data}\n")
    return run


def test_the_run_that_was_trained_on_the_data_is_told(
    trained_archive: Path, mixed: Path, expression_model: Path
) -> None:
    other = trained_archive / ".." / "trained"
    run = write_run(expression_model, f"{{source: 'rafdb:{other}'}}")
    for model in (run, run / "model.onnx"):
        [note] = evaluate(model, f"rafdb:{trained_archive}")["notes"]
        assert "trained on this very data set" in note
        assert "9 of the 9 measured pictures" in note
    [note] = evaluate(run, f"rafdb:{mixed}", "train")["notes"]
    assert "this very data set" not in note
    run = write_run(expression_model, f"{{source: 'rafdb:{mixed}'}}")
    assert evaluate(run, f"rafdb:{mixed}")["notes"] == []
    run = write_run(expression_model, f"{{source: 'rafdb:{mixed}', folds: {{count: 2}}}}")
    [note] = evaluate(run, f"rafdb:{mixed}")["notes"]
    assert "14 of the 14 measured pictures" in note
    assert "folds of its own" in note


@pytest.mark.parametrize("config", ["[", "data: 3", "data: {source: nowhere}", "tasks: {}"])
def test_a_recipe_that_cannot_be_read_tells_nothing(
    trained_archive: Path, expression_model: Path, config: str
) -> None:
    run = write_run(expression_model, "")
    (run / "config.yaml").write_text(config)
    [note] = evaluate(run, f"rafdb:{trained_archive}")["notes"]
    assert note.startswith("9 of the 9 measured pictures are of the data set's own training split")


def test_drawn_faces_are_the_same_by_their_options(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx", {"expression": EXPRESSIONS})
    run = write_run(model, "{source: 'drawn:40?pixels=16'}")
    [note] = evaluate(run, "drawn:40?pixels=16", "all")["notes"]
    assert "trained on this very data set" in note
    [note] = evaluate(run, "drawn:40?pixels=16&seed=1", "all")["notes"]
    assert "own training split" in note
    assert evaluate(run, "drawn:40?pixels=16")["notes"] == []
