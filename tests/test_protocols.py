"""Recipes and studies of the literature's protocols: whole, and trained for a moment each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import layouts
from hybridface.config import Recipe, build_recipe, load_recipe
from hybridface.config.content import merge, read_yaml
from hybridface.data.prepare import prepare_data
from hybridface.data.sources import split_spec
from hybridface.evaluation.evaluate import evaluate
from hybridface.study import Study, load_study
from hybridface.tasks import build_tasks, resolve_tasks
from hybridface.training.refusals import refuse_early
from tiny_runs import BACKBONE

ROOT = Path(__file__).parents[1]
PROTOCOLS = sorted((ROOT / "configs" / "protocols").glob("*.yaml"))
STUDIES = [path for path in PROTOCOLS if "arms" in read_yaml(path)]
Files = dict[str, bytes]
BUILT: dict[str, Callable[[], Files]] = {
    "300wlp": layouts.poses_300wlp,
    "affectnet-7": layouts.affectnet,
    "affectnet-8": layouts.affectnet,
    "adience-age": layouts.adience,
    "adience-gender": layouts.adience,
    "biwi": lambda: layouts.biwi(range(1, 7)),
    "lfw-gender": layouts.lfw_gender,
    "pointing04": lambda: layouts.pointing04(range(1, 9)),
    "utkface-age": layouts.utkface,
    "utkface-gender": layouts.utkface,
}
PERSONS_APART = {"adience-age", "adience-gender", "biwi", "lfw-gender", "pointing04"}
OFFICIAL = {"adience-age", "adience-gender"}
TINY: dict[str, Any] = {
    "data": {"size": 32},
    "backbone": {"name": BACKBONE},
    "training": {"epochs": 1, "batch_size": 4, "threads": 1, "device": "cpu"},
}


def named(files: list[Path]) -> Any:
    return pytest.mark.parametrize("file", files, ids=lambda file: file.stem)


def recipes_of(file: Path) -> list[Recipe]:
    """Return the recipes that a protocol trains."""
    if file in STUDIES:
        config = load_study(file)
        assert config.name == file.stem
        return [cell.recipe for cell in Study(config).planned_cells()]
    return [load_recipe(file)]


def on_a_built_layout(recipe: Recipe, file: Path, root: Path, run: Path) -> Recipe:
    """Return a recipe for a layout that is built as the data set's own, and a tiny network."""
    spec = split_spec(recipe.data.source)
    source = f"{spec.kind}:{root}" + (f"?{spec.query}" if spec.query else "")
    content = merge(recipe.model_dump(mode="json", exclude_unset=True), TINY)
    return build_recipe(merge(content, {"run": str(run), "data": {"source": source}}))


@named(PROTOCOLS)
def test_each_protocol_can_be_trained_and_says_how(file: Path, hybridface_cache: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    command = "study" if file in STUDIES else "train"
    assert f"hybridface {command} configs/protocols/{file.name}" in text
    for recipe in recipes_of(file):
        refuse_early(*resolve_tasks(recipe))
    if file in STUDIES:
        assert load_study(file).command in text


def test_every_protocol_has_a_layout() -> None:
    assert {file.stem for file in PROTOCOLS} == set(BUILT)


@named(STUDIES)
def test_each_fold_is_tested_once(
    file: Path, write_files: Callable[[Files], Path], hybridface_cache: Path
) -> None:
    """Over the seeds of an arm every row with a label is in the test split, once."""
    root = write_files(BUILT[file.stem]())
    tested: list[int] = []
    for recipe in recipes_of(file)[::2]:
        tiny = on_a_built_layout(recipe, file, root, hybridface_cache / "run")
        columns = [task.label for task in build_tasks(tiny.tasks) if task.label]
        data = prepare_data(tiny.data, columns, tiny.seed)
        rows = {split: set(index.tolist()) for split, index in data.splits.items()}
        assert all(rows.values())
        tested += rows["test"]
        if file.stem in PERSONS_APART:
            assert data.groups is not None
            people = [set(data.groups[list(each)].tolist()) for each in rows.values()]
            assert sum(map(len, people)) == len(set.union(*people))
        assert bool(tiny.data.folds and tiny.data.folds.official) == (file.stem in OFFICIAL)
    assert len(tested) == len(set(tested))
    assert sorted(tested) == list(range(len(data.keys)))


@pytest.mark.slow
@named(PROTOCOLS)
def test_each_protocol_trains(
    file: Path, write_files: Callable[[Files], Path], hybridface_cache: Path, tmp_path: Path
) -> None:
    from hybridface.training.train import train

    root = write_files(BUILT[file.stem]())
    tiny = on_a_built_layout(recipes_of(file)[-1], file, root, tmp_path / "run")
    run = train(tiny)
    assert (run.folder / "model.onnx").exists()
    assert run.result["test" if file.stem != "300wlp" else "val"]["count"] > 0


@pytest.mark.slow
def test_300wlp_is_tested_on_two_other_data_sets(
    write_files: Callable[[Files], Path], hybridface_cache: Path, tmp_path: Path
) -> None:
    from hybridface.training.train import train

    file = ROOT / "configs" / "protocols" / "300wlp.yaml"
    root = write_files({**layouts.poses_300wlp(), **layouts.aflw2000(), **layouts.biwi()})
    run = train(on_a_built_layout(load_recipe(file), file, root, tmp_path / "run"))
    for kind, count in (("aflw2000", 12), ("biwi", 12)):
        found = evaluate(run.folder / "model.onnx", f"{kind}:{root}")
        assert found["tasks"]["pose"]["count"] == count
        assert np.isfinite(found["tasks"]["pose"]["mae"]["value"])
