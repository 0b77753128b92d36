"""No file is ever read by pickle: the source calls nothing that would, and traps do not go off."""

from __future__ import annotations

import ast
import hashlib
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm

import hybridface
from hostile import WRITERS, Bomb, object_arrays
from hybridface import cli
from hybridface.data.cache import open_cache
from hybridface.data.sources import open_source
from hybridface.errors import DataError, HybridFaceError
from hybridface.network import imagenet
from hybridface.network.imagenet import PACKAGES, PackagedWeights, imagenet_network
from hybridface.training.runs import load_model
from hybridface.training.train import TrainedRun
from tiny_runs import copy_run, write_recipe

SOURCE = Path(hybridface.__file__).parent
# What may be called only with this argument, said outright.
SAFE_BY = {
    "torch.load": ("weights_only", True),
    "timm.models.load_checkpoint": ("weights_only", True),
    "np.load": ("allow_pickle", False),
}
NEVER = {
    "eval", "exec", "yaml.load", "yaml.full_load", "yaml.unsafe_load", "torch.jit.load",
    "torch.hub.load", "torch.package.PackageImporter", "np.lib.format.read_array",
}  # fmt: skip
NEVER_IMPORTED = {"pickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
NEVER_METHODS = {"load_from_checkpoint"}
EXCEPTIONS = {"UnpicklingError"}  # a name to catch


def unsafe(text: str) -> Iterator[str]:
    """Name what a module does that could run what a file says."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (n.name for n in node.names if n.name.split(".")[0] in NEVER_IMPORTED)
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in NEVER_IMPORTED:
                yield from (n.name for n in node.names if n.name not in EXCEPTIONS)
            yield from (f"{node.module}.load" for n in node.names if is_load(node.module, n.name))
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            argument, value = SAFE_BY.get(name, ("", None))
            given = [k.value for k in node.keywords if k.arg == argument]
            said = any(isinstance(each, ast.Constant) and each.value is value for each in given)
            if name in NEVER or name.split(".")[-1] in NEVER_METHODS:
                yield name
            if name in SAFE_BY and not said:
                yield name


def is_load(module: str | None, name: str) -> bool:
    """Say whether a function is imported by its own name, past the rules for its full one."""
    return module in ("torch", "numpy", "yaml", "timm.models") and "load" in name


def test_the_source_reads_nothing_by_pickle() -> None:
    modules = list(SOURCE.rglob("*.py"))
    assert len(modules) > 80
    found = {str(path): list(unsafe(path.read_text())) for path in modules}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "text",
    [
        "torch.load(p)", "torch.load(p, weights_only=False)", "torch.load(p, weights_only=x)",
        "np.load(p)", "np.load(p, allow_pickle=True)", "import pickle", "from pickle import load",
        "import joblib", "from torch import load", "yaml.load(t)", "a.load_from_checkpoint(p)",
        "timm.models.load_checkpoint(n, p)", "eval(t)",
    ],
)  # fmt: skip
def test_what_is_unsafe_is_found(text: str) -> None:
    assert list(unsafe(text))


@pytest.fixture
def bomb(tmp_path: Path) -> Iterator[Bomb]:
    """Return a trap; the test fails if it goes off."""
    bomb = Bomb(tmp_path / "gone-off")
    yield bomb
    assert not bomb.mark.exists()


def test_the_trap_works(tmp_path: Path) -> None:
    bomb = Bomb(tmp_path / "gone-off")
    pickle.loads(pickle.dumps(bomb))
    assert bomb.mark.exists()


Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs a command and gives its exit code and errors."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["hybridface", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capfd.readouterr().err
        assert "Traceback" not in said and "unexpectedly" not in said
        return int(end.value.code or 0), said

    return run


@pytest.mark.parametrize("kind", WRITERS)
def test_a_model(kind: str, bomb: Bomb, command: Command, tmp_path: Path) -> None:
    WRITERS[kind](tmp_path / "model.onnx", bomb)
    (tmp_path / "face.png").touch()
    code, said = command("predict", tmp_path / "face.png", "--model", tmp_path / "model.onnx")
    assert code == 1
    assert "model.onnx: not a model that ONNX Runtime can load" in said


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.usefixtures("drawn_cache")
def test_a_checkpoint(
    kind: str, bomb: Bomb, command: Command, broken_run: Path, tmp_path: Path
) -> None:
    copy_run(broken_run, tmp_path / "run")
    WRITERS[kind](tmp_path / "run" / "checkpoint.ckpt", bomb)
    config = tmp_path / "run" / "config.yaml"
    code, said = command("train", config, f"run={tmp_path / 'run'}", "--resume", "--quiet")
    assert code == 1
    assert "checkpoint.ckpt: not a" in said


@pytest.mark.parametrize("kind", WRITERS)
def test_weights(kind: str, bomb: Bomb, tiny_run: TrainedRun, tmp_path: Path) -> None:
    copy_run(tiny_run.folder, tmp_path / "run")
    WRITERS[kind](tmp_path / "run" / "best.safetensors", bomb)
    with pytest.raises(DataError, match="not a whole safetensors file"):
        load_model(tmp_path / "run")


@pytest.mark.parametrize("kind", [*WRITERS, "arrays of the right names"])
def test_predictions_of_a_run(
    kind: str, bomb: Bomb, command: Command, tiny_run: TrainedRun, tmp_path: Path
) -> None:
    copy_run(tiny_run.folder, tmp_path / "run")
    for name in ("predictions.npz", "samples.npz"):
        path = tmp_path / "run" / name
        if kind in WRITERS:
            WRITERS[kind](path, bomb)
        else:
            object_arrays(path, bomb, like=tiny_run.folder / name)
    code, said = command("compare", tiny_run.folder, tmp_path / "run")
    assert code == 1
    assert "predictions.npz: not predictions that hybridface kept" in said
    code, said = command("report", tmp_path / "run")
    assert code == 1
    assert "samples.npz: " in said


@pytest.mark.parametrize("kind", WRITERS)
def test_kept_predictions(
    kind: str, bomb: Bomb, command: Command, tiny_run: TrainedRun, tmp_path: Path
) -> None:
    WRITERS[kind](tmp_path / "kept.npz", bomb)
    code, said = command("compare", tiny_run.folder, tmp_path / "kept.npz")
    assert code == 1
    assert "kept.npz: not predictions that hybridface kept" in said


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("name", ["images.npy", "rows.npz", "cache.json"])
def test_a_cache_is_built_again(name: str, kind: str, bomb: Bomb, hybridface_cache: Path) -> None:
    source = open_source("drawn:4?pixels=16")
    first = open_cache(source, source.read(), 16)
    expected = np.array(first.images)
    WRITERS[kind](first.folder / name, bomb)
    np.testing.assert_array_equal(open_cache(source, source.read(), 16).images, expected)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_parsed_table_is_parsed_again(
    kind: str, bomb: Bomb, hybridface_cache: Path, tmp_path: Path
) -> None:
    table = tmp_path / "fer2013.csv"
    table.write_text("emotion,pixels,Usage\n3," + " ".join(["7"] * 48 * 48) + ",Training\n")
    open_source(f"fer2013:{table}").read()
    (store,) = (hybridface_cache / "tables").iterdir()
    WRITERS[kind](store, bomb)
    source = open_source(f"fer2013:{table}")
    assert (open_cache(source, source.read(), 48).images == 7).all()


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("kind", ["a pickle", "torch's", "torch's old"])
def test_imagenet_weights_of_the_package(
    kind: str, known: bool, bomb: Bomb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pth"
    WRITERS[kind](path, bomb)
    monkeypatch.setattr(PackagedWeights, "find", lambda _: path)
    if known:  # even then they are not unpickled
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        name = "tf_efficientnet_lite0"
        monkeypatch.setitem(imagenet.PACKAGES, name, replace(PACKAGES[name], sha256=digest))
    with pytest.raises(RuntimeError if known else HybridFaceError):
        imagenet_network("tf_efficientnet_lite0")


@pytest.mark.parametrize("kind", ["a pickle", "torch's", "torch's old"])
def test_imagenet_weights_of_timm(
    kind: str, bomb: Bomb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pytorch_model.bin"
    WRITERS[kind](path, bomb)

    def downloaded(*_: Any, filename: str, **__: Any) -> str:
        if filename.endswith(".safetensors"):
            raise timm.models._hub.EntryNotFoundError("none")
        return str(path)

    monkeypatch.setattr(timm.models._hub, "hf_hub_download", downloaded)
    with pytest.raises(HybridFaceError, match="ImageNet weights of resnet18 cannot be had"):
        imagenet_network("resnet18")


@pytest.mark.parametrize("place", ["the recipe", "the run's recipe"])
@pytest.mark.usefixtures("drawn_cache")
def test_yaml(place: str, bomb: Bomb, command: Command, broken_run: Path, tmp_path: Path) -> None:
    trap = f"run: !!python/object/apply:pathlib.Path.touch [{bomb.mark}]\n"
    recipe = write_recipe(tmp_path / "run.yaml")
    (tmp_path / "run").mkdir()
    target = recipe if place == "the recipe" else tmp_path / "run" / "config.yaml"
    target.write_text(trap)
    code, said = command("train", recipe, "--resume", "--quiet")
    assert code == 2
    assert f"{target}: not valid YAML" in said
