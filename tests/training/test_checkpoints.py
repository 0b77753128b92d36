"""A checkpoint that cannot be gone on from is refused, says why, and its run is left as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import hybridface
from hostile import WRITERS, Bomb
from hybridface import train
from hybridface.errors import DataError, HybridFaceError, UsageError
from hybridface.training.checkpoints import FORMAT, STATE, read_checkpoint
from tiny_runs import content_of, copy_run, same_weights

pytestmark = pytest.mark.usefixtures("drawn_cache")

Write = Callable[..., Path]


def refused(run: Path, place: Path, change: Callable[[Path], Any]) -> HybridFaceError:
    """Change the checkpoint of a copy, and return the error of going on with it."""
    recipe = copy_run(run, place)
    change(place / "checkpoint.ckpt")
    before = content_of(place)
    with pytest.raises(HybridFaceError) as caught:
        train(recipe, resume=True)
    assert content_of(place) == before
    assert str(place) in str(caught.value)
    return caught.value


def with_state(**changes: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        content = torch.load(path, weights_only=True)
        content[STATE] |= changes
        torch.save(content, path)

    return change


@pytest.mark.parametrize("number", [FORMAT + 1, 0, -1, "two", None])
def test_another_format_is_refused(number: object, broken_run: Path, tmp_path: Path) -> None:
    error = refused(broken_run, tmp_path / "run", with_state(format=number, version="9.1"))
    assert isinstance(error, DataError)
    assert f"checkpoint of format {number}, written by hybridface 9.1" in str(error)
    assert f"hybridface {hybridface.__version__}, which reads the formats 1 and 2" in str(error)
    assert "Go on with the version that wrote it" in str(error)


@pytest.mark.usefixtures("quick_end")
def test_a_checkpoint_from_before_there_were_formats_is_gone_on_from(
    broken_run: Path, tmp_path: Path
) -> None:
    new = copy_run(broken_run, tmp_path / "new")
    old = copy_run(broken_run, tmp_path / "old")
    content = torch.load(old.run / "checkpoint.ckpt", weights_only=True)
    del content[STATE]
    torch.save(content, old.run / "checkpoint.ckpt")
    for recipe in (new, old):
        train(recipe, resume=True)
    assert same_weights(new.run / "last.safetensors", old.run / "last.safetensors")


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.999])
def test_a_cut_checkpoint_is_refused(part: float, broken_run: Path, tmp_path: Path) -> None:
    def cut(path: Path) -> None:
        whole = path.read_bytes()
        path.write_bytes(whole[: int(part * len(whole))])

    error = refused(broken_run, tmp_path / "run", cut)
    assert "not a whole checkpoint of hybridface (" in str(error)
    assert "remove it to train this run from its start" in str(error)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_hostile_checkpoint_is_refused_and_never_run(
    kind: str, broken_run: Path, tmp_path: Path
) -> None:
    bomb = Bomb(tmp_path / "gone-off")
    error = refused(broken_run, tmp_path / "run", lambda path: WRITERS[kind](path, bomb))
    assert "checkpoint of hybridface (" in str(error)
    assert not bomb.mark.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"data": "x"},
        {"data": [1]},
        {"data": {"a": 5}},
        {"data": None},
        {"place": None},
        {"place": (1, "2")},
        {"figures": {"loss": 1.0}},
        {"batches": None},
    ],
)
def test_a_checkpoint_of_odd_content_is_refused(
    changes: dict[str, Any], broken_run: Path, tmp_path: Path
) -> None:
    error = refused(broken_run, tmp_path / "run", with_state(**changes))
    assert "not a whole checkpoint of hybridface (its state)" in str(error)


def test_other_tensors_are_no_checkpoint(tmp_path: Path) -> None:
    for content in ({"weight": torch.zeros(2)}, [1, 2], torch.zeros(3)):
        torch.save(content, tmp_path / "a.ckpt")
        with pytest.raises(DataError, match="not a checkpoint of hybridface"):
            read_checkpoint(tmp_path / "a.ckpt")


def test_a_run_whose_data_was_changed_is_refused(
    broken_run: Path, tmp_path: Path, write_picture: Write
) -> None:
    source = broken_run.parent / "faces"
    picture = source / "happy" / "0.png"
    whole = picture.read_bytes()
    try:
        write_picture(picture, 77, 32)
        error = refused(broken_run, tmp_path / "run", lambda _: None)
    finally:
        picture.write_bytes(whole)
    assert isinstance(error, UsageError)
    said = f"no longer as this run saw it: the pictures of folder:{source} (as many, others). Put"
    assert said in str(error)


def test_a_new_label_is_told_from_a_new_picture(
    broken_run: Path, tmp_path: Path, write_picture: Write
) -> None:
    source = broken_run.parent / "faces"
    (source / "happy" / "0.png").rename(source / "sad" / "0.png")
    try:
        error = refused(broken_run, tmp_path / "run", lambda _: None)
    finally:
        (source / "sad" / "0.png").rename(source / "happy" / "0.png")
    assert "the labels 'expression' (as many, others)" in str(error)


def test_a_run_of_another_recipe_is_refused(broken_run: Path, tmp_path: Path) -> None:
    recipe = copy_run(broken_run, tmp_path / "run")
    before = content_of(recipe.run)
    training = recipe.training.model_copy(update={"epochs": 9, "ema": None})
    with pytest.raises(UsageError, match=r"epochs \(2 there, 9 now\), training\.ema \(0\.99 there"):
        train(recipe.model_copy(update={"training": training}), resume=True)
    assert content_of(recipe.run) == before
