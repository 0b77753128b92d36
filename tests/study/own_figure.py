"""A task of a user's own that brings the figure by which a run is selected."""

from __future__ import annotations

from torch import Tensor

from hybridface.tasks.expression import Expression


class ByMisses(Expression):
    """Selected by the share of wrong answers, of which less is better; says no accuracy."""

    selects = {"misses": False}

    def figures(self, output: Tensor, truth: Tensor) -> dict[str, Tensor]:
        return {"misses": 1 - super().figures(output, truth)["accuracy"]}
