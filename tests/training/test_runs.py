from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import hybridface
from hostile import Bomb
from hybridface.errors import DataError, HybridFaceError, UsageError
from hybridface.training.runs import (
    RunFolder,
    describe_environment,
    differing_keys,
    load_model,
    load_weights,
    save_weights,
)
from hybridface.training.train import TrainedRun
from tiny_runs import SIZE, labelled_batch, same_weights, tiny_model, tiny_recipe

OPTIONS: dict[str, dict[str, Any]] = {"expression": {}, "puzzle": {"grid": 2}}


def test_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    model, _ = tiny_model(OPTIONS)
    model.to(memory_format=torch.channels_last)
    model(torch.rand(4, 3, SIZE, SIZE))  # moves the buffers
    save_weights(model, tmp_path / "a.safetensors")
    other, _ = tiny_model(OPTIONS)
    assert not same_weights(model, other)
    load_weights(other, tmp_path / "a.safetensors")
    assert same_weights(model, other)
    assert same_weights(model, tmp_path / "a.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o444 == 0o444


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_a_pickle_by_another_name_is_refused_and_never_run(how: str, tmp_path: Path) -> None:
    model, _ = tiny_model(OPTIONS)
    place = tmp_path / "a.safetensors"
    content = model.state_dict() | {"bomb": Bomb(tmp_path / "gone-off")}
    if how == "pickle":
        place.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, place)
    with pytest.raises(DataError, match="not a whole safetensors file"):
        load_weights(model, place)
    assert not (tmp_path / "gone-off").exists()


def test_a_folder_may_lie_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a source may; a recipe's ``run`` passes no shell that would say where that is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert RunFolder(Path("~/runs/a")).path == tmp_path / "runs" / "a"


@pytest.mark.parametrize("part", [0.0, 0.0001, 0.3, 0.999])
def test_damaged_weights_are_refused(part: float, tmp_path: Path) -> None:
    model, _ = tiny_model(OPTIONS)
    save_weights(model, tmp_path / "a.safetensors")
    whole = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(whole[: int(part * len(whole))])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(DataError, match=r"a\.safetensors: not a whole"):
        load_weights(model, tmp_path / "a.safetensors")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    save_weights(nn.Linear(2, 2), tmp_path / "a.safetensors")
    model, _ = tiny_model(OPTIONS)
    with pytest.raises(DataError, match="weights of another architecture"):
        load_weights(model, tmp_path / "a.safetensors")
    with pytest.raises(DataError, match="there are no weights"):
        load_weights(model, tmp_path / "b.safetensors")


def test_weights_that_cannot_be_written_say_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HybridFaceError, match="cannot be written"):
        save_weights(nn.Linear(2, 2), tmp_path / "file" / "a.safetensors")


@pytest.mark.parametrize("which", ["best", "last"])
def test_a_finished_run_is_built_again(which: str, tiny_run: TrainedRun) -> None:
    model, tasks = load_model(tiny_run.folder, which)
    assert not model.training
    assert same_weights(model, tiny_run.folder / f"{which}.safetensors")
    described = json.loads((tiny_run.folder / "config.json").read_text())["tasks"]
    assert [task.name for task in tasks] == list(described)
    assert tasks[0].describe()["classes"] == tiny_run.result["classes"]
    outputs = model(labelled_batch().images.float() / 255)
    assert outputs["expression"].shape == (6, len(tiny_run.result["classes"]))
    assert outputs["inpaint"].shape == (6, 3, SIZE, SIZE)


@pytest.mark.parametrize(
    "damage",
    ["gone", "no JSON", "no keys", "a list", "other classes", "no backbone", "no options"],
)
def test_a_damaged_run_is_refused(damage: str, tiny_run: TrainedRun, tmp_path: Path) -> None:
    for name in ("config.json", "best.safetensors"):
        shutil.copy(tiny_run.folder / name, tmp_path / name)
    place = tmp_path / "config.json"
    content = json.loads(place.read_text())
    texts = {"no JSON": "{", "no keys": "{}", "a list": "[]"}
    texts["no backbone"] = json.dumps({k: v for k, v in content.items() if k != "backbone"})
    texts["no options"] = json.dumps({**content, "tasks": {"expression": []}})
    content["tasks"]["expression"]["classes"].pop()
    texts["other classes"] = json.dumps(content)
    place.unlink() if damage == "gone" else place.write_text(texts[damage])
    with pytest.raises(DataError, match=r"cannot be read|damaged|another architecture"):
        load_model(tmp_path)


@pytest.mark.parametrize("number", [0, 2, 17, "one", None])
def test_weights_of_another_format_are_refused(
    number: object, tiny_run: TrainedRun, tmp_path: Path
) -> None:
    content = json.loads((tiny_run.folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(content | {"format": number}))
    shutil.copy(tiny_run.folder / "best.safetensors", tmp_path / "best.safetensors")
    with pytest.raises(DataError) as caught:
        load_model(tmp_path)
    said = f"weights of format {number}; this is hybridface {hybridface.__version__}, which reads"
    assert said in str(caught.value)
    assert "Use the version that wrote them" in str(caught.value)


def test_an_empty_or_new_folder_is_free(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "run")
    RunFolder(recipe.run).check(recipe, resume=False)
    recipe.run.mkdir()
    RunFolder(recipe.run).check(recipe, resume=False)
    RunFolder(recipe.run).check(recipe, resume=True)


def test_a_run_killed_in_its_first_file_can_be_gone_on_with(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "run")
    recipe.run.mkdir()
    (recipe.run / ".config.yaml.0a1b2c3d").write_text("run: ")
    (recipe.run / ".lock").touch()
    for resume in (False, True):
        RunFolder(recipe.run).check(recipe, resume=resume)
    RunFolder(recipe.run).open(recipe)
    assert not (recipe.run / ".config.yaml.0a1b2c3d").exists()


def test_whatever_lies_there_is_not_overwritten(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "run")
    recipe.run.mkdir()
    (recipe.run / "anything").touch()
    file = tiny_recipe(tmp_path / "run" / "anything")
    for resume in (
        False,
        True,
    ):  # neither to be gone on with nor, as pictures of one's own, removed
        with pytest.raises(UsageError, match="holds files but no run; name another"):
            RunFolder(recipe.run).check(recipe, resume=resume)
        with pytest.raises(UsageError, match="anything is no folder; name another"):
            RunFolder(file.run).check(file, resume=resume)
    RunFolder(recipe.run).open(recipe)
    with pytest.raises(UsageError, match="already holds a run"):
        RunFolder(recipe.run).check(recipe, resume=False)


def test_another_recipe_is_refused_and_names_what_differs(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.open(tiny_recipe(folder.path))
    other = tiny_recipe(folder.path, tasks={"puzzle": {"grid": 4}}, training={"epochs": 9}, seed=1)
    with pytest.raises(UsageError) as caught:
        folder.check(other, resume=True)
    said = (
        "differs in seed (0 there, 1 now), tasks.puzzle.grid (2 there, 4 now), "
        "training.epochs (4 there, 9 now)."
    )
    assert said in str(caught.value)


def test_what_does_not_change_the_training_may_change(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.open(tiny_recipe(tmp_path / "elsewhere"))
    changes = {"threads": 2, "device": "auto", "checkpoint_minutes": 7}
    folder.check(tiny_recipe(folder.path, training=changes), resume=True)


def test_a_recipe_from_python_and_its_file_are_one(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    recipe = tiny_recipe(folder.path, tasks={"inpaint": {"hole_side": (0.2, 0.4)}})
    folder.open(recipe)
    folder.check(recipe, resume=True)


def test_differing_keys() -> None:
    one = {"a": {"b": 1, "c": 2}, "d": 3, "e": {"f": 1}}
    other = {"a": {"b": 1, "c": 4}, "g": 3, "e": None}
    assert differing_keys(one, other) == {
        "a.c": (2, 4), "d": (3, None), "e": ({"f": 1}, None), "g": (None, 3),
    }  # fmt: skip
    assert differing_keys(one, one) == {}
    assert differing_keys({"a": {"b": 1, "c": 2}}, {"a": {"c": 2, "b": 1, "d": 3}}) == {
        "the order of a": (["b", "c"], ["c", "b"]), "a.d": (None, 3),
    }  # fmt: skip


def test_the_environment_says_what_is_needed_to_do_it_again() -> None:
    environment = json.loads(json.dumps(describe_environment()))
    assert {"machine", "python", "system", "versions", "revision"} <= set(environment)
    assert environment["versions"]["torch"].startswith(torch.__version__.partition("+")[0])
