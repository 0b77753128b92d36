"""What the tests of reports have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from hybridface.report.cells import Arm, settings
from hybridface.report.study import StudyResult, write_study_page

StudyBuilder = Callable[..., StudyResult]
RunBuilder = Callable[..., Path]


def arms_of(study: StudyResult) -> dict[str, Arm]:
    (setting,) = settings(study)
    return {arm.name: arm for arm in setting.arms}


def values(study: StudyResult, arm: str, key: str) -> np.ndarray:
    return np.array([row[key] for row in study.rows if row["arm"] == arm])


def changed(
    study: StudyResult, change: Callable[[dict[str, Any]], Mapping[str, Any] | None]
) -> list[Mapping[str, Any]]:
    rows = [change(dict(row)) for row in study.rows]
    return [row for row in rows if row is not None]


def pages(study: StudyResult, folder: Path) -> tuple[str, str]:
    write_study_page(study, folder / "study.md", folder / "study.html")
    return (folder / "study.md").read_text(), (folder / "study.html").read_text()


class Reader(HTMLParser):
    """Collects the text and every address of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = ("src", "href", "srcset", "data", "action")
        self.addresses += [value or "" for name, value in attributes if name in named]

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


def read(path: Path) -> Reader:
    """Read a page, and make sure that it is whole by itself."""
    page = path.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(page)
    assert "http://" not in page
    assert "https://" not in page
    assert not {"script", "link", "iframe", "object"} & set(reader.tags)
    assert all(address.startswith(("#", "data:image/png")) for address in reader.addresses)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    reader.text = " ".join(reader.text.split())
    return reader
