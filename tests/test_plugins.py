from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridface.data.cache import open_cache
from hybridface.data.sources import open_source, split_spec
from hybridface.errors import DataError, UsageError
from hybridface.tasks import build_tasks
from study.helpers import study_content
from tiny_runs import write_recipe

Write = Callable[..., Path]
SOURCE = """
from hybridface.data.source import Source, SourceOptions
from hybridface.data.sources.folder import Folder

class Options(SourceOptions):
    least: int = 0

class Faces(Folder):
    layout = "PATH/CLASS/*.png, mine"

class Chosen(Faces):
    Options = Options

class Half(Source):
    layout = "half"

class Wrong(Faces):
    Options = dict

class Unsaid(Source):
    def read(self):
        raise NotImplementedError

number = 3
"""
TASK = """
from hybridface.tasks.puzzle import Puzzle
from hybridface.tasks.base import Task, TaskConfig

class Deal(Puzzle):
    pass

class Half(Task):
    pass

class Wrong(Puzzle):
    Config = dict

def function():
    pass
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, with modules in a folder ``own`` that is no package."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own").mkdir()
    for name, code in {
        "faces": SOURCE,
        "deals": TASK,
        "raises": "raise OSError('no such device')",
        "leaves": "raise SystemExit(3)",
        "lacks": "import hybridface\nimport a_library_that_is_not_there\n",
        "garbled": "def (:\n",
    }.items():
        (tmp_path / "own" / f"{name}.py").write_text(code)
    (tmp_path / "single.py").write_text(TASK)
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] in ("own", "single")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "kind", "path", "query"),
    [
        ("folder:/a/b?label=mood", "folder", "/a/b", "label=mood"),
        ("folder:a.b:C:/d", "folder", "a.b:C:/d", ""),
        ("own.faces:Faces:/a:b?least=1", "own.faces:Faces", "/a:b", "least=1"),
        ("own.faces:Faces", "own.faces:Faces", "", ""),
        ("own:Faces:/a", "own", "Faces:/a", ""),
        ("/a.b/c", "/a.b/c", "", ""),
    ],
)
def test_a_dot_before_the_first_colon_says_that_a_class_is_named(
    text: str, kind: str, path: str, query: str
) -> None:
    spec = split_spec(text)
    assert (spec.kind, spec.path, spec.query) == (kind, path, query)
    assert spec.is_class == (text.startswith("own.faces"))


def test_a_source_is_as_one_of_the_package(
    mine: Path, write_picture: Write, hybridface_cache: Path
) -> None:
    for seed, name in enumerate(("happy/1.png", "sad/1.png")):
        write_picture(mine / "data" / name, seed)
    source = open_source("own.faces:Faces:data?label=mood")
    rows = source.read()
    assert source.kind == "own.faces:Faces"
    assert rows.labels["mood"].names == ("happy", "sad")
    cached = open_cache(source, rows, 16)
    assert cached.decoded.all()
    builtin = open_source("folder:data?label=mood")
    assert builtin.kind == "folder"
    assert open_cache(builtin, rows, 16).folder != cached.folder
    with pytest.raises(DataError, match=r"own\.faces:Faces:nowhere: this is not a data set"):
        open_source("own.faces:Faces:nowhere").read()


WRONG_SOURCES = {
    "own.faces:": "the class is missing: write pkg.module:Class:PATH",
    "own.faces:/some/path": "names no class: write pkg.module:Class",
    "own.fases:Faces:x": "there is no module 'own.fases', looked for in",
    "owm.faces:Faces:x": "there is no module 'owm'",
    "own.faces:Fases:x": "did you mean 'Faces'? known are: Chosen, Faces, Folder, Unsaid, Wrong",
    "own.faces:number:x": "own.faces:number is no class but of type int; expected a subclass of",
    "own.faces:Options:x": "is not a subclass of hybridface.data.source.Source",
    "own.faces:Source:x": "is not a subclass of hybridface.data.source.Source",
    "own.faces:Half:x": "does not define read",
    "own.faces:Unsaid:x": "needs an attribute 'layout', a str; found none",
    "own.faces:Wrong:x": "needs an attribute 'Options', a SourceOptions; found <class 'dict'>",
    "own.faces:Chosen:x?leest=1": "unknown option of data kind 'own.faces:Chosen' 'leest': did you",
    "own.faces:Chosen:x?least=many": "option 'least': Input should be a valid integer",
    "own.raises:Faces:x": "importing 'own.raises' failed: OSError: no such device in",
    "own.leaves:Faces:x": "importing 'own.leaves' failed: SystemExit: 3 in",
    "own.lacks:Faces:x": "ModuleNotFoundError: No module named 'a_library_that_is_not_there' in",
    "own.garbled:Faces:x": "SyntaxError",
}


@pytest.mark.parametrize("spec", WRONG_SOURCES)
def test_wrong_sources_are_explained(spec: str, mine: Path) -> None:
    with pytest.raises(UsageError) as raised:
        open_source(spec)
    assert WRONG_SOURCES[spec] in str(raised.value)
    if spec.startswith(("own.raises", "own.lacks", "own.garbled")):
        module = spec.partition(":")[0].partition(".")[2]
        line = 2 if module == "lacks" else 1
        assert f" in {mine / 'own' / module}.py:{line}; mend" in str(raised.value)


def test_a_task_is_as_one_of_the_package(mine: Path) -> None:
    options = {"expression": {}, "mine": {"type": "own.deals:Deal", "grid": 4}}
    _, task = build_tasks(options)
    assert (task.name, type(task).__name__, task.config.grid) == ("mine", "Deal", 4)
    assert task.config.model_dump()["type"] == "own.deals:Deal"
    (alone,) = build_tasks({"mine": {"type": "single:Deal"}})
    assert type(alone).__name__ == "Deal"


WRONG_TASKS = {
    "own.deals": "'own.deals' names no class: write pkg.module:Class",
    "own.deals:": "names no class",
    "own/deals.py:Deal": "names no class",
    "own.deal:Deal": "there is no module 'own.deal'",
    "own.deals:Deel": "did you mean 'Deal'? known are: Deal, Puzzle, Wrong",
    "own.deals:function": "is no class but of type function; expected a subclass of",
    "own.deals:TaskConfig": "is not a subclass of hybridface.tasks.base.Task",
    "own.deals:Half": "does not define build_head, loss, make_view",
    "own.deals:Wrong": "needs an attribute 'Config', a TaskConfig; found <class 'dict'>",
    "own.raises:Deal": "importing 'own.raises' failed: OSError: no such device",
}


@pytest.mark.parametrize("kind", WRONG_TASKS)
def test_wrong_tasks_are_explained(kind: str, mine: Path) -> None:
    with pytest.raises(UsageError, match=r"tasks\.mine\.type") as raised:
        build_tasks({"mine": {"type": kind}})
    assert WRONG_TASKS[kind] in str(raised.value)


def test_options_of_a_task_are_checked(mine: Path) -> None:
    with pytest.raises(UsageError, match=r"key in tasks\.mine 'gird': did you mean 'grid'"):
        build_tasks({"mine": {"type": "own.deals:Deal", "gird": 3}})


@pytest.mark.parametrize(
    "override",
    ["tasks.mine.type=own.raises:Deal", "tasks.mine.type=own.deal:Deal", "data.source=own.a:B:c"],
)
def test_the_command_line_exits_with_2(override: str, mine: Path) -> None:
    recipe = write_recipe(mine / "tiny.yaml")
    ran = subprocess.run(
        [sys.executable, "-m", "hybridface", "train", recipe, override, "--quiet"],
        capture_output=True, text=True, check=False, env=os.environ,
    )  # fmt: skip
    assert ran.returncode == 2
    assert ran.stderr.startswith("hybridface: ")
    assert "Traceback" not in ran.stderr
    assert not (mine / "tiny").exists() or not list((mine / "tiny").glob("[!.]*"))


def test_a_study_knows_them_by_name(mine: Path) -> None:
    from hybridface.study import StudyConfig
    from hybridface.study.cells import StudyCells

    def key(source: str = "own.faces:Faces:/a/data?label=mood", **task: Any) -> str:
        tasks = {"mine": {"type": "own.deals:Deal"} | task}
        recipe = {"data": {"source": source}, "tasks": tasks}
        content = study_content(mine / "results.json", recipe=recipe)
        content |= {"tuning": {}, "arms": {"a": {"method": "a"}}}
        return StudyCells(StudyConfig.model_validate(content)).arm("a", 0).key

    same = key()
    assert key(weight=1.0) == same
    assert key("own.faces:Faces:/elsewhere/data?label=mood") == same
    assert key("own.faces:Chosen:/a/data?label=mood") != same
    assert key("own.faces:Faces:/a/data") != same
    assert key("folder:/a/data?label=mood") != same
    assert key(type="own.deals:Puzzle") != same


def test_evaluation_runs_no_module_that_only_a_run_names(mine: Path) -> None:
    from hybridface.evaluation.overlap import overlap_notes

    (mine / "config.yaml").write_text("data: {source: 'own.raises:Faces:x'}\n")
    source = open_source("drawn:40")
    rows = source.read()
    notes = overlap_notes(mine / "model.onnx", source, rows, np.arange(len(rows)))
    assert "own.raises" not in sys.modules
    assert len(notes) == 1
