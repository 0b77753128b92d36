"""The figures of a data set's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from hybridface.report.figures import WIDTH
from hybridface.report.svg import MOST_OF_CLASS, add_legend, colour_of, draw_svg, shown

MOST_CLASSES = 40


def class_bars(classes: Sequence[str], splits: Mapping[str, Sequence[int]], alt: str) -> str:
    """Draw how many pictures each class has, a bar for each split.

    Args:
        classes: Names, from top to bottom; at most :data:`MOST_CLASSES` are drawn.
        splits: Counts in the order of the classes, by the name of a split.
        alt: What the figure shows, for those who do not see it.

    Returns:
        An ``<svg>`` element.
    """
    names = classes[:MOST_CLASSES]
    thick = 0.8 / max(len(splits), 1)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        places = np.arange(len(names))
        for style, (split, counts) in enumerate(splits.items()):
            axes.barh(
                places + (style - (len(splits) - 1) / 2) * thick, counts[: len(names)], thick,
                color=colour_of(style + 1), label=shown(split),
            )  # fmt: skip
        axes.set_yticks(places, [shown(name, MOST_OF_CLASS) for name in names])
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlabel("Pictures")
        add_legend(figure, axes)

    height = 1.2 + len(names) * (0.24 + 0.13 * len(splits))
    return draw_svg(draw, (WIDTH, height), alt)


def histogram(values: ArrayLike, x_label: str, alt: str, bins: int = 40) -> str:
    """Draw how often values occur.

    Args:
        values: Numbers; those that are not finite are left out.
        x_label: Label of the x axis, with its unit.
        alt: What the figure shows, for those who do not see it.
        bins: How many bars.

    Returns:
        An ``<svg>`` element.
    """
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.hist(finite, bins=bins, color=colour_of(1), edgecolor="white", linewidth=0.5)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set(xlabel=x_label, ylabel="Pictures")

    return draw_svg(draw, (WIDTH, 2.8), alt)
