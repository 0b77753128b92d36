from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hybridface import images
from hybridface.errors import UsageError
from hybridface.inference.predict import find_pictures, predict_files, run_predict
from hybridface.inference.runtime import FaceModel
from tiny_models import (
    COLOURS,
    EXPRESSIONS,
    SIZE,
    expected,
    weights_of,
    write_colour_model,
    write_model,
)

Write = Callable[..., Path]
TASKS = {"expression": EXPRESSIONS, "gender": ("female", "male")}


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model.onnx", TASKS)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Two real pictures of one face, as PNG and as a deeper JPEG, beside what is no picture."""
    skimage_data = pytest.importorskip("skimage.data")
    face = Image.fromarray(skimage_data.astronaut()[0:180, 150:300])
    folder = tmp_path / "faces"
    (folder / "deeper").mkdir(parents=True)
    face.save(folder / "b.PNG")
    face.save(folder / "deeper" / "a.jpg")
    (folder / "notes.txt").write_text("no picture")
    (folder / "._b.png").write_bytes(b"what some systems leave behind")
    return folder


def test_folders_are_expanded_and_files_come_once(faces: Path) -> None:
    found = find_pictures([faces / "deeper" / "a.jpg", str(faces)])
    assert found == [faces / "deeper" / "a.jpg", faces / "b.PNG"]


def test_pictures_in_a_folder_are_sorted(tmp_path: Path, write_picture: Write) -> None:
    for name in ("c/1.png", "a/2.png", "b.png", "a/10.png"):
        write_picture(tmp_path / name)
    assert find_pictures([tmp_path]) == sorted(tmp_path.rglob("*.png"))


@pytest.mark.parametrize(
    "given", [[], ["absent.png"], ["absent.png", "absent.png"], ["."], ["l" * 300]]
)
def test_no_picture_at_all_is_wrong_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_file: Path, given: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UsageError, match=r"no picture found in: .*expected picture files"
    ) as caught:
        run_predict(given, model_file)
    assert all(name in str(caught.value) for name in given)


def test_predictions_are_the_hand_written_ones(faces: Path, model_file: Path) -> None:
    predictions = list(predict_files(FaceModel.load(model_file), [faces]))
    assert [each.path.name for each in predictions] == ["b.PNG", "a.jpg"]
    for prediction in predictions:
        pixels = images.resize(images.read(prediction.path), SIZE)
        wanted = expected(pixels, weights_of(len(EXPRESSIONS)))
        said = prediction.tasks["expression"]
        assert list(said.probabilities) == list(EXPRESSIONS)
        np.testing.assert_allclose(list(said.probabilities.values()), wanted, atol=1e-5)
        assert said.label == EXPRESSIONS[wanted.argmax()]
        assert said.probability == said.probabilities[said.label]


def test_the_label_is_the_colour_of_the_picture(tmp_path: Path) -> None:
    model = FaceModel.load(write_colour_model(tmp_path / "model.onnx"))
    for number, name in enumerate(COLOURS):
        Image.new("RGB", (20, 30), tuple(220 * np.eye(3, dtype=int)[number])).save(
            tmp_path / f"{name}.png"
        )
    labels = {
        each.path.stem: each.tasks["colour"].label for each in predict_files(model, [tmp_path])
    }
    assert labels == {name: name for name in COLOURS}


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batch_size_changes_nothing(
    tmp_path: Path, write_picture: Write, model_file: Path, batch_size: int
) -> None:
    for number in range(7):
        write_picture(tmp_path / "in" / f"{number}.png", seed=number, size=8 + number)
    (tmp_path / "in" / "3.png").write_bytes(b"broken")
    model = FaceModel.load(model_file)
    whole = list(predict_files(model, [tmp_path / "in"], batch_size=7))
    parts = list(predict_files(model, [tmp_path / "in"], batch_size))
    assert [(each.path, each.error) for each in parts] == [
        (each.path, each.error) for each in whole
    ]
    for part, one in zip(parts, whole, strict=True):
        for name, task in part.tasks.items():
            assert task.probabilities == pytest.approx(one.tasks[name].probabilities, abs=1e-6)


def test_batch_size_zero_is_wrong_use(faces: Path, model_file: Path) -> None:
    with pytest.raises(UsageError, match="batch_size: expected at least 1"):
        predict_files(FaceModel.load(model_file), [faces], batch_size=0)


def test_json_is_one_object(
    faces: Path, model_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_predict([faces], model_file.parent, "json") == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert err == ""
    assert result["model"] == str(model_file)
    assert result["failed"] == []
    assert [Path(each["path"]).name for each in result["predictions"]] == ["b.PNG", "a.jpg"]
    said = result["predictions"][0]["tasks"]["expression"]
    assert set(said) == {"label", "probability", "probabilities"}
    assert said["probability"] == max(said["probabilities"].values())
    assert sum(said["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_csv_has_a_row_a_picture(
    faces: Path, model_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(faces / "b.PNG", faces / 'odd, "name".png')
    assert run_predict([faces], model_file, "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {Path(row["path"]).name for row in rows} == {"b.PNG", "a.jpg", 'odd, "name".png'}
    for row in rows:
        assert row["expression"] in EXPRESSIONS
        assert row["expression_probability"] == row[f"expression.{row['expression']}"]
        assert float(row["gender.female"]) + float(row["gender.male"]) == pytest.approx(1, abs=1e-4)


def test_text_has_a_line_a_picture_and_task(
    faces: Path, model_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_predict([faces], model_file) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith(str(faces / "b.PNG"))
    assert "expression: " in lines[0]
    assert "gender: " in lines[1]
    assert "%" in lines[0]


@pytest.mark.parametrize("output", ["text", "json", "csv"])
def test_broken_files_are_named_and_the_others_done(
    faces: Path, model_file: Path, capsys: pytest.CaptureFixture[str], output: Any
) -> None:
    (faces / "deeper" / "empty.jpg").touch()
    (faces / "cut.jpg").write_bytes((faces / "deeper" / "a.jpg").read_bytes()[:2000])
    (faces / "nothing").mkdir()
    given = [faces, faces / "nothing", faces / "absent.png", faces / "notes.txt", "l" * 300]
    assert run_predict(given, model_file, output) == 1
    out, err = capsys.readouterr()
    broken = ("empty.jpg", "cut.jpg", "nothing", "absent.png", "notes.txt")
    for name in broken:
        assert sum(f"{name}: " in line for line in err.splitlines()) == 1
    assert "absent.png: cannot be read (No such file or directory)" in err
    assert f"{'l' * 300}: " in err
    assert "nothing: a folder that holds no picture" in err
    assert "b.PNG" in out
    assert "a.jpg" in out
    if output == "json":
        failed = json.loads(out)["failed"][:-1]
        assert sorted(Path(each["path"]).name for each in failed) == sorted(broken)
        assert all(each["what"] for each in failed)
    else:
        assert not any(name in out for name in broken)


@pytest.mark.parametrize("output", ["text", "json", "csv"])
def test_every_file_broken(
    tmp_path: Path, model_file: Path, capsys: pytest.CaptureFixture[str], output: Any
) -> None:
    (tmp_path / "one.png").write_bytes(b"\x89PNG but no more")
    assert run_predict([tmp_path / "one.png"], model_file, output) == 1
    out, err = capsys.readouterr()
    assert "one.png: not a picture" in err
    if output == "json":
        assert json.loads(out)["predictions"] == []


def test_a_model_that_diverged_gives_errors_not_numbers(
    tmp_path: Path, write_picture: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = {"gender": np.full((3, 2), np.nan, np.float32)}
    model = write_model(tmp_path / "model.onnx", {"gender": ("female", "male")}, weights)
    assert run_predict([write_picture(tmp_path / "a.png")], model, "json") == 1
    out, err = capsys.readouterr()
    assert "NaN" in json.loads(out)["failed"][0]["what"]
    assert "a.png: the model gives no numbers (NaN) for task 'gender'" in err


def test_an_unknown_output_is_wrong_use(faces: Path, model_file: Path) -> None:
    wrong: Any = "jsn"
    with pytest.raises(UsageError, match="did you mean 'json'"):
        run_predict([faces], model_file, wrong)
