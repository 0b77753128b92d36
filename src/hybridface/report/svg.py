"""Inline SVG in one look: text stays text, colours are told apart by colour-blind readers too."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

# Okabe and Ito (2008), "Color Universal Design", without the yellow that fades on white.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "-", "--", "-.", ":")
GREY = "#6b7280"
SHADES = LinearSegmentedColormap.from_list("shades", ["#ffffff", "#0072B2", "#00304d"])
MOST_OF_CLASS = 20  # letters beside its row: more, where they are wide, leave no room for the rows
LEAST_SCALE = 0.9  # pixels a point: text of 12 points is then 11 pixels high
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e5e7eb",
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "lines.linewidth": 2.2,
}


def colour_of(style: int) -> str:
    """Return the colour of a style number; they repeat after seven."""
    return COLOURS[style % len(COLOURS)]


def marker_of(style: int) -> str:
    """Return matplotlib's name of the marker of a style number; they repeat after seven."""
    return MARKERS[style % len(MARKERS)]


def shown(name: str, most: int = 40) -> str:
    """Keep a name from being taken for a hidden label, and from filling the whole figure.

    Args:
        name: The name.
        most: How many letters of it are drawn.
    """
    short = name if len(name) <= most else f"{name[: most - 1]}…"
    return f" {short}" if short.startswith("_") else short


def add_legend(figure: Figure, *axes: Axes) -> None:
    """Write the legend under the axes, in as many columns as its names leave room for."""
    entries = [each.get_legend_handles_labels() for each in axes]
    handles = [handle for found, _ in entries for handle in found]
    labels = [label for _, found in entries for label in found]
    longest = max((len(label) for label in labels), default=0)
    columns = max(1, min(3, len(labels), 49 // (longest + 7)))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def draw_svg(draw: Callable[[Figure], None], size: tuple[float, float], alt: str) -> str:
    """Return a drawing as an ``<svg>`` element, the same text for the same drawing.

    Args:
        draw: Draws into the figure that it is given.
        size: Width and height in inches.
        alt: What the figure shows, for those who do not see it.
    """
    buffer = io.StringIO()
    with mpl.rc_context({**_SETTINGS, "svg.hashsalt": alt}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the reader's fonts draw the text
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=metadata)
    return _inline(buffer.getvalue(), alt)


def _inline(document: str, alt: str) -> str:
    """Make an SVG document part of a page: no namespaces, no needless ids, the page's font."""
    root = ElementTree.fromstring(document)
    for parent in root.iter():
        for child in list(parent):
            if child.tag.endswith("}style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
        if element.tag in ("g", "svg", "text"):
            attributes.pop("id", None)
        if element.tag == "text":
            style = attributes["style"].split("; ")
            kept = [part for part in style if not part.startswith("font-family")]
            attributes["style"] = "; ".join(kept)
        element.attrib.clear()
        element.attrib.update(attributes)
    width = float(root.attrib.pop("width").removesuffix("pt"))
    root.attrib.pop("height")
    fits = f"max-width:{width:.0f}pt;min-width:{LEAST_SCALE * width:.0f}px"
    root.attrib.update({"role": "img", "aria-label": alt, "style": fits})
    return ElementTree.tostring(root, encoding="unicode")
