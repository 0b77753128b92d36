from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import hybridface
from hybridface import FaceModel, FaceReader
from hybridface.cli import main
from hybridface.errors import UsageError
from hybridface.inference import shipped
from hybridface.inference.shipped import find_model, shipped_model, shipped_ssl_model
from tiny_models import EXPRESSIONS, write_colour_model, write_model

IN_TREE = (shipped.FOLDER / "default.onnx").is_file()
LARGEST = 20 * 1024 * 1024
TASKS = {"expression": "classification", "pose": "pose", "gender": "classification"}


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tiny model that ships, and an empty working directory."""
    folder, working = tmp_path / "models", tmp_path / "working"
    folder.mkdir()
    working.mkdir()
    monkeypatch.setattr(shipped, "FOLDER", folder)
    monkeypatch.chdir(working)
    return write_model(folder / "default.onnx", {"expression": EXPRESSIONS})


@pytest.fixture
def astronaut() -> np.ndarray:
    return pytest.importorskip("skimage.data").astronaut()


def test_default_is_meant_wherever_a_model_is(stand_in: Path, astronaut: np.ndarray) -> None:
    assert shipped_model() == stand_in
    assert FaceModel.load("default").path == stand_in
    assert hybridface.load().path == hybridface.load("default").path == stand_in
    assert hybridface.load(Path("default")).path == stand_in
    for reader in (FaceReader(), FaceReader("default")):
        (photo,) = reader.read([astronaut])
        assert set(photo.faces[0].readings) == {"expression"}


def test_a_file_or_folder_of_that_name_wins(stand_in: Path) -> None:
    mine = Path("default")
    write_colour_model(mine)
    assert find_model("default") == mine
    assert find_model(None) == stand_in
    mine.unlink()
    mine.mkdir()
    with pytest.raises(UsageError, match=r"holds no model\.onnx.*this folder hides the model"):
        find_model("default")
    write_colour_model(mine / "model.onnx")
    assert find_model("default") == mine / "model.onnx"
    assert find_model(None) == stand_in


def test_the_model_with_self_supervised_heads_has_a_name_too(stand_in: Path) -> None:
    file = stand_in.with_name("default-with-ssl.onnx")
    with pytest.raises(UsageError, match="'default-with-ssl' is not in this install"):
        shipped_ssl_model()
    write_colour_model(file)
    assert shipped_ssl_model() == find_model("default-with-ssl") == file


def test_an_install_without_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    monkeypatch.chdir(tmp_path)
    for use in (shipped_model, find_model, hybridface.load, FaceReader, _load_default):
        with pytest.raises(UsageError, match=r"'default' is not in this install.*--model"):
            use()
    with pytest.raises(UsageError, match="'default' for the model that ships"):
        find_model("defualt")


def _load_default() -> None:
    FaceModel.load("default")


def run(monkeypatch: pytest.MonkeyPatch, *command: str) -> int:
    """Run a command in this process and return its exit code."""
    monkeypatch.setattr("sys.argv", ["hybridface", *command])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_predict_takes_it_without_being_told(
    stand_in: Path,
    astronaut: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from PIL import Image

    Image.fromarray(astronaut).save("photo.jpg")
    assert run(monkeypatch, "predict", "photo.jpg", "--json") == 0
    said = capsys.readouterr().out
    assert json.loads(said)["faces"][0]["expression"]["label"] in EXPRESSIONS
    assert run(monkeypatch, "predict", "photo.jpg", "--model", "default", "--json") == 0
    assert capsys.readouterr().out == said
    stand_in.unlink()
    assert run(monkeypatch, "predict", "photo.jpg") == 2
    assert "'default' is not in this install" in capsys.readouterr().err


def test_evaluate_and_compare_take_it(
    stand_in: Path,
    drawn_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = write_model(Path("other.onnx"), {"expression": EXPRESSIONS})
    data = ("--data", "drawn:60?pixels=32", "--json")
    assert run(monkeypatch, "evaluate", "default", *data) == 0
    assert json.loads(capsys.readouterr().out)["model"] == str(stand_in)
    assert run(monkeypatch, "compare", "default", str(other), *data) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["a"]["model"] == str(stand_in)
    assert said["tasks"]["expression"]["difference"]["accuracy"]["value"] == 0
    assert run(monkeypatch, "compare", "default", str(other)) == 2
    assert "default: a model keeps no predictions" in " ".join(capsys.readouterr().err.split())


@pytest.mark.skipif(not IN_TREE, reason="the model is not in this tree")
def test_the_shipped_model_reads_a_real_photograph(astronaut: np.ndarray) -> None:
    model = hybridface.load()
    assert model.path.stat().st_size < LARGEST
    kinds = {name: task.kind for name, task in model.tasks.items()}
    assert kinds == TASKS | {"age": "regression"}
    assert model.metadata["trained_on"] and model.metadata["licence"]
    assert (shipped.FOLDER / "README.md").is_file()
    (photo,) = FaceReader(model).read([astronaut])
    (face,) = photo.faces
    assert face.readings["expression"]["label"] == "happy"
    assert abs(face.readings["pose"]["yaw"]) < 30
    assert 15 < face.readings["age"]["mean"] < 60


@pytest.mark.skipif(not IN_TREE, reason="the model is not in this tree")
def test_both_shipped_files_are_one_model(astronaut: np.ndarray) -> None:
    plain, whole = hybridface.load(), hybridface.load("default-with-ssl")
    assert whole.path.stat().st_size < LARGEST
    assert whole.self_supervised and not plain.self_supervised
    found, wanted = whole.predict([astronaut]), plain.predict([astronaut])
    for name in plain.tasks:
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-3)
