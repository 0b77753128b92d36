"""Several runs on one page: every arm, their data once where it is the same."""

from __future__ import annotations

import json
from pathlib import Path

from hybridface.report.comparison import write_comparison_report

from .helpers import RunBuilder, read


def test_comparison_shows_every_arm(build_run: RunBuilder, tmp_path: Path) -> None:
    runs = {"supervised": build_run("plain", 0.61), "hybrid": build_run("puzzle_own", 0.66)}
    out = tmp_path / "demo.html"
    notice = "One seed, drawn faces: not evidence."
    command = "hybridface demo --data faces/"
    assert write_comparison_report(runs, out, "Demo", notice, command) == out
    page = read(out)
    for shown in (
        notice,
        command,
        "supervised 62.00 (55.50 to 68.10) 61.00 (54.50 to 67.10) 59.77 40 1,080 5.0 min 4,016,515",
        "hybrid 67.00 (60.50 to 73.10) 66.00 (59.50 to 72.10) 64.77 40 1,080 5.0 min 4,016,515",
        "supervised on the test set",
        "hybrid on the test set",
        "hybrid: puzzle",
        "supervised: Recipe (config.yaml)",
        "This page holds pictures of the data set (drawn:4000). It must not be published",
    ):
        assert shown in page.text, shown
    assert page.text.count("Source: drawn:4000") == 1  # the same data is shown once


def test_comparison_shows_unlike_data_apart(build_run: RunBuilder, tmp_path: Path) -> None:
    runs = {"one": build_run("one"), "two": build_run("two")}
    data = json.loads((runs["two"] / "data.json").read_text())
    (runs["two"] / "data.json").write_text(json.dumps({**data, "source": "folder:faces"}))
    (runs["one"] / "result.json").unlink()
    page = read(write_comparison_report(runs, tmp_path / "page.html", "t", "", "c"))
    assert "The data of one" in page.text
    assert "folder:faces" in page.text
    assert "one (not finished)" in page.text
