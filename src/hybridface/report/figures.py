"""Figures as inline SVG: text stays text, colours are told apart by colour-blind readers too."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from hybridface.evaluation.statistics import Interval

# Okabe and Ito (2008), "Color Universal Design", without the yellow that fades on white.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "-", "--", "-.", ":")
GREY = "#6b7280"
_SHADES = LinearSegmentedColormap.from_list("shades", ["#ffffff", "#0072B2", "#00304d"])
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


@dataclass(frozen=True)
class Curve:
    """A line: ``x`` and ``y`` are ``(n,)``, NaN leaves a gap; ``style`` picks colour and dashes."""

    name: str
    x: ArrayLike
    y: ArrayLike
    style: int


@dataclass(frozen=True)
class Dots:
    """A row of a dot plot: a mean with its interval, and the single values behind it, if any."""

    name: str
    interval: Interval
    style: int
    values: Sequence[float] = ()


@dataclass(frozen=True)
class Gain:
    """A point of a gain-versus-compute plot: ``compute`` relative to 1, ``gain`` as a fraction."""

    name: str
    compute: float
    gain: Interval
    style: int


def learning_curves(
    curves: Sequence[Curve],
    x_label: str,
    y_label: str,
    alt: str,
    *,
    mark: float | None = None,
    mark_name: str = "",
) -> str:
    """Draw curves over training.

    Args:
        curves: One line each.
        x_label: Label of the x axis, with its unit.
        y_label: Label of the y axis, with its unit.
        alt: What the figure shows, for those who do not see it.
        mark: Where to draw a vertical line, as at the epoch that was kept.
        mark_name: What the legend calls that line.

    Returns:
        An ``<svg>`` element.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for curve in curves:
            x, y = np.asarray(curve.x, dtype=float), np.asarray(curve.y, dtype=float)
            dashes = LINES[curve.style % len(LINES)]
            dot = "o" if len(x) < 3 else None
            axes.plot(
                x, y, dashes, color=_colour(curve.style), label=_shown(curve.name), marker=dot
            )
        if mark is not None:
            axes.axvline(mark, color=GREY, linewidth=1.2, linestyle=":", label=_shown(mark_name))
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.02)
        _legend(figure, axes)

    return _svg(draw, (5.6, 4.0), alt)


def confusion_matrix(counts: ArrayLike, classes: Sequence[str], alt: str) -> str:
    """Draw a confusion matrix, shaded by the share of each true class.

    Args:
        counts: ``(C, C)`` pictures; row is the true class, column the predicted one.
        classes: ``C`` names in the order of the rows.
        alt: What the figure shows, for those who do not see it.

    Returns:
        An ``<svg>`` element. Up to 12 classes every cell holds its count.
    """
    table = np.asarray(counts, dtype=np.int64)
    shares = 100 * table / np.maximum(table.sum(axis=1, keepdims=True), 1)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        mesh = axes.pcolormesh(
            shares, cmap=_SHADES, vmin=0, vmax=100, edgecolors="white", linewidth=1
        )
        places = np.arange(len(classes)) + 0.5
        names = [_shown(name) for name in classes]
        axes.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(places, names)
        axes.invert_yaxis()
        axes.set_aspect("equal")
        axes.grid(False)
        axes.tick_params(length=0)
        axes.set(xlabel="Predicted class", ylabel="True class")
        if len(classes) <= 12:
            _write_counts(axes, table, shares)
        bar = figure.colorbar(mesh, ax=axes, label="Share of the true class (%)", shrink=0.8)
        bar.solids.set_rasterized(False)  # else matplotlib puts a PNG into the SVG

    side = min(max(4.2, 1.4 + 0.5 * len(classes)), 9.0)
    return _svg(draw, (side + 0.9, side), alt)


def dot_intervals(
    rows: Sequence[Dots], x_label: str, alt: str, scale: float = 1, reference: float | None = None
) -> str:
    """Draw a mean with its interval for each row, and the single values as small dots.

    Args:
        rows: From top to bottom; NaN bounds leave the interval out.
        x_label: Label of the x axis, with its unit.
        alt: What the figure shows, for those who do not see it.
        scale: Factor from the values to the unit of the axis, 100 for percent.
        reference: Where to draw a vertical line, in the unit of the values, as at no difference.

    Returns:
        An ``<svg>`` element.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        if reference is not None:
            axes.axvline(scale * reference, color=GREY, linewidth=1.2)
        for place, row in enumerate(rows):
            look: dict[str, Any] = {"color": _colour(row.style), "zorder": 3}
            values = scale * np.asarray(row.values, dtype=float)
            axes.plot(
                values, np.full(len(values), place + 0.24), "o", markersize=4, alpha=0.55, **look
            )
            bounds = scale * np.array([row.interval.low, row.interval.high])
            axes.plot(bounds, [place, place], solid_capstyle="butt", **look)
            axes.plot(
                [scale * row.interval.mean], [place], _marker(row.style), markersize=8, **look
            )
        axes.set_yticks(range(len(rows)), [_shown(row.name) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(x_label)

    return _svg(draw, (5.6, 0.9 + 0.46 * len(rows)), alt)


def gain_versus_compute(gains: Sequence[Gain], x_label: str, y_label: str, alt: str) -> str:
    """Draw what each arm gains over what it costs, both against the same baseline.

    Args:
        gains: One point each; NaN bounds leave the interval out.
        x_label: Label of the x axis, the relative compute.
        y_label: Label of the y axis, in percentage points.
        alt: What the figure shows, for those who do not see it.

    Returns:
        An ``<svg>`` element.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axhline(0, color=GREY, linewidth=1.2)
        for each in gains:
            colour = _colour(each.style)
            bounds = 100 * np.array([each.gain.low, each.gain.high])
            axes.plot([each.compute, each.compute], bounds, color=colour)
            point = [100 * each.gain.mean]
            marker = _marker(each.style)
            axes.plot(
                [each.compute], point, marker, color=colour, markersize=9, label=_shown(each.name)
            )
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.set_xlim(left=min(0.9, *(each.compute - 0.1 for each in gains)))
        axes.margins(x=0.08)
        _legend(figure, axes)

    return _svg(draw, (5.6, 4.3), alt)


def _colour(style: int) -> str:
    return COLOURS[style % len(COLOURS)]


def _marker(style: int) -> str:
    return MARKERS[style % len(MARKERS)]


def _shown(name: str) -> str:
    """Keep a name from being taken for a hidden label, and from filling the whole figure."""
    short = name if len(name) <= 40 else f"{name[:39]}…"
    return f" {short}" if short.startswith("_") else short


def _write_counts(axes: Axes, table: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for (row, column), count in np.ndenumerate(table):
        colour = "white" if shares[row, column] > 38 else "#111827"
        axes.text(
            column + 0.5, row + 0.5, f"{count}", ha="center", va="center", color=colour, size=11
        )


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    longest = max((len(label) for label in labels), default=0)
    columns = max(1, min(3, len(labels), 58 // (longest + 7)))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def _svg(draw: Callable[[Figure], None], size: tuple[float, float], alt: str) -> str:
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
    width = root.attrib.pop("width").removesuffix("pt")
    root.attrib.pop("height")
    root.attrib.update(
        {"role": "img", "aria-label": alt, "style": f"max-width:{float(width):.0f}pt"}
    )
    return ElementTree.tostring(root, encoding="unicode")
