from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import write_rafdb
from hybridface import images
from hybridface.errors import DataError, HybridFaceError, UsageError
from hybridface.evaluation.evaluate import evaluate, run_evaluate
from hybridface.inference.runtime import FaceModel
from tiny_models import EXPRESSIONS, expected, weights_of, write_colour_model, write_model

pytestmark = pytest.mark.usefixtures("hybridface_cache")

Write = Callable[..., Path]
COLOUR_VALUES = {"red": (230, 20, 20), "green": (20, 230, 20), "blue": (20, 20, 230)}


def paint(path: Path, colour: str, seed: int = 0) -> Path:
    """Write a picture of one colour, with noise that makes each one different."""
    noise = np.random.default_rng(seed).integers(-15, 16, (12, 12, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.array(COLOUR_VALUES[colour]) + noise).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """Six red, four green and two blue pictures; one of the red ones lies among the green."""
    folder = tmp_path / "colours"
    for number in range(6):
        paint(folder / ("green" if number == 0 else "red") / f"red{number}.png", "red", number)
    for number in range(4):
        paint(folder / "green" / f"green{number}.png", "green", 10 + number)
    for number in range(2):
        paint(folder / "blue" / f"blue{number}.png", "blue", 20 + number)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> FaceModel:
    return FaceModel.load(write_colour_model(tmp_path / "model.onnx"))


def test_the_folder_is_measured_by_class_name(colours: Path, model: FaceModel) -> None:
    seen: list[tuple[int, int]] = []
    result = evaluate(
        model,
        f"folder:{colours}?label=colour",
        batch_size=5,
        progress=lambda done, total: seen.append((done, total)),
    )
    task = result["tasks"]["colour"]
    assert task["confusion"] == {
        "classes": ["red", "green", "blue"],
        "counts": [[5, 0, 0], [1, 4, 0], [0, 0, 2]],
    }
    assert task["accuracy"]["value"] == pytest.approx(11 / 12)
    assert task["mean_class_accuracy"]["value"] == pytest.approx((1 + 0.8 + 1) / 3)
    assert task["unmatched"] == {"data_classes": {}, "model_classes": []}
    assert task["label"] == "colour"
    assert result["count"] == task["count"] == 12
    assert result["split"] == "all"
    assert result["model"] == str(model.path)
    assert result["data"] == f"folder:{colours}?label=colour"
    assert result["skipped"] == {"count": 0, "unlabelled": 0, "unreadable": 0, "examples": []}
    assert seen == [(12, 12), (5, 12), (10, 12), (12, 12)]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize("batch_size", [1, 5, 12])
def test_batch_size_changes_nothing(colours: Path, model: FaceModel, batch_size: int) -> None:
    whole = evaluate(model, f"folder:{colours}")["tasks"]["colour"]
    part = evaluate(model, f"folder:{colours}", batch_size=batch_size)["tasks"]["colour"]
    assert part["confusion"] == whole["confusion"]
    assert part["nll"]["value"] == pytest.approx(whole["nll"]["value"], rel=1e-5)


def test_predictions_of_classes_that_the_data_lacks_are_errors(
    tmp_path: Path, model: FaceModel
) -> None:
    for number in range(3):
        paint(tmp_path / "in" / "Green" / f"{number}.png", "red" if number else "green", number)
        paint(tmp_path / "in" / "purple" / f"{number}.png", "blue", number)
    task = evaluate(model, f"folder:{tmp_path / 'in'}")["tasks"]["colour"]
    assert task["confusion"]["counts"] == [[0, 0, 0], [2, 1, 0], [0, 0, 0]]
    assert task["accuracy"]["value"] == pytest.approx(1 / 3)
    assert task["absent_classes"] == ["red", "blue"]
    assert task["unmatched"] == {"data_classes": {"purple": 3}, "model_classes": ["red", "blue"]}
    assert task["count"] == 3


@pytest.fixture
def expressions(tmp_path: Path, write_picture: Write) -> Path:
    lines = [(f"train_{n:04}", str(n % 7 + 1)) for n in range(5)]
    lines += [(f"test_{n:04}", str(n % 7 + 1)) for n in range(14)]
    return write_rafdb(tmp_path / "raf", write_picture, lines)


@pytest.fixture
def expression_model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "expressions.onnx", {"expression": EXPRESSIONS})


def test_the_test_split_is_taken_where_there_is_one(
    expressions: Path, expression_model: Path
) -> None:
    result = evaluate(expression_model, f"rafdb:{expressions}")
    assert (result["split"], result["count"]) == ("test", 14)
    assert evaluate(expression_model, f"rafdb:{expressions}", "train")["count"] == 5
    assert evaluate(expression_model, f"rafdb:{expressions}", "all")["count"] == 19


def test_a_split_without_rows_says_which_have_some(
    expressions: Path, expression_model: Path
) -> None:
    with pytest.raises(UsageError, match=r"'val'.*train 5, val 0, test 14, no split 0"):
        evaluate(expression_model, f"rafdb:{expressions}", "val")
    with pytest.raises(UsageError, match="unknown split 'tset': did you mean 'test'"):
        evaluate(expression_model, f"rafdb:{expressions}", "tset")


def test_probabilities_are_those_of_the_pictures(expressions: Path, expression_model: Path) -> None:
    task = evaluate(expression_model, f"rafdb:{expressions}")["tasks"]["expression"]
    losses = []
    for number in range(14):
        file = expressions / "Image" / "aligned" / f"test_{number:04}_aligned.jpg"
        row = expected(images.resize(images.read(file), 8), weights_of(7))
        losses.append(-np.log(row[number % 7]))
    assert task["nll"]["value"] == pytest.approx(np.mean(losses), rel=1e-4)


def test_what_cannot_be_used_is_counted_and_named(
    tmp_path: Path, write_picture: Write, expression_model: Path
) -> None:
    lines = [(f"test_{n:04}", "9" if n < 25 else "3") for n in range(40)]
    root = write_rafdb(tmp_path / "raf", write_picture, lines)
    (root / "Image" / "aligned" / "test_0000_aligned.jpg").write_bytes(b"broken")
    (root / "Image" / "aligned" / "test_0039_aligned.jpg").unlink()
    result = evaluate(expression_model, f"rafdb:{root}")
    skipped = result["skipped"]
    assert (skipped["count"], skipped["unlabelled"], skipped["unreadable"]) == (26, 24, 2)
    assert len(skipped["examples"]) == 20
    assert skipped["examples"][0] == {
        "where": "Image/aligned/test_0000_aligned.jpg",
        "what": "not a picture that can be read",
    }
    assert skipped["examples"][1]["what"] == "no label in column 'expression'"
    assert result["count"] == result["tasks"]["expression"]["count"] == 14
    assert result["tasks"]["expression"]["unlabelled"] == 24
    assert result["problems"]["count"] == 25


def test_nothing_usable_is_an_error_that_says_why(
    tmp_path: Path, write_picture: Write, expression_model: Path
) -> None:
    root = write_rafdb(tmp_path / "raf", write_picture, [("test_0001", "9"), ("test_0002", "1")])
    (root / "Image" / "aligned" / "test_0002_aligned.jpg").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"none of its 2 rows.*1 without label, 1 unreadable"):
        evaluate(expression_model, f"rafdb:{root}")


def test_happy_and_happiness_are_one(tmp_path: Path, write_picture: Write) -> None:
    for seed, name in enumerate(("Happiness", "SAD", "anger")):
        write_picture(tmp_path / "in" / name / "1.png", seed=seed)
    model = write_model(tmp_path / "m.onnx", {"expression": ("sadness", "angry", "happy", "fear")})
    task = evaluate(model, f"folder:{tmp_path / 'in'}")["tasks"]["expression"]
    assert task["count"] == 3
    assert task["unmatched"] == {"data_classes": {}, "model_classes": ["fear"]}
    assert {name: each["count"] for name, each in task["per_class"].items()} == {
        "sadness": 1,
        "angry": 1,
        "happy": 1,
        "fear": 0,
    }


def test_columns_that_match_no_task(colours: Path, tmp_path: Path, expression_model: Path) -> None:
    data = f"folder:{colours}"
    for model in (
        expression_model,
        write_model(tmp_path / "a.onnx", {"gender": ("male", "female")}),
        write_model(tmp_path / "b.onnx", {"a": ("red", "green"), "b": ("red", "green")}),
    ):
        with pytest.raises(UsageError, match="no label column matches") as caught:
            evaluate(model, data)
        said = str(caught.value)
        assert "label columns of the data: expression (blue, green, red)" in said
        assert ", ".join(next(iter(FaceModel.load(model).tasks.values())).classes) in said
    with pytest.raises(UsageError, match=r"unknown label column of .* 'color': did you mean"):
        evaluate(expression_model, f"{data}?label=colour", label="color")


def test_a_model_that_diverged_is_an_error(tmp_path: Path, colours: Path) -> None:
    weights = {"colour": np.full((3, 3), np.nan, np.float32)}
    model = write_model(tmp_path / "m.onnx", {"colour": tuple(COLOUR_VALUES)}, weights)
    with pytest.raises(HybridFaceError, match="12 of 12 rows hold NaN"):
        evaluate(model, f"folder:{colours}")


def test_batch_size_zero_is_wrong_use(colours: Path, model: FaceModel) -> None:
    with pytest.raises(UsageError, match="batch_size"):
        evaluate(model, f"folder:{colours}", batch_size=0)


def test_json_is_all_there_is_on_stdout(
    colours: Path, model: FaceModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_evaluate(model.path, f"folder:{colours}", as_json=True) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == evaluate(model, f"folder:{colours}")
    assert err == ""


def test_names_do_not_steer_the_terminal(
    colours: Path, model: FaceModel, capsys: pytest.CaptureFixture[str]
) -> None:
    (colours / "red" / "\x1b[2J.png").write_bytes(b"broken")
    assert run_evaluate(model.path, f"folder:{colours}") == 0
    out = capsys.readouterr().out
    assert "red/\\x1b[2J.png: " in out
    assert "\x1b" not in out


def test_tables_say_everything_a_reader_must_know(
    tmp_path: Path, model: FaceModel, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        paint(tmp_path / "in" / "test" / "green" / f"{number}.png", "green", number)
        paint(tmp_path / "in" / "test" / "red [b]" / f"{number}.png", "red", number)
    (tmp_path / "in" / "test" / "green" / "9.png").write_bytes(b"broken")
    (tmp_path / "in" / "test" / "loose.png").write_bytes(b"broken")
    assert run_evaluate(model.path, f"folder:{tmp_path / 'in'}", "test") == 0
    out = " ".join(capsys.readouterr().out.split())
    for text in (
        "split test, 4 pictures",
        "accuracy 100.0% 51.0% to 100.0%",
        "negative log likelihood",
        "true class, by predicted class",
        "no picture of: red, blue",
        "no such class: red [b] (4 pictures)",
        "1 that cannot be read",
        "test/green/9.png: not a picture that can be read",
        "problems of the data set: 1",
    ):
        assert text in out
