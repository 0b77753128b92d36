"""What a report is made of, and its rendering to one HTML file or to Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import jinja2

Cells = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Table:
    """A table of ready-written cells.

    Attributes:
        caption: What it shows, with units.
        heads: Column heads.
        rows: Cells, row by row.
        text_columns: How many columns on the left are text; the others are aligned as numbers.
        strong: Indices of rows to stress.
        folded: Whether HTML shows it only when opened.
        verdicts: Whether ``higher``, ``lower`` and ``not told apart`` are marked in its cells, and
            ``lower error`` and ``higher error``, of which the first is the better one.
    """

    caption: str
    heads: Sequence[str]
    rows: Cells
    text_columns: int = 1
    strong: frozenset[int] = frozenset()
    folded: bool = False
    verdicts: bool = False
    kind: str = field(default="table", init=False)


@dataclass(frozen=True)
class Figure:
    """An inline SVG from :mod:`hybridface.report.figures`, with its caption."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Figures side by side where there is room. Left out of Markdown."""

    figures: Sequence[Figure]
    kind: str = field(default="gallery", init=False)


@dataclass(frozen=True)
class Picture:
    """A picture as a ``data:`` address, with its alternative text."""

    address: str
    alt: str


@dataclass(frozen=True)
class Contact:
    """Rows of small pictures under column heads. Left out of Markdown."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Picture]]
    kind: str = field(default="contact", init=False)


@dataclass(frozen=True)
class Captioned:
    """A picture with the lines under it; without a picture, the first line stands in its place."""

    picture: Picture | None
    lines: Sequence[str]


@dataclass(frozen=True)
class Album:
    """Pictures side by side, each with what is known of it. Left out of Markdown."""

    caption: str
    entries: Sequence[Captioned]
    kind: str = field(default="album", init=False)


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text."""

    text: str
    kind: str = field(default="paragraph", init=False)


@dataclass(frozen=True)
class Callout:
    """A stressed paragraph; ``tone`` is ``"finding"`` or ``"warning"``."""

    text: str
    tone: str = "finding"
    kind: str = field(default="callout", init=False)


@dataclass(frozen=True)
class Listing:
    """Text to show as it is, such as a file or a command."""

    caption: str
    text: str
    folded: bool = False
    kind: str = field(default="listing", init=False)


Part = Table | Gallery | Contact | Album | Paragraph | Callout | Listing


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Tile:
    """One key figure at the top of a page."""

    title: str
    value: str
    remark: str = ""


@dataclass(frozen=True)
class Page:
    """A whole report.

    Attributes:
        title: Heading of the page.
        lead: One sentence under it.
        notices: What a reader must know before any figure, shown prominently.
        tiles: Key figures.
        sections: The report itself.
    """

    title: str
    lead: str
    notices: Sequence[str]
    tiles: Sequence[Tile]
    sections: Sequence[Section]


def render_html(page: Page) -> str:
    """Render a page to one self-contained HTML file; all text is escaped."""
    return _environment().get_template("page.html.j2").render(page=page)


def render_markdown(page: Page) -> str:
    """Render a page to Markdown with the same text and tables, without any picture."""
    return _environment().get_template("page.md.j2").render(page=page)


def markdown_text(text: str) -> str:
    """Escape text for a line or table cell of Markdown: no tags, no new lines, no cell marks."""
    # As entities: a backslash that the text has before a | would undo another one.
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;")
    return " ".join(escaped.split())


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hybridface.report"),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["line"] = markdown_text
    return environment
