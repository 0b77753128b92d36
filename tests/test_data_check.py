"""``hybridface data check`` as a user calls it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from hybridface.data.drawn_faces import draw_faces
from written_faces import write_faces

Ran = subprocess.CompletedProcess[str]
# The plain install: what the extra [train] brings cannot be imported.
WITHOUT_EXTRAS = """
import sys
for name in ("torch", "matplotlib", "jinja2", "scipy", "timm", "pytorch_lightning", "onnxruntime"):
    sys.modules[name] = None
from hybridface.cli import main
main()
"""


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 30 faces in class folders, one of them twice, and two broken files."""
    return write_faces(tmp_path_factory.mktemp("faces"), 30)


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Return faces to train and to test, one of which stands in both."""
    for number, pixels in enumerate(draw_faces(4, 12, 48).images):
        path = (
            tmp_path / "split" / ("test" if number % 3 == 0 else "train") / "sad" / f"{number}.png"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    shutil.copy(tmp_path / "split/test/sad/0.png", tmp_path / "split/train/sad/leak.png")
    return tmp_path / "split"


def run(*arguments: str | Path, cache: Path, code: str | None = None) -> Ran:
    start = ["-c", code] if code else ["-m", "hybridface"]
    return subprocess.run(
        [sys.executable, *start, "data", "check", *map(str, arguments)],
        capture_output=True, text=True, check=False,
        env=os.environ | {"HYBRIDFACE_CACHE": str(cache), "COLUMNS": "120"},
    )  # fmt: skip


def test_text_names_what_is_wrong_without_the_extra(faces: Path, tmp_path: Path) -> None:
    ran = run(f"folder:{faces}", cache=tmp_path, code=WITHOUT_EXTRAS)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "33 rows, 31 pictures" in ran.stdout
    assert "broken files: 2" in ran.stdout
    assert "broken.jpg: not a picture that can be read" in ran.stdout
    assert (
        "equal, labels differ: angry/001.jpg (angry), surprise/again.jpg (surprise)" in ran.stdout
    )
    assert "to be mended before a training" in ran.stdout
    assert "1 group of equal pictures whose labels differ" in ran.stdout


def test_json_is_all_there_is_on_stdout(faces: Path, split: Path, tmp_path: Path) -> None:
    ran = run(f"folder:{faces}", f"folder:{split}", "--json", cache=tmp_path, code=WITHOUT_EXTRAS)
    assert (ran.returncode, ran.stderr) == (0, "")
    result = json.loads(ran.stdout)
    assert set(result) == {
        "format", "data", "duplicates", "persons_across_splits", "findings",
    }  # fmt: skip
    assert result["format"] == 1
    counts = {
        "groups", "pictures", "within_splits", "across_splits", "across_sources",
        "with_different_labels", "largest", "first", "first_with_different_labels",
    }  # fmt: skip
    assert set(result["duplicates"]["exact"]) == counts
    assert set(result["duplicates"]["near"]) == counts | {"mirrored"}
    assert result["persons_across_splits"] is None
    for data in result["data"]:
        assert set(data) == {
            "source", "rows", "pictures", "sizes", "brightness", "contrast", "showing_nothing",
            "splits", "classes", "numbers", "persons", "persons_across_splits", "duplicates",
            "broken_files", "problems", "notes",
        }  # fmt: skip
    exact = [data["duplicates"]["exact"] for data in result["data"]]
    assert [each["within_splits"] for each in exact] == [1, 0]
    assert [each["across_splits"] for each in exact] == [0, 1]
    assert result["duplicates"]["exact"]["with_different_labels"] == 1
    assert result["data"][0]["broken_files"]["count"] == 2


def test_findings_fail_where_asked(split: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert run(f"folder:{split}", cache=cache).returncode == 0
    ran = run(f"folder:{split}", "--strict", cache=cache)
    assert ran.returncode == 1
    assert "1 group of equal pictures across splits" in ran.stdout
    assert "equal: train/sad/leak.png (train), test/sad/0.png (test)" in ran.stdout
    (split / "train/sad/leak.png").unlink()
    ran = run(f"folder:{split}", "--strict", cache=cache)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "nothing found to be mended" in ran.stdout


def test_persons_of_drawn_faces_are_known(tmp_path: Path) -> None:
    ran = run("drawn:60?pixels=48", "--strict", "--json", cache=tmp_path)
    assert ran.returncode == 0
    result = json.loads(ran.stdout)
    assert result["persons_across_splits"] == 0
    assert result["data"][0]["persons"] == 15
    assert result["data"][0]["numbers"]["pose"]["parts"]["yaw"]["known"] == 60


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "Missing argument"),
        (["foldr:x"], 2, "did you mean 'folder'"),
        (["folder:x?lable=y"], 2, "did you mean 'label'"),
        (["drawn:20", "drawn:20"], 2, "drawn:20 is named twice"),
        (["folder:/nowhere"], 1, "expected:"),
    ],
)
def test_wrong_use_is_told_apart(
    arguments: list[str], code: int, said: str, tmp_path: Path
) -> None:
    ran = run(*arguments, cache=tmp_path)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_page_without_the_extra_is_refused_before_the_work(faces: Path, tmp_path: Path) -> None:
    ran = run(f"folder:{faces}", "--out", tmp_path / "page.html", cache=tmp_path / "cache",
              code=WITHOUT_EXTRAS)  # fmt: skip
    assert ran.returncode == 2
    assert 'pip install "hybridface[train]"' in ran.stderr
    assert not (tmp_path / "cache").exists()
