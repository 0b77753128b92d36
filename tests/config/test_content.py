from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hybridface import Recipe, build_recipe
from hybridface.config.content import merge, override, parse_override, read_yaml
from hybridface.errors import UsageError

LEAST: dict[str, Any] = {"data": {"source": "drawn:100"}, "tasks": {"expression": {}}}


def changed(*overrides: str) -> Recipe:
    return build_recipe(override(LEAST, overrides))


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


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("tasks.expresion=null", "'expresion': did you mean 'expression'"),
        ("tasks.puzzle=null", "'puzzle': known are: expression"),
        ("pretrain.tasks.puzzle=null", "'puzzle': known are: none"),
    ],
)
def test_a_task_that_is_not_there_cannot_be_taken_out(override: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"unknown task to be taken out {said}"):
        changed("pretrain.epochs=2", override)
    with pytest.raises(UsageError, match=f"unknown task to be taken out {said}"):
        changed(override)


def test_tasks_of_a_first_stage_are_named_and_dropped_as_all_others() -> None:
    content = LEAST | {"pretrain": {"epochs": 2, "tasks": {"puzzle": None, "rotation": None}}}
    pretrain = build_recipe(override(content, ["pretrain.tasks.rotation=null"])).pretrain
    assert pretrain is not None
    assert pretrain.tasks == {"puzzle": {}}
    assert build_recipe(content).pretrain != pretrain


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
     (b"\xff\xfe\x00", "not valid YAML"),
     (b"a: 1\nb: {c: 2,\n  c: 3}", "the key 'c' stands twice\n.*line 3, column 3")],
)  # fmt: skip
def test_files_that_are_no_recipe(content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=said) as caught:
        read_yaml(file)
    assert str(file) in str(caught.value)


def test_a_key_may_take_the_place_of_one_that_is_laid_under(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n")
    assert read_yaml(file)["b"] == {"x": 1, "y": 3}


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
