from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hybridface import Recipe, build_recipe, load_recipe
from hybridface.config import merge, override, parse_override, read_yaml
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


@pytest.mark.parametrize("text", ["1e-3", "1.0e-3", "0.001", "'1e-3'"])
def test_numbers_in_any_writing(text: str) -> None:
    recipe = changed(f"training.learning_rate={text}")
    assert recipe.training.learning_rate == 0.001
    assert isinstance(recipe.training.learning_rate, float)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("training.epochs=3", 3),
        ("training.ema=null", None),
        ("training.compile=true", True),
        ("training.precision=bf16-mixed", "bf16-mixed"),
        (" training.clip = 2.5", 2.5),
    ],
)
def test_overrides_are_yaml(text: str, value: Any) -> None:
    key = text.partition("=")[0].strip().removeprefix("training.")
    assert getattr(changed(text).training, key) == value


def test_later_overrides_win_and_keep_what_they_do_not_name() -> None:
    recipe = changed("data.folds.count=3", "data.folds.test=1", "data.folds.count=4")
    assert recipe.data.folds is not None
    assert (recipe.data.folds.count, recipe.data.folds.test) == (4, 1)
    assert changed("data.folds.count=3", "data.folds=null").data.folds is None


def test_equals_signs_may_be_part_of_a_value() -> None:
    assert changed("data.source=drawn:100?seed=3").data.source == "drawn:100?seed=3"


def test_null_drops_a_task() -> None:
    recipe = changed("tasks.puzzle.grid=2", "tasks.expression=null")
    assert set(recipe.tasks) == {"puzzle"}
    with pytest.raises(UsageError, match="tasks"):
        changed("tasks.expression=null")


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


@pytest.mark.parametrize("text", ["training.epochs", "=3", "  =3"])
def test_overrides_need_a_key_and_a_value(text: str) -> None:
    with pytest.raises(UsageError, match="write key=value"):
        parse_override(text)


def test_an_override_that_is_no_yaml() -> None:
    with pytest.raises(UsageError, match="not valid YAML"):
        parse_override("tasks={a: [")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"- 1", "expected a mapping"), (b"", "expected a mapping"), (b"a: [", "not valid YAML"),
     (b"\xff\xfe\x00", "not valid YAML")],
)  # fmt: skip
def test_files_that_are_no_recipe(content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=said) as caught:
        read_yaml(file)
    assert str(file) in str(caught.value)


def test_recipes_are_read_with_overrides(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(LEAST))
    assert load_recipe(file, ["seed=4"]) == changed("seed=4")
    with pytest.raises(UsageError, match=str(file)):
        load_recipe(file, ["sed=4"])
    with pytest.raises(UsageError, match="cannot be read"):
        load_recipe(tmp_path / "none.yaml")


NESTED = st.recursive(
    st.none() | st.integers(0, 3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
MAPPINGS = st.dictionaries(st.sampled_from("abc"), NESTED, max_size=3)


@given(MAPPINGS, MAPPINGS)
def test_merging(base: dict[str, Any], change: dict[str, Any]) -> None:
    before = yaml.safe_dump(base)
    merged = merge(base, change)
    assert yaml.safe_dump(base) == before
    assert merge(merged, change) == merged
    assert merge(base, {}) == base
    assert merge({}, change) == change
    for key in merged:
        if key not in change:
            assert merged[key] == base[key]
        elif not isinstance(change[key], dict) or not isinstance(base.get(key), dict):
            assert merged[key] == change[key]
        else:
            assert merged[key] == merge(base[key], change[key])
