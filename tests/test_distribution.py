"""What is built for others to install: the wheel and the source archive, and the command."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import hybridface

ROOT = Path(__file__).parent.parent
LARGEST = 20 * 1024 * 1024
NAME = f"hybridface-{hybridface.__version__}"


def test_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl") as wheel:
        sizes = {entry.filename: entry.file_size for entry in wheel.infolist()}
    package = ROOT / "src"
    ours = {
        path.relative_to(package).as_posix()
        for path in (package / "hybridface").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {name for name in sizes if ".dist-info/" not in name} == ours
    assert {"hybridface/py.typed", "hybridface/report/templates/page.html.j2"} <= ours
    assert f"{NAME}.dist-info/licenses/LICENSE" in sizes
    detection = "src/hybridface/inference/detection"
    assert f"{NAME}.dist-info/licenses/{detection}/LICENSE.centerface" in sizes
    assert "hybridface/inference/detection/centerface.onnx" in sizes
    assert max(sizes.values()) < LARGEST


def test_metadata_says_what_is_needed_and_under_which_terms(built: Path) -> None:
    with zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl") as wheel:
        metadata = email.message_from_bytes(wheel.read(f"{NAME}.dist-info/METADATA"))
        entry_points = wheel.read(f"{NAME}.dist-info/entry_points.txt").decode()
    assert metadata["Name"] == "hybridface"
    assert metadata["Version"] == hybridface.__version__
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "hybridface = hybridface.__main__:main" in entry_points
    needed = [line for line in metadata.get_all("Requires-Dist") or [] if "extra ==" not in line]
    plain = {re.split(r"[^\w-]", line)[0] for line in needed}
    assert plain == {
        "numpy", "onnxruntime", "opencv-python-headless", "pillow", "pydantic", "pyyaml", "rich",
        "typer",
    }  # fmt: skip
    assert {"train", "docs", "dev"} <= set(metadata.get_all("Provides-Extra") or [])


def test_source_archive_holds_what_the_tests_need(built: Path) -> None:
    with tarfile.open(built / f"{NAME}.tar.gz") as archive:
        sizes = {entry.name.removeprefix(f"{NAME}/"): entry.size for entry in archive}
    for name in (
        "src/hybridface/py.typed", "tests/conftest.py", "configs/drawn.yaml", "docs/tutorial.md",
        "tools/reference.py", "mkdocs.yml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md",
        "CITATION.cff", "LICENSE", "Makefile", "pyproject.toml", "PKG-INFO",
    ):  # fmt: skip
        assert name in sizes
    assert not [name for name in sizes if re.match(r"(site|runs|dist|build|\.venv)/", name)]
    assert max(sizes.values()) < LARGEST


def test_the_page_of_versions_has_every_library_with_its_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    page = (ROOT / "docs" / "versions.md").read_text()
    rows: dict[str, set[str]] = {}
    for names, bounds in re.findall(
        r"^\| ([\w, -]+?)(?:, `\[\w+\]`)? \| ([\d., ]+) \|", page, re.MULTILINE
    ):
        for name, bound in zip(names.split(", "), bounds.split(", "), strict=True):
            rows.setdefault(name, set()).add(bound)
    used: dict[str, set[str]] = {}
    for name, of in {**extras, "": project["dependencies"]}.items():
        for library, bound in (each.split(">=") for each in of if name not in ("dev", "docs")):
            used.setdefault(library, set()).add(bound)
    for library, bounds in used.items():
        assert re.search(rf"\b{library}\b", page), library
        assert rows.get(library, bounds) == bounds, library
    assert len(rows.keys() & used.keys()) > 20


def test_citation_is_of_this_version() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == hybridface.__version__


def run(*command: str, **environment: str) -> str:
    """Run a command of this environment and return what it prints."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_version_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['hybridface', '--version']\n"
        "from hybridface.cli import main\n"
        "try: main()\n"
        "finally: print(*[n for n in ('torch', 'numpy', 'onnxruntime') if n in sys.modules])"
    )
    assert run(sys.executable, "-c", code) == f"hybridface {hybridface.__version__}\n\n"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("hybridface ev", "evaluate"), ("hybridface predict --mo", "--model")],
)
def test_shell_completion_offers_commands_and_options(typed: str, offered: str) -> None:
    code = "import sys; sys.argv = ['hybridface']; from hybridface.cli import main; main()"
    environment = {
        "_HYBRIDFACE_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    assert run(sys.executable, "-c", code, **environment).split() == [offered]


def test_shell_completion_can_be_shown() -> None:
    code = "import sys; sys.argv[0] = 'hybridface'; from hybridface.cli import main; main()"
    shown = run(
        sys.executable, "-c", code, "--show-completion", "bash",
        _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1",
    )  # fmt: skip
    assert "_HYBRIDFACE_COMPLETE=complete_bash" in shown
