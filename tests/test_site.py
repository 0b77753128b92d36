"""The pages of the site: the reference is whole, and the tutorial runs as it stands."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

import hybridface
from hybridface.cli import main
from hybridface.config import TrainingConfig, load_recipe
from hybridface.data.drawn_faces import EXPRESSIONS, draw_faces
from hybridface.data.sources import source_kinds
from hybridface.tasks import build_tasks, task_types

ROOT = Path(__file__).parent.parent
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
BLOCK = r"<!-- {} -->\n```\w*\n(.*?)```"
# What the tutorial asks of a real machine is made small; its commands are otherwise as they stand.
TINY = (
    "backbone.name=test_efficientnet",
    "data.size=32",
    "training.epochs=1",
    "training.threads=1",
    "training.device=cpu",
)


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import reference

    return reference


def rows_of(page: str, heading: str) -> dict[str, str]:
    """Return the rows of the table below a heading by what their first cell holds."""
    section = page.split(f"{heading}\n", 1)[1].split("\n#", 1)[0]
    return dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", section, re.MULTILINE))


def test_configuration_page_says_type_default_bounds_and_meaning(reference) -> None:
    page = reference.configuration_page()
    training = rows_of(page, "### TrainingConfig { #trainingconfig }")
    assert list(training) == list(TrainingConfig.model_fields)
    assert training["epochs"] == (
        "whole number, at least 1 | `60` | Passes over the labelled training rows."
    )
    assert training["clip"].startswith("number or null, above 0 | `5.0` | ")
    for name, kind in task_types().items():
        shown = rows_of(page, f"### {name} {{ #task-{name} }}")
        assert list(shown) == list(kind.Config.model_fields)
    for name, source in source_kinds().items():
        shown = rows_of(page, f"### {name} {{ #data-{name} }}")
        assert list(shown) == list(source.Options.model_fields)
    assert "anything or null" not in page
    assert not re.search(r"`[A-Z]+_[A-Z]+`", page)  # a name in the code says nothing to a reader
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= set(re.findall(r"\{ #(\S+) \}", page))
    unexplained = re.findall(r"^\| `(\w+)` \|.*\|  \|$", page, re.MULTILINE)
    assert set(unexplained) <= {"data", "backbone", "augment", "training"}  # these have sections


def test_commands_page_names_every_option(
    reference, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = reference.commands_page()
    named = re.findall(r"^## hybridface (.*)$", page, re.MULTILINE)
    assert {"train", "evaluate", "predict", "study", "data list"} <= set(named)
    for words in named:
        monkeypatch.setattr(sys, "argv", ["hybridface", *words.split(), "--help"])
        with pytest.raises(SystemExit):
            main()
        shown = set(re.findall(r"^  (--[a-z-]+)", capsys.readouterr().out, re.MULTILINE))
        section = page.split(f"## hybridface {words}\n", 1)[1].split("\n## ", 1)[0]
        assert set(re.findall(r"`(--[a-z-]+)`", section)) == shown - {"--help"}
    assert "| `--port` | whole number, at least 0, at most 65535 | `8000` |" in page


def test_python_page_has_every_name_of_the_package() -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text()
    named = set(re.findall(r"^::: (hybridface\.\S+)$", page, re.MULTILINE))
    for place in named:
        module, name = place.rsplit(".", 1)
        assert getattr(importlib.import_module(module), name).__doc__, place
    elsewhere = {"hybridface.config.Recipe"}  # has a page of its own
    assert {f"{place}.{name}" for name, place in hybridface._PLACES.items()} <= named | elsewhere


def test_recipes_page_names_every_recipe_and_right_changes() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text()
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*.yaml")}
    assert set(re.findall(r"^\| `(configs/\S+)`", page, re.MULTILINE)) == files
    changes = page.split("## Common changes", 1)[1].split("\n## ", 1)[0]
    for overrides in re.findall(r"\| `(\S+=[^`]*)` \|$", changes, re.MULTILINE):
        recipe = load_recipe(ROOT / "configs" / "folder.yaml", overrides.split())
        assert build_tasks(recipe.tasks)


def write_faces(folder: Path, count: int, seed: int, *, labelled: bool = True) -> None:
    drawn = draw_faces(seed, count, 48)
    for number, (pixels, expression) in enumerate(zip(drawn.images, drawn.expression, strict=True)):
        place = folder / EXPRESSIONS[expression] if labelled else folder
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number:04d}.png")


def test_tutorial_runs_from_300_pictures_to_answers(
    tmp_path: Path,
    hybridface_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from hybridface.study import load_study
    from hybridface.study.cells import StudyCells

    monkeypatch.chdir(tmp_path)
    write_faces(Path("faces"), 300, seed=0)
    write_faces(Path("more-faces"), 40, seed=1)
    write_faces(Path("new-faces"), 3, seed=2, labelled=False)
    for name, text in re.findall(BLOCK.format(r"file: (\S+)"), TUTORIAL, re.DOTALL):
        Path(name).write_text(text, encoding="utf-8")
    said = []
    for block in re.findall(BLOCK.format("run: tutorial"), TUTORIAL, re.DOTALL):
        for line in block.splitlines():
            command = shlex.split(line)
            if command[0] == "cp":
                shutil.copy(*command[1:])
                continue
            tiny = TINY if command[1] == "train" else ()
            monkeypatch.setattr(sys, "argv", [*command, *tiny])
            with pytest.raises(SystemExit) as left:
                main()
            said.append(capsys.readouterr().out)
            assert not left.value.code, line
    cells = StudyCells(load_study(Path("faces-study.yaml")))
    assert len({cells.arm(arm, seed).key for arm in cells.config.arms for seed in range(5)}) == 10
    assert "60 pictures" in said[1]
    assert len(said[-2].splitlines()) == 4
    assert len(said[-1].splitlines()) == 4
    example = re.search(BLOCK.format("python: tutorial"), TUTORIAL, re.DOTALL)
    assert example
    exec(compile(example[1], "tutorial.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 3
