"""The demonstration from the command line, on settings that train in seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hybridface import demo
from hybridface.cli import main
from hybridface.config.content import merge
from tiny_runs import CONTENT, SIZE

DATA = "drawn:120?pixels=32"


@pytest.mark.usefixtures("drawn_cache")
def test_both_arms_are_trained_and_shown_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = {name: CONTENT[name] for name in ("backbone", "training")}
    tiny |= {"data": {"size": SIZE}, "training": {**tiny["training"], "epochs": 1}}
    monkeypatch.setattr(demo, "SHARED", merge(demo.SHARED, tiny))
    page = tmp_path / "report.html"

    def run(program: str, *options: str) -> tuple[int, list[str], str]:
        command = [program, "demo", DATA, "--out", str(tmp_path), "--quiet", *options]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return left.value.code or 0, said.out.splitlines(), said.err  # type: ignore[return-value]

    code, lines, _ = run(".venv/bin/hybridface", "--resume")
    assert code == 0
    assert lines[:2] == [
        f"[1/2] training supervised on {DATA}, 1 epochs",
        f"[2/2] training hybrid on {DATA}, 1 epochs",
    ]
    assert lines[-4:] == [
        "one seed, drawn faces: not evidence.",
        f"Report: {page}",
        "The same on your own faces, one folder a class:",
        "  .venv/bin/hybridface demo folder:/path/to/your/faces --out runs/my-demo",
    ]
    table = "".join(lines[2:-4])
    assert all(each in table for each in ("supervised", "hybrid", "test accuracy"))
    assert "hybridface demo folder:/path/to/your/faces" in page.read_text()

    code, lines, said = run("hybridface")
    assert (code, lines[1:]) == (2, []) and "already holds a run" in said
    code, again, _ = run("python/__main__.py", "--resume")
    assert "trained before" in again[0] and "trained before" in again[1]
    assert again[-1].startswith("  hybridface demo folder:")


@pytest.mark.usefixtures("hybridface_cache")
def test_a_folder_that_is_no_data_set_is_refused_before_anything_is_written(
    tmp_path: Path, write_picture: Callable[..., Path], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    write_picture(tmp_path / "faces" / "1.png")
    out = tmp_path / "out"
    monkeypatch.setattr(
        sys, "argv", ["hybridface", "demo", f"folder:{tmp_path / 'faces'}", "--out", str(out)]
    )
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    assert "not a data set of kind 'folder'" in capsys.readouterr().err
    assert not out.exists()
