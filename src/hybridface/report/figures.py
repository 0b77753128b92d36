"""The figures of reports, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from hybridface.evaluation.calibration import Reliability
from hybridface.evaluation.statistics import Interval, wilson_interval
from hybridface.report.svg import (
    GREY,
    LINES,
    MOST_OF_CLASS,
    SHADES,
    add_legend,
    colour_of,
    draw_svg,
    marker_of,
    shown,
)

WIDTH = 4.7  # inches: what a phone shows without making the text too small to read


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
    """A point of a gain-versus-compute plot: ``compute`` relative to 1, ``gain`` as in the rows."""

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
                x, y, dashes, color=colour_of(curve.style), label=shown(curve.name), marker=dot
            )
        if mark is not None:
            axes.axvline(mark, color=GREY, linewidth=1.2, linestyle=":", label=shown(mark_name))
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.02)
        add_legend(figure, axes)

    return draw_svg(draw, (WIDTH, 3.7), alt)


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
            shares, cmap=SHADES, vmin=0, vmax=100, edgecolors="white", linewidth=1
        )
        places = np.arange(len(classes)) + 0.5
        names = [shown(name, MOST_OF_CLASS) for name in classes]
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
        if bar.solids is not None:
            bar.solids.set_rasterized(False)  # else matplotlib puts a PNG into the SVG

    side = min(max(4.2, 1.4 + 0.5 * len(classes)), 9.0)
    return draw_svg(draw, (side + 0.9, side), alt)


def reliability_diagram(bins: Reliability, alt: str) -> str:
    """Draw accuracy against confidence by bins, above the histogram of the confidence.

    Args:
        bins: Predictions by confidence; empty bins are left out.
        alt: What the figure shows, for those who do not see it.

    Returns:
        An ``<svg>`` element; a bin stands at its mean confidence, with Wilson's 95% interval.
    """

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(5, 2))
        above.plot([0, 100], [0, 100], ":", color=GREY, label="perfect calibration")
        for place in np.flatnonzero(bins.counts):
            right, count = int(bins.right[place]), int(bins.counts[place])
            interval = wilson_interval(right, count)
            x = 100 * bins.expected[place] / count
            bounds = 100 * np.array([interval.low, interval.high])
            above.plot([x, x], bounds, color=colour_of(1))
            above.plot([x], [100 * interval.mean], marker_of(0), color=colour_of(1), markersize=8)
        above.plot([], [], "o-", color=colour_of(1), markersize=8, label="accuracy, 95% interval")
        above.set(ylabel="Accuracy (%)", xlim=(0, 100), ylim=(-4, 104))
        _stack(below, bins)
        below.set(xlabel="Confidence in the predicted class (%)", ylabel="Pictures")
        add_legend(figure, above, below)

    return draw_svg(draw, (WIDTH, 5.3), alt)


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
            look: dict[str, Any] = {"color": colour_of(row.style), "zorder": 3}
            values = scale * np.asarray(row.values, dtype=float)
            axes.plot(
                values, np.full(len(values), place + 0.24), "o", markersize=4, alpha=0.55, **look
            )
            bounds = scale * np.array([row.interval.low, row.interval.high])
            axes.plot(bounds, [place, place], solid_capstyle="butt", **look)
            axes.plot(
                [scale * row.interval.mean], [place], marker_of(row.style), markersize=8, **look
            )
        axes.set_yticks(range(len(rows)), [shown(row.name) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(x_label)

    return draw_svg(draw, (WIDTH, 0.9 + 0.46 * len(rows)), alt)


def gain_versus_compute(
    gains: Sequence[Gain], x_label: str, y_label: str, alt: str, scale: float = 100
) -> str:
    """Draw what each arm gains over what it costs, both against the same baseline.

    Args:
        gains: One point each; NaN bounds leave the interval out.
        x_label: Label of the x axis, the relative compute.
        y_label: Label of the y axis, with its unit.
        alt: What the figure shows, for those who do not see it.
        scale: Factor from the gains to the unit of the axis, 100 for percentage points.

    Returns:
        An ``<svg>`` element.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axhline(0, color=GREY, linewidth=1.2)
        for each in gains:
            colour = colour_of(each.style)
            bounds = scale * np.array([each.gain.low, each.gain.high])
            axes.plot([each.compute, each.compute], bounds, color=colour)
            point = [scale * each.gain.mean]
            marker = marker_of(each.style)
            axes.plot(
                [each.compute], point, marker, color=colour, markersize=9, label=shown(each.name)
            )
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.set_xlim(left=min(0.9, *(each.compute - 0.1 for each in gains)))
        axes.margins(x=0.08)
        add_legend(figure, axes)

    return draw_svg(draw, (WIDTH, 3.9), alt)


def _write_counts(axes: Axes, table: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for (row, column), count in np.ndenumerate(table):
        colour = "white" if shares[row, column] > 38 else "#111827"
        axes.text(
            column + 0.5, row + 0.5, f"{count}", ha="center", va="center", color=colour, size=11
        )


def _stack(axes: Axes, bins: Reliability) -> None:
    """Draw how many predictions of each bin are right and, on top of them, wrong."""
    edges = 100 * bins.edges
    for name, heights, foot, style in (
        ("right", bins.right, np.zeros_like(bins.right), 1),
        ("wrong", bins.counts - bins.right, bins.right, 5),
    ):
        axes.bar(
            edges[:-1], heights, np.diff(edges), foot, align="edge", color=colour_of(style),
            edgecolor="white", label=name,
        )  # fmt: skip
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
