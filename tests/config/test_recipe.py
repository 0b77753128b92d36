from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hybridface import Recipe, build_recipe, load_recipe
from hybridface.config.content import override
from hybridface.errors import UsageError

LEAST: dict[str, Any] = {"data": {"source": "drawn:100"}, "tasks": {"expression": {}}}


def changed(*overrides: str) -> Recipe:
    return build_recipe(override(LEAST, overrides))


def test_data_and_tasks_are_enough() -> None:
    recipe = build_recipe(LEAST)
    assert recipe.backbone.name == "efficientnet_b0"
    assert recipe.training.batch_norm == "split"
    assert recipe.augment.views == 1
    assert recipe.run == Path("runs/train")


def test_what_is_resolved_resolves_to_itself() -> None:
    recipe = changed("tasks.inpaint.hole_side=[0.2, 0.4]", "data.folds.test=2", "training.ema=null")
    assert build_recipe(yaml.safe_load(recipe.to_yaml())) == recipe


def test_options_of_the_backbone_are_timms_words() -> None:
    recipe = changed("backbone.options.patch_size=8", "backbone.options={window_size: 4}")
    assert recipe.backbone.options == {"patch_size": 8, "window_size": 4}
    assert build_recipe(yaml.safe_load(recipe.to_yaml())) == recipe


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("pretrained", "weights come by backbone.init"),
        ("checkpoint_path", "weights come by backbone.init"),
        ("img_size", "it is data.size"),
        ("in_chans", "pictures have three channels"),
        ("num_classes", "the heads are those of the tasks"),
    ],
)
def test_options_of_the_backbone_that_are_ours_are_refused(option: str, why: str) -> None:
    with pytest.raises(UsageError, match=rf"backbone\.options: .*'{option}' cannot .*: {why}"):
        changed(f"backbone.options.{option}=1")


@pytest.mark.parametrize("text", ["1e-3", "1.0e-3", "0.001", "'1e-3'"])
def test_numbers_in_any_writing(text: str) -> None:
    recipe = changed(f"training.learning_rate={text}")
    assert recipe.training.learning_rate == 0.001
    assert isinstance(recipe.training.learning_rate, float)


UNKNOWN = {
    "sed=1": ("sed", "seed"),
    "data.sise=48": ("data.sise", "data.size"),
    "data.folds.cuont=5": ("data.folds.cuont", "data.folds.count"),
    "backbone.nam=resnet18": ("backbone.nam", "backbone.name"),
    "augment.levle=weak": ("augment.levle", "augment.level"),
    "training.learning_rat=1": ("training.learning_rat", "training.learning_rate"),
}


@pytest.mark.parametrize("override", UNKNOWN)
def test_unknown_keys_name_the_nearest(override: str) -> None:
    key, near = UNKNOWN[override]
    with pytest.raises(UsageError) as caught:
        changed(override)
    assert f"unknown key in recipe '{key}': did you mean '{near}'?" in str(caught.value)


def test_unknown_keys_inside_what_the_user_has_named() -> None:
    for key, near in (("wieght", "weight"), ("folds.cuont", "folds.count")):
        source = override({"source": "drawn:100"}, [f"{key}=2"])
        content = {"data": {"sources": {"mine": source}}, "tasks": {"expression": {}}}
        with pytest.raises(UsageError) as caught:
            build_recipe(content)
        said = f"'data.sources.mine.{key}': did you mean 'data.sources.mine.{near}'?"
        assert said in str(caught.value)


WRONG = {
    "training.epochs=0": "training.epochs: Input should be greater than or equal to 1 (given: 0)",
    "data.fraction=1.5": "data.fraction: Input should be less than or equal to 1 (given: 1.5)",
    "data.size=big": "data.size: Input should be a valid integer",
    "augment.level=wild": "augment.level: Input should be 'none', 'weak' or 'strong'",
    "training.batch_norm=group": "training.batch_norm: Input should be 'joined', 'split'",
}


@pytest.mark.parametrize("override", WRONG)
def test_wrong_values_are_named(override: str) -> None:
    with pytest.raises(UsageError) as caught:
        changed(override)
    assert WRONG[override] in str(caught.value)
    assert caught.value.exit_code == 2


def test_missing_keys_are_named() -> None:
    with pytest.raises(UsageError, match=r"^recipe: data: source is missing: KIND:PATH, or"):
        build_recipe({"data": {}, "tasks": {"expression": {}}})


def test_recipes_are_read_with_overrides(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(LEAST))
    assert load_recipe(file, ["seed=4"]) == changed("seed=4")
    with pytest.raises(UsageError, match=str(file)):
        load_recipe(file, ["sed=4"])
    with pytest.raises(UsageError, match="cannot be read"):
        load_recipe(tmp_path / "none.yaml")
