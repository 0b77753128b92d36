"""Class names: the same expression goes by several names, and order differs between data sets.

Models carry their class names; wherever a model meets data, classes are matched by name.
"""

from __future__ import annotations

from collections.abc import Sequence

EXPRESSION_ALIASES = {
    "angry": ("anger", "an", "angriness"),
    "contempt": ("contemptuous",),
    "disgust": ("disgusted", "di"),
    "fear": ("fearful", "afraid", "scared", "fe"),
    "happy": ("happiness", "joy", "joyful", "ha"),
    "neutral": ("ne", "neutrality", "no expression"),
    "sad": ("sadness", "sa"),
    "surprise": ("surprised", "su", "astonishment"),
}
_CANONICAL = {alias: name for name, aliases in EXPRESSION_ALIASES.items() for alias in aliases}


def canonical_name(name: str) -> str:
    """Return the one name that all spellings of a class share.

    Case, surrounding space, ``_`` and ``-`` do not count, and the usual synonyms of expressions
    are one: ``canonical_name("Happiness") == "happy"``. Any other name is only cleaned.
    """
    cleaned = " ".join(name.strip().lower().replace("_", " ").replace("-", " ").split())
    return _CANONICAL.get(cleaned, cleaned)


def match_classes(names: Sequence[str], to: Sequence[str]) -> list[int | None]:
    """Say where each class of ``names`` stands in ``to``, by name.

    Args:
        names: Class names of the data, in the order of its ids.
        to: Class names of the model, in the order of its outputs.

    Returns:
        For each of ``names`` its index in ``to``, or None where ``to`` has no such class.
    """
    places = {canonical_name(name): index for index, name in enumerate(to)}
    return [places.get(canonical_name(name)) for name in names]
