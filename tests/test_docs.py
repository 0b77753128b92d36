"""What the documents show is run, and no picture from a data set is in the repository."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
ALLOWED_PICTURES = re.compile(r"^(drawn-[a-z0-9-]+|astronaut)\.png$")


def block_after(text: str, mark: str) -> str:
    """Return the fenced block that follows an HTML comment."""
    found = re.search(rf"<!-- {re.escape(mark)} -->\n```\w*\n(.*?)```", text, re.DOTALL)
    assert found, f"no block marked '{mark}'"
    return found[1]


def run_commands(block: str, folder: Path) -> list[str]:
    """Run the ``hybridface`` commands of a block in a folder; returns what each printed."""
    printed = []
    for line in block.splitlines():
        command = shlex.split(line, comments=True)
        assert command[0].endswith("hybridface")
        # As the installed script does, which does not put the working folder on Python's path.
        start = "import sys; sys.path.remove(''); from hybridface.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", start, *command[1:]],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        printed.append(done.stdout)
    return printed


def test_quickstart_commands_run_as_they_stand(
    tmp_path: Path, hybridface_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("configs", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    run_commands(block_after(README, "run: quickstart"), tmp_path)


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_no_command_trains_where_one_before_it_has(page: str) -> None:
    text = (ROOT / page).read_text()
    commands = re.findall(r"^ *\S*hybridface (?:train|demo) .*$", text, re.MULTILINE)
    places = [place for line in commands for place in re.findall(r"(?:run=|--out )(\S+)", line)]
    assert len(places) == len(commands) == len(set(places)) > 2, places


def test_python_example_runs(
    tmp_path: Path, hybridface_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = block_after(README, "run: python")
    assert len(example.strip().splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    exec(compile(example, "README.md", "exec"), {})


def test_commands_named_in_the_readme_exist() -> None:
    from typer.main import get_command

    from hybridface.cli import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    named = set(re.findall(r"^(?:\.venv/bin/)?hybridface (\w+)", README, re.MULTILINE))
    assert named
    assert named <= known


def test_added_task_of_the_guide_trains(
    tmp_path: Path, hybridface_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hybridface.tasks as tasks
    from hybridface import build_recipe, train

    (tmp_path / "rooms").mkdir()
    code = block_after(CONTRIBUTING, "example: tasks/upside_down.py")
    (tmp_path / "rooms" / "upside_down.py").write_text(code)
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path / "rooms")])
    tasks.task_types.cache_clear()
    try:
        recipe = build_recipe(
            {
                "run": str(tmp_path / "run"),
                "data": {"source": "drawn:120", "size": 32},
                "backbone": {"name": "mobilenetv3_small_050"},
                "tasks": {"expression": {}, "upside_down": {"weight": 0.1}},
                "training": {"epochs": 1, "batch_size": 16, "device": "cpu"},
            }
        )
        result = train(recipe).result
    finally:
        sys.modules.pop("hybridface.tasks.upside_down", None)
        tasks.task_types.cache_clear()
    assert result["test"]["count"] > 0
    assert "upside_down/accuracy" in (tmp_path / "run" / "metrics.jsonl").read_text()


def test_added_source_of_the_guide_reads(
    tmp_path: Path, hybridface_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    from hybridface.data import sources
    from hybridface.errors import DataError

    (tmp_path / "rooms").mkdir()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "empty").mkdir()
    code = block_after(CONTRIBUTING, "example: data/sources/named.py")
    (tmp_path / "rooms" / "named.py").write_text(code)
    for name in ("sad_1.png", "happy_1.png", "happy_2.png"):
        Image.new("RGB", (20, 20)).save(tmp_path / "pictures" / name)
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path / "rooms")])
    sources.source_kinds.cache_clear()
    try:
        rows = sources.open_source(f"named:{tmp_path / 'pictures'}").read()
        with pytest.raises(DataError, match="expected"):
            sources.open_source(f"named:{tmp_path / 'empty'}").read()
    finally:
        sys.modules.pop("hybridface.data.sources.named", None)
        sources.source_kinds.cache_clear()
        importlib.invalidate_caches()
    assert rows.labels["expression"].names == ("happy", "sad")
    assert rows.labels["expression"].ids.tolist() == [0, 0, 1]


def test_task_and_source_of_a_module_of_ones_own(tmp_path: Path, hybridface_cache: Path) -> None:
    from PIL import Image

    from hybridface.training.runs import load_model

    for name in ("mine", "pictures"):
        (tmp_path / name).mkdir()
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    for name in ("tasks/upside_down.py", "data/sources/named.py"):
        code = block_after(CONTRIBUTING, f"example: {name}")
        (tmp_path / "mine" / Path(name).name).write_text(code)
    for name in ("sad_1.png", "happy_1.png", "happy_2.png"):
        Image.new("RGB", (20, 20)).save(tmp_path / "pictures" / name)
    printed = run_commands(block_after(CONTRIBUTING, "run: plug-ins"), tmp_path)
    assert "3 pictures" in printed[1]
    run = tmp_path / "runs" / "upright"
    assert "upright/accuracy" in (run / "metrics.jsonl").read_text()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setattr(sys, "path", list(sys.path))
        _, tasks = load_model(run)
    assert [task.name for task in tasks] == ["expression", "upright"]
    assert type(tasks[1]).__name__ == "UpsideDown"


def test_recipes_are_short_and_whole() -> None:
    from hybridface.config import load_recipe
    from hybridface.study import load_study
    from hybridface.tasks import build_tasks

    recipes = sorted((ROOT / "configs").glob("*.yaml"))
    assert recipes
    for path in recipes:
        assert len(path.read_text().splitlines()) <= 40, path
        build_tasks(load_recipe(path).tasks)
    for path in sorted((ROOT / "configs" / "studies").glob("*.yaml")):
        load_study(path)


def tracked_files() -> list[Path]:
    """Return what git tracks, or every file where there is no git."""
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    names = done.stdout.splitlines() if done.returncode == 0 else []
    return [Path(name) for name in names] or [p.relative_to(ROOT) for p in ROOT.rglob("docs/**/*")]


def test_only_drawn_faces_and_the_astronaut_are_pictures() -> None:
    suffixes = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif"}
    for path in tracked_files():
        if path.suffix.lower() in suffixes:
            assert path.parts[0] == "docs", path
            assert ALLOWED_PICTURES.match(path.name), path
        if path.parts[0] == "docs" and path.suffix in {".html", ".md", ".svg", ".json"}:
            text = (ROOT / path).read_text()
            assert not re.search(r"data:image/(png|jpe?g|webp|gif)", text), path
            assert not re.search(r"(train|test)_\d{5}(_aligned)?\.jpg|fer\d{7}\.png", text), path


def test_the_limits_quote_the_card_of_the_model_that_ships() -> None:
    page = " ".join((ROOT / "docs" / "responsible.md").read_text().split())
    card = (ROOT / "src" / "hybridface" / "models" / "README.md").read_text()
    by_group = card.split("### gender by ethnicity", 1)[1].split("\n### ", 1)[0]
    quoted = re.findall(r"(Asian|white)[^(]*\((0\.\d+)\)", page)
    assert len(quoted) == 2
    for group, accuracy in quoted:
        assert re.search(rf"^\| {group.lower()} \| \d+ \| {accuracy} ", by_group, re.MULTILINE)
    assert "a quarter of the children under 10" in page and "| 0 to 9 | 64 | 0.750 " in card


def test_figures_of_the_claims_stand_on_the_pages_that_they_name() -> None:
    checked = 0
    for line in (ROOT / "docs" / "claims.md").read_text().splitlines():
        if not line.startswith("| ") or not (pages := re.findall(r"\((results/[^)]+\.md)\)", line)):
            continue
        text = "".join((ROOT / "docs" / page).read_text() for page in pages)
        for figure in re.findall(r"(?<![\w.])[+-]?\d\.\d{2,3}(?![\w.])", line):
            if figure != "0.09":  # rounded
                assert figure in text, f"{figure} of claims.md is on none of {pages}"
                checked += 1
    assert checked > 20
