"""How figures and splits are written in an evaluation's text."""

from __future__ import annotations

from typing import Any


def split_name(split: str) -> str:
    """Return how a sentence names a split."""
    return "all rows" if split == "all" else f"split {split}"


def percent(value: float | None) -> str:
    """Return a fraction in percent, ``-`` for none."""
    return "-" if value is None else f"{value:.1%}"


def interval(score: dict[str, Any], form: str) -> str:
    """Return the bounds of ``{"value": …, "ci95": …}`` in a format, ``-`` where it has none."""
    return " to ".join(format(bound, form) for bound in score["ci95"]) if score["ci95"] else "-"
