"""Predictions kept with an evaluation or a run; files that are none of these."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_compare import CLASSES, COUNT, made

from hybridface.errors import DataError, HybridFaceError, UsageError
from hybridface.evaluation.compare import compare
from hybridface.evaluation.evaluate import evaluate
from hybridface.evaluation.predictions import load_predictions, save_predictions
from hybridface.evaluation.run_predictions import load_run_predictions
from tiny_models import write_model

Write = Callable[..., Path]


def test_what_is_kept_is_what_is_read(tmp_path: Path) -> None:
    path, given = tmp_path / "kept.npz", made(1)
    save_predictions(path, given)
    read = load_predictions(path)
    assert read.where == str(path)
    for name in ("model", "data", "split", "fingerprint", "notes"):
        assert getattr(read, name) == getattr(given, name)
    ours, theirs = read.tasks["expression"], given.tasks["expression"]
    assert (ours.label, ours.classes) == (theirs.label, theirs.classes)
    for name in ("keys", "targets", "probabilities"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def archive(**changes: Any) -> bytes:
    """Return a file of predictions with some arrays changed, or without those that are None."""
    place = io.BytesIO()
    task = made(1).tasks["expression"]
    about = {
        "format": 1, "model": "m", "data": "d", "split": "all", "fingerprint": "", "notes": [],
        "tasks": {"expression": {"label": "expression", "classes": CLASSES}},
    }  # fmt: skip
    arrays: dict[str, Any] = {
        "about": np.array(json.dumps(about | changes.pop("about", {}))),
        "keys": task.keys,
        "targets": task.targets,
        "probabilities": task.probabilities,
    }
    arrays |= changes
    named = {k if k == "about" else f"expression/{k}": v for k, v in arrays.items()}
    np.savez(place, **{name: value for name, value in named.items() if value is not None})
    return place.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    place = io.BytesIO()
    with zipfile.ZipFile(place, "w") as file:
        file.writestr(name, content)
    return place.getvalue()


DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "no whole .npz file"),
    "text": (b"accuracy 1.0", "no whole .npz file"),
    "cut": (archive()[:1000], "no whole .npz file"),
    "no arrays": (zipped("a.txt", b"text"), "an archive of something else than arrays"),
    "a pickle": (archive(keys=np.array([{}] * COUNT, dtype=object)), "no whole .npz file"),
    "newer": (archive(about={"format": 2}), "about.format"),
    "no JSON": (archive(about={"tasks": 3}), "about.tasks"),
    "no keys": (archive(keys=None), "there is no 'expression/keys'"),
    "too few": (archive(keys=np.array(["a"])), r"found \(1,\), \(60,\)"),
    "a scalar": (archive(keys=np.array("a")), r"found \(\), \(60,\)"),
    "columns": (archive(probabilities=np.zeros((COUNT, 2))), r"expected .* \(N, 3\)"),
    "kinds": (archive(targets=np.zeros(COUNT)), "of kinds Uff"),
    "targets": (archive(targets=np.full(COUNT, 3)), "not from 0 to 2"),
    "none": (
        archive(keys=np.array([], "U1"), targets=np.zeros(0, int), probabilities=np.zeros((0, 3))),
        r"found \(0,\)",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_and_foreign_files_say_what_is_wrong(name: str, tmp_path: Path) -> None:
    content, said = DAMAGED[name]
    path = tmp_path / "kept.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        load_predictions(path)
    assert str(path) in str(caught.value)
    assert "evaluate --out FILE.npz" in str(caught.value)


def test_a_single_array_is_no_file_of_predictions(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"no whole \.npz file"):
        load_predictions(tmp_path / "one.npy")


@pytest.fixture
def pictures(tmp_path: Path, hybridface_cache: Path, write_picture: Write) -> str:
    for seed in range(12):
        write_picture(tmp_path / "in" / CLASSES[seed % 3] / f"{seed}.png", seed)
    return f"folder:{tmp_path / 'in'}"


def test_kept_evaluations_compare_as_the_models_do(tmp_path: Path, pictures: str) -> None:
    files = []
    for name, classes in (("a", CLASSES), ("b", CLASSES[::-1])):
        model = write_model(tmp_path / f"{name}.onnx", {"expression": classes})
        files.append(tmp_path / f"{name}.npz")
        kept = evaluate(model, pictures, out=files[-1])
        assert kept == evaluate(model, pictures)
    result = compare(*files)
    fresh = compare(tmp_path / "a.onnx", tmp_path / "b.onnx", pictures)
    for name in ("tasks", "data", "split", "count", "notes"):
        assert result[name] == fresh[name]
    assert (result["split"], result["count"]) == ("all", 12)
    said = evaluate(tmp_path / "b.onnx", pictures)["tasks"]["expression"]
    assert result["tasks"]["expression"]["b"]["accuracy"] == said["accuracy"]
    with pytest.raises(UsageError, match="'test', but of all"):
        compare(*files, split="test")
    with pytest.raises(UsageError, match="cannot be measured on other data"):
        compare(tmp_path / "a.onnx", files[1], pictures)
    with pytest.raises(UsageError, match="keeps no predictions"):
        compare(tmp_path / "a.onnx", files[1])


def test_a_changed_picture_of_the_same_name_is_another(
    tmp_path: Path, pictures: str, write_picture: Write
) -> None:
    model = write_model(tmp_path / "a.onnx", {"expression": CLASSES})
    evaluate(model, pictures, out=tmp_path / "before.npz")
    write_picture(tmp_path / "in" / "sad" / "1.png", seed=99)
    evaluate(model, pictures, out=tmp_path / "after.npz")
    with pytest.raises(UsageError, match="different pictures that go by the same names"):
        compare(tmp_path / "before.npz", tmp_path / "after.npz")


def test_only_kept_evaluations_are_overwritten(tmp_path: Path, pictures: str) -> None:
    model = write_model(tmp_path / "a.onnx", {"expression": CLASSES})
    for _ in range(2):
        evaluate(model, pictures, out=tmp_path / "kept.npz")
    np.savez(tmp_path / "predictions.npz", test_probabilities=np.zeros((2, 2)))
    with pytest.raises(UsageError, match="not overwritten"):
        evaluate(model, pictures, out=tmp_path / "predictions.npz")
    with pytest.raises(UsageError, match=r"ends in \.npz"):
        evaluate(model, pictures, out=tmp_path / "kept.json")


ABOUT_RUN = {"task": "expression", "label": "expression", "classes": CLASSES, "data": "drawn:9"}


def write_run(folder: Path, splits: tuple[str, ...], **changes: Any) -> Path:
    """Write what a finished run keeps of its predictions."""
    arrays: dict[str, Any] = {"about": np.array(json.dumps(ABOUT_RUN))}
    for number, split in enumerate(splits):
        task = made(number).tasks["expression"]
        arrays[f"{split}_keys"] = np.char.add(f"{split}/", task.keys)
        arrays[f"{split}_labels"] = np.where(np.arange(COUNT) < 2, -1, task.targets)
        arrays[f"{split}_probabilities"] = task.probabilities
    folder.mkdir()
    np.savez(folder / "predictions.npz", **(arrays | changes))
    return folder


def test_runs_are_compared_on_the_split_that_both_kept(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", ("val", "test"))
    b = write_run(tmp_path / "b", ("val",))
    assert compare(a, a)["split"] == "test"
    result = compare(a, b)
    assert (result["split"], result["count"]) == ("val", COUNT - 2)  # two have no label
    assert result["a"] == {"from": str(a), "model": str(a / "model.onnx")}
    assert "flatters" in result["notes"][0]
    with pytest.raises(UsageError, match="'test', but of val"):
        compare(a, b, split="test")


def test_folders_that_are_no_finished_runs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no predictions\.npz"):
        load_run_predictions(tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        compare(tmp_path / "none", tmp_path / "none")
    short = write_run(tmp_path / "short", ("test",), test_keys=np.array(["a"]))
    with pytest.raises(DataError, match="differ in length"):
        load_run_predictions(short)
    with pytest.raises(DataError, match="no predictions of a labelled picture"):
        load_run_predictions(write_run(tmp_path / "unlabelled", ()))


@pytest.fixture
def older(tmp_path: Path, pictures: str) -> Path:
    """A run of the version that kept rows and labels alone, on every second picture."""
    from hybridface.data.sources import open_source

    folder = tmp_path / "older"
    folder.mkdir()
    labels = open_source(pictures).read().labels["expression"]
    rows = np.arange(0, 12, 2)
    np.savez(
        folder / "predictions.npz",
        val_rows=rows,
        val_labels=labels.ids[rows],
        val_probabilities=np.full((6, 3), 1 / 3, np.float32),
    )
    result = {"label": "expression", "classes": labels.names}
    (folder / "result.json").write_text(json.dumps(result))
    tasks = {"puzzle": {}, "expression": {"classes": labels.names}}
    (folder / "config.json").write_text(json.dumps({"tasks": tasks}))
    (folder / "config.yaml").write_text(json.dumps({"data": {"source": pictures}}))
    return folder


def test_names_of_an_older_run_are_looked_up(older: Path, pictures: str, tmp_path: Path) -> None:
    from hybridface.data.sources import open_source

    kept = load_run_predictions(older)["val"]
    assert kept.tasks["expression"].keys.tolist() == open_source(pictures).read().keys[::2]
    assert kept.fingerprint == ""
    assert "looked up" in kept.notes[1]
    next((tmp_path / "in" / "sad").iterdir()).rename(tmp_path / "in" / "angry" / "0.png")
    with pytest.raises(UsageError, match="no longer as the run saw it"):
        load_run_predictions(older)
    (tmp_path / "in").rename(tmp_path / "gone")
    with pytest.raises(UsageError, match=r"cannot be looked up(.|\n)*--data KIND:PATH"):
        load_run_predictions(older)


@pytest.mark.parametrize("name", ["result.json", "config.json", "config.yaml"])
def test_an_older_run_without_its_files(name: str, older: Path) -> None:
    (older / name).write_text("[]")
    with pytest.raises(HybridFaceError, match=f"{name}.* damaged"):
        load_run_predictions(older)


@pytest.mark.parametrize(
    "rows", [np.zeros(6), np.array(["0"] * 6), np.zeros((2, 3), int), np.zeros(0)]
)
def test_an_older_run_with_rows_that_are_none(rows: Any, older: Path) -> None:
    with np.load(older / "predictions.npz") as kept:
        arrays = dict(kept)
    np.savez(older / "predictions.npz", **{**arrays, "val_rows": rows})
    with pytest.raises(DataError, match="'val_rows' holds no numbers of rows"):
        load_run_predictions(older)
