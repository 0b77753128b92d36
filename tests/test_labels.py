from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridface.errors import UsageError
from hybridface.labels import EXPRESSION_ALIASES, canonical_name, match_classes

SPELLINGS = [
    (alias, name) for name, aliases in EXPRESSION_ALIASES.items() for alias in (name, *aliases)
]


@pytest.mark.parametrize(("spelling", "name"), SPELLINGS)
def test_every_spelling_has_one_name(spelling: str, name: str) -> None:
    for variant in (spelling, spelling.upper(), f"  {spelling.title()}\n"):
        assert canonical_name(variant) == name


@given(st.text())
def test_canonical_name_is_stable(name: str) -> None:
    once = canonical_name(name)
    assert canonical_name(once) == once


def test_other_names_are_only_cleaned() -> None:
    assert canonical_name(" Sun_Glasses-On ") == "sun glasses on"


def test_classes_are_matched_by_name_not_by_place() -> None:
    assert match_classes(
        ["surprise", "Anger", "contempt", "Happiness"], ["happy", "angry", "surprised"]
    ) == [2, 1, None, 0]


@given(st.permutations(sorted(EXPRESSION_ALIASES)), st.permutations(sorted(EXPRESSION_ALIASES)))
def test_matching_finds_the_same_class(names: list[str], to: list[str]) -> None:
    places = match_classes(names, to)
    assert [to[place] for place in places if place is not None] == names


def test_the_spelling_goes_before_the_synonym() -> None:
    model = ["happiness", "happy", "su", "surprise"]
    data = ["Surprise", "SU", "Happy", "happiness"]
    assert match_classes(data, model) == [3, 2, 1, 0]
    assert match_classes(["Happy", "happy"], ["happy", "Happy"]) == [1, 0]
    assert match_classes(["happy", "joy"], ["happiness"]) == [0, 0]


@pytest.mark.parametrize(
    ("name", "model", "collide"),
    [
        ("joy", ["happy", "sad", "happiness"], "'happy', 'happiness'"),
        ("surprised", ["su", "surprise"], "'su', 'surprise'"),
        ("HAPPY", ["happy", "Happy"], "'happy', 'Happy'"),
    ],
)
def test_what_may_be_several_classes_is_refused(name: str, model: list[str], collide: str) -> None:
    with pytest.raises(UsageError, match=f"class '{name}'.*{collide} of the model"):
        match_classes([name], model)


def test_no_classes() -> None:
    assert match_classes([], ["happy"]) == []
    assert match_classes(["happy"], []) == [None]
