"""Lines through means with intervals, over a condition such as how many labels there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from hybridface.evaluation.statistics import Interval
from hybridface.report.figures import WIDTH
from hybridface.report.svg import GREY, LINES, add_legend, colour_of, draw_svg, marker_of, shown


@dataclass(frozen=True)
class Points:
    """A line through means with their intervals; ``x`` is ``(n,)``, ``style`` picks the look."""

    name: str
    x: Sequence[float]
    intervals: Sequence[Interval]
    style: int


def interval_lines(
    lines: Sequence[Points],
    x_label: str,
    y_label: str,
    alt: str,
    *,
    names: Sequence[str] = (),
    reference: float | None = None,
    scale: float = 100,
) -> str:
    """Draw means with their intervals over a condition, a line a method.

    Args:
        lines: One line each; NaN bounds leave an interval out.
        x_label: Label of the x axis.
        y_label: Label of the y axis, with its unit.
        alt: What the figure shows, for those who do not see it.
        names: Names of the conditions 0, 1, ...; where empty they are numbers, which stand on a log
            scale as they are.
        reference: Where to draw a horizontal line, as at no difference.
        scale: Factor from the means to the unit of the axis, 100 for percent.

    Returns:
        An ``<svg>`` element.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        if reference is not None:
            axes.axhline(scale * reference, color=GREY, linewidth=1.2)
        for line in lines:
            look: dict[str, Any] = {"color": colour_of(line.style), "zorder": 3}
            means = [scale * each.mean for each in line.intervals]
            style = LINES[line.style % len(LINES)]
            axes.plot(line.x, means, style, marker=marker_of(line.style), label=shown(line.name),
                      **look)  # fmt: skip
            for x, each in zip(line.x, line.intervals, strict=True):
                axes.plot([x, x], [scale * each.low, scale * each.high], **look)
        if names:
            axes.set_xticks(range(len(names)), [shown(name) for name in names])
        else:
            places = sorted({x for line in lines for x in line.x})
            axes.set_xscale("log")
            axes.set_xticks(places, [f"{x:,.0f}" for x in places])
            axes.xaxis.set_minor_locator(NullLocator())
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.margins(x=0.08)
        add_legend(figure, axes)

    return draw_svg(draw, (WIDTH, 3.9), alt)
