"""The tools that write models and data sets: what is there is not lost, what stays is the same."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from safetensors.torch import load_file

from hybridface.data.sources import open_source
from hybridface.evaluation.predictions import load_predictions
from hybridface.evaluation.run_predictions import load_run_predictions
from hybridface.inference.runtime import FaceModel
from hybridface.training.train import TrainedRun
from layouts import LAYOUTS

ROOT = Path(__file__).parent.parent


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Return a function that imports a tool by its name."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module


@pytest.mark.usefixtures("drawn_cache")
def test_heads_are_trained_with_all_else_frozen(
    tiny_run: TrainedRun, tmp_path: Path, tool: Callable[[str], Any]
) -> None:
    train_heads, out = tool("train_ssl_heads").train_heads, tmp_path / "out"
    train_heads(tiny_run.folder, out, 0.005, 2e-3)
    before, after = (
        load_file(tiny_run.folder / "last.safetensors"),
        load_file(out / "best.safetensors"),
    )
    changed = {name.split(".")[1] for name in before if (before[name] != after[name]).any()}
    assert changed == {"puzzle", "inpaint"}
    assert (out / "result.json").read_bytes() == (tiny_run.folder / "result.json").read_bytes()
    assert not (out / "model.onnx").exists()
    with pytest.raises(SystemExit, match="is there already"):
        train_heads(tiny_run.folder, out, 60, 2e-3)
    with pytest.raises(SystemExit, match="expected more than 0"):
        train_heads(tiny_run.folder, tmp_path / "other", 0, 2e-3)


def test_a_packed_data_set_has_smaller_pictures_and_nothing_else_is_other(
    tmp_path: Path, tool: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch,
    write_files: Callable[[dict[str, bytes]], Path],
) -> None:  # fmt: skip
    files, spec, _ = LAYOUTS["aflw2000"]
    data, out = write_files(files()), tmp_path / "packed"
    command = ["pack_pictures", spec.format(data / "AFLW2000"), str(out), "--side", "16"]
    monkeypatch.setattr(sys, "argv", command)
    main = tool("pack_pictures").main
    main()
    whole, packed = (open_source(spec.format(place)).read() for place in (data / "AFLW2000", out))
    assert list(whole.keys) == list(packed.keys)
    np.testing.assert_array_equal(whole.numeric["pose"].values, packed.numeric["pose"].values)
    sizes = [
        (out / key).stat().st_size < (data / "AFLW2000" / key).stat().st_size for key in packed.keys
    ]
    assert all(sizes)
    monkeypatch.setattr(sys, "argv", [*command[:2], str(data / "AFLW2000")])
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit, match="is there already"):
        main()
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.usefixtures("drawn_cache")
def test_a_model_is_quantized_by_the_training_rows_of_its_recipe(
    tiny_run: TrainedRun, tmp_path: Path, tool: Callable[[str], Any],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    module = tool("quantize")
    model, recipe = tiny_run.folder / "model.onnx", tiny_run.folder / "config.yaml"
    out, keys = tmp_path / "out.onnx", tmp_path / "keys.txt"
    module.quantize(model, recipe, out, 16, keys)
    assert "expression: largest difference" in capsys.readouterr().out
    kept = np.load(tiny_run.folder / "predictions.npz")["test_keys"].tolist()
    assert keys.read_text().splitlines() == kept
    made = {each.data_type for each in onnx.load(out).graph.initializer}
    assert onnx.TensorProto.INT8 in made
    with pytest.raises(SystemExit, match="is there already"):
        module.quantize(model, recipe, out, 16, None)


@pytest.mark.usefixtures("drawn_cache")
def test_predictions_of_a_recipes_rows_are_those_that_its_run_kept(
    tiny_run: TrainedRun, tmp_path: Path, tool: Callable[[str], Any]
) -> None:
    module = tool("keep_predictions")
    model, recipe = FaceModel.load(tiny_run.folder), tiny_run.folder / "config.yaml"
    for split in ("val", "test"):
        out = tmp_path / f"{split}.npz"
        kept = module.keep(model, recipe, split, out)
        of_run = load_run_predictions(tiny_run.folder)[split].tasks["expression"]
        for found in (kept, load_predictions(out)):
            task = found.tasks["expression"]
            assert (task.label, task.classes) == (of_run.label, of_run.classes)
            np.testing.assert_array_equal(task.keys, of_run.keys)
            np.testing.assert_array_equal(task.targets, of_run.targets)
            np.testing.assert_allclose(task.probabilities, of_run.probabilities, atol=1e-4)
        (row,) = module.figures(kept, ())
        assert row["pictures"] == tiny_run.result[split]["count"]
        wanted = tiny_run.result[split]["nll"]["value"]
        assert row["nll"]["value"] == pytest.approx(wanted, rel=1e-3)
