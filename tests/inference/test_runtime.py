from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from hybridface import images, inference, serving
from hybridface.errors import HybridFaceError, UsageError
from hybridface.inference.runtime import FaceModel, ModelTask
from tiny_models import EXPRESSIONS, SIZE, expected, metadata_of, weights_of, write_model

TASKS = {"expression": EXPRESSIONS, "gender": ("female", "male")}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> FaceModel:
    return FaceModel.load(write_model(tmp_path_factory.mktemp("model") / "model.onnx", TASKS))


def pictures_of(count: int, seed: int = 0) -> NDArray[np.uint8]:
    shape = (count, SIZE, SIZE, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_load_reads_what_the_file_says_of_itself(model: FaceModel) -> None:
    assert model.size == SIZE
    assert model.tasks["expression"] == ModelTask("classification", EXPRESSIONS)
    assert list(model.tasks) == ["expression", "gender"]
    assert model.metadata["backbone"] == "mean_colour"


def test_load_takes_a_run_folder(model: FaceModel) -> None:
    assert FaceModel.load(str(model.path.parent)).path == model.path


def test_importing_brings_no_torch() -> None:
    packages = (inference, serving)
    found = [
        module.name
        for package in packages
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    assert len(found) > 25
    named = ["hybridface.evaluation.evaluate", "hybridface.evaluation.metrics", *found]
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(sorted({'torch', 'scipy'} & set(sys.modules)))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code, *named], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == "[]"


def test_predicting_brings_no_torch(model: FaceModel) -> None:
    code = (
        "import sys, numpy; from hybridface.inference.runtime import FaceModel;"
        f"FaceModel.load({str(model.path)!r}).predict([numpy.zeros((9, 5, 3), 'uint8')]);"
        "print('torch' in sys.modules)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == "False"


def test_probabilities_are_the_hand_written_ones(model: FaceModel) -> None:
    pictures = pictures_of(5)
    outputs = model.predict(pictures)
    for seed, (name, classes) in enumerate(TASKS.items()):
        assert outputs[name].dtype == np.float32
        wanted = [expected(each, weights_of(len(classes), seed)) for each in pictures]
        np.testing.assert_allclose(outputs[name], wanted, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(count=st.integers(0, 20), batch_size=st.integers(1, 25), seed=st.integers(0, 99))
def test_neither_batch_size_nor_the_way_in_changes_results(
    model: FaceModel, count: int, batch_size: int, seed: int
) -> None:
    pictures = pictures_of(count, seed)
    whole = model.predict(pictures, batch_size=64)
    ways: list[Any] = [pictures, list(pictures), iter(pictures)]
    for way in ways:
        outputs = model.predict(way, batch_size)
        for name, classes in TASKS.items():
            assert outputs[name].shape == (count, len(classes))
            np.testing.assert_allclose(outputs[name], whole[name], atol=1e-6)


def test_call_and_predict_agree(model: FaceModel) -> None:
    pictures = pictures_of(3)
    batch = pictures.transpose(0, 3, 1, 2).astype(np.float64) / 255
    np.testing.assert_allclose(model(batch)["gender"], model.predict(pictures)["gender"], atol=1e-6)


def test_pictures_of_other_sizes_are_resized_as_in_training(model: FaceModel) -> None:
    skimage_data = pytest.importorskip("skimage.data")
    face = skimage_data.astronaut()[0:180, 150:300]
    pictures = [face, face[:50, :31], pictures_of(1)[0]]
    resized = np.stack([images.resize(each, SIZE) for each in pictures])
    outputs = model.predict(pictures)
    np.testing.assert_array_equal(outputs["expression"], model.predict(resized)["expression"])


def test_memory_maps_are_taken_in_slices(model: FaceModel, tmp_path: Path) -> None:
    np.save(tmp_path / "pictures.npy", pictures_of(10))
    mapped = np.load(tmp_path / "pictures.npy", mmap_mode="r")
    np.testing.assert_array_equal(
        model.predict(mapped, 4)["gender"], model.predict(np.array(mapped), 4)["gender"]
    )


def test_a_generator_is_never_more_than_a_batch_ahead(
    model: FaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, seen = 0, []

    def pictures() -> Iterator[NDArray[np.uint8]]:
        nonlocal drawn
        for picture in pictures_of(10):
            drawn += 1
            yield picture

    run = model._run

    def watched(batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        seen.append((drawn, len(batch)))
        return run(batch)

    monkeypatch.setattr(model, "_run", watched)
    model.predict(pictures(), batch_size=4)
    assert seen == [(4, 4), (8, 4), (10, 2)]


def test_options_of_the_session(model: FaceModel) -> None:
    one = FaceModel.load(model.path, threads=1, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(
        one.predict(pictures_of(4))["gender"], model.predict(pictures_of(4))["gender"], atol=1e-6
    )
    with pytest.raises(UsageError, match="threads: expected at least 1"):
        FaceModel.load(model.path, threads=0)
    with pytest.raises(UsageError, match="did you mean 'CPUExecutionProvider'"):
        FaceModel.load(model.path, providers=["CPUExecutionProvder"])


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        [[1, 2, 3]],
    ],
)
def test_predict_refuses_what_is_no_picture(model: FaceModel, picture: Any) -> None:
    with pytest.raises(UsageError, match=r"picture 1: expected uint8 \(H, W, 3\)"):
        model.predict([pictures_of(1)[0], picture])


def test_predict_refuses_one_picture_and_wrong_types(model: FaceModel) -> None:
    with pytest.raises(UsageError, match="a single picture goes into a list"):
        model.predict(pictures_of(1)[0])
    with pytest.raises(UsageError, match="got float32"):
        model.predict(pictures_of(2).astype(np.float32))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="batch_size: expected at least 1"):
        model.predict(pictures_of(1), batch_size=0)


@pytest.mark.parametrize(
    ("batch", "what"),
    [
        (np.zeros((1, 3, SIZE, SIZE), np.uint8), "got uint8"),
        (np.zeros((1, SIZE, SIZE, 3), np.float32), r"got float32 \(1, 8, 8, 3\)"),
        (np.full((1, 3, SIZE, SIZE), 200, np.float32), "divide by 255"),
        (np.full((1, 3, SIZE, SIZE), -1.8, np.float32), "leave mean and deviation to the model"),
    ],
)
def test_call_refuses_other_ranges_and_shapes(model: FaceModel, batch: Any, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        model(batch)


def test_missing_files_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"does not exist; expected a \.onnx file"):
        FaceModel.load(tmp_path / "absent.onnx")
    with pytest.raises(UsageError, match=r"cannot be opened|does not exist"):  # by Python
        FaceModel.load("l" * 300)
    with pytest.raises(UsageError, match=r"holds no model\.onnx.*let the run finish"):
        FaceModel.load(tmp_path)
    weights = tmp_path / "best.safetensors"
    weights.touch()
    with pytest.raises(UsageError, match="weights of a training, not a model; name the run's"):
        FaceModel.load(weights)


def test_a_run_whose_export_failed_says_why(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"not_exported": "no such operator"}')
    with pytest.raises(UsageError, match=r"ended, but .*: no such operator; .*train --resume"):
        FaceModel.load(tmp_path)


def test_files_that_are_no_model(tmp_path: Path) -> None:
    whole = write_model(tmp_path / "whole.onnx", TASKS).read_bytes()
    for content in (b"", b"no model", whole[: len(whole) // 2]):
        (tmp_path / "broken.onnx").write_bytes(content)
        with pytest.raises(HybridFaceError, match=r"broken\.onnx"):
            FaceModel.load(tmp_path / "broken.onnx")


CLASSES = {"kind": "classification", "classes": list(EXPRESSIONS)}


@pytest.mark.parametrize(
    ("metadata", "what"),
    [
        (False, "without the metadata property 'hybridface'"),
        ("{", "not JSON"),
        ("[]", "expected a JSON object"),
        ("{}", "whole number 'format'"),
        (metadata_of(TASKS, format=2, version="9.0"), "written by hybridface 9.0, is newer"),
        (metadata_of(TASKS, crop={"scale": -1}), "'crop' is .*expected"),
        (metadata_of(TASKS, size="48"), "'size' is '48'"),
        (metadata_of(TASKS, size=48), r"expected one input 'images'.*48, 48"),
        (metadata_of(TASKS, channels="BGR"), "'channels' is 'BGR', expected 'RGB'"),
        (metadata_of(TASKS, range=[0, 255]), "'range'"),
        (metadata_of(TASKS, self_supervised=["puzzle"]), "'self_supervised' is"),
        (metadata_of(TASKS, normalised_in_graph=False), "'normalised_in_graph'"),
        (metadata_of(TASKS, tasks={}), "at least one task"),
        (metadata_of(TASKS, tasks={"expression": []}), "of kind None"),
        (metadata_of(TASKS, tasks={"pose": {**CLASSES, "kind": "angles"}}), "of kind 'angles'"),
        (metadata_of(TASKS, tasks={"expression": {**CLASSES, "classes": ["a", "a"]}}), "different"),
        (
            metadata_of(TASKS, tasks={"expression": {**CLASSES, "classes": ["a", "b"]}}),
            "'expression' ",
        ),
        (metadata_of(TASKS, tasks={"age": CLASSES}), r"expected an output 'age' \['batch', 7\]"),
    ],
)
def test_metadata_that_does_not_fit(tmp_path: Path, metadata: Any, what: str) -> None:
    path = write_model(tmp_path / "model.onnx", TASKS, metadata=metadata)
    with pytest.raises(HybridFaceError, match=what) as caught:
        FaceModel.load(path)
    assert caught.value.exit_code == 1
    assert str(path) in str(caught.value)


def test_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HybridFaceError, match="expected one input"):
        FaceModel.load(write_model(tmp_path / "model.onnx", TASKS, batch=1))


def test_an_empty_batch_gives_empty_outputs(model: FaceModel) -> None:
    assert model(np.zeros((0, 3, SIZE, SIZE), np.float32))["expression"].shape == (0, 7)


@pytest.fixture
def of_each_kind(tmp_path: Path) -> FaceModel:
    tasks = {"expression": EXPRESSIONS, "pose": ("a", "b", "c"), "age": ("a", "b")}
    metadata = metadata_of(tasks)
    metadata["tasks"]["pose"] = {"kind": "pose", "unit": "degrees"}
    metadata["tasks"]["age"] = {"kind": "regression", "unit": "years"}
    return FaceModel.load(write_model(tmp_path / "model.onnx", tasks, metadata=metadata))


def test_columns_of_each_kind(of_each_kind: FaceModel) -> None:
    model = of_each_kind
    assert model.tasks["expression"].columns == EXPRESSIONS
    assert model.tasks["pose"].columns == ("yaw", "pitch", "roll")
    assert model.tasks["age"] == ModelTask("regression", unit="years")
    assert model.tasks["age"].columns == ("mean", "deviation")
    outputs = model.predict(pictures_of(3))
    assert {name: output.shape for name, output in outputs.items()} == {
        "expression": (3, 7), "pose": (3, 3), "age": (3, 2)
    }  # fmt: skip


def test_the_plain_lines_of_the_documents_say_the_same(
    of_each_kind: FaceModel, tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "use.md").read_text()
    found = re.search(r"<!-- python: plain -->\n```python\n(.*?)```", page, re.DOTALL)
    assert found
    assert len([line for line in found[1].splitlines() if line.strip()]) == 12
    paths = [
        write_picture(tmp_path / f"{seed}.png", seed=seed, size=20 + seed) for seed in range(3)
    ]
    printed = subprocess.run(
        [sys.executable, "-c", found[1], str(of_each_kind.path), *map(str, paths)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    outputs = of_each_kind.predict([images.read(path) for path in paths])
    lines = iter(printed.splitlines())
    for name, rows in outputs.items():
        for row in rows:
            said = ast.literal_eval(next(lines).removeprefix(name).strip())
            assert list(said) == list(of_each_kind.tasks[name].columns)
            np.testing.assert_allclose(list(said.values()), row, atol=1e-6)
    assert not list(lines)


def test_reader_lines_of_the_documents_run(
    model: FaceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    page = (Path(__file__).parents[2] / "docs" / "use.md").read_text()
    found = re.search(r"<!-- python: reader -->\n```python\n(.*?)```", page, re.DOTALL)
    assert found
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "faces.onnx").write_bytes(model.path.read_bytes())
    astronaut = pytest.importorskip("skimage.data").astronaut()
    Image.fromarray(astronaut).save(tmp_path / "photos" / "a.png")
    exec(compile(found[1], "use.md", "exec"), {})
    assert "'probabilities'" in capsys.readouterr().out
