"""Class names: the same expression goes by several names, and order differs between data sets.

Models carry their class names; wherever a model meets data, classes are matched by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hybridface.errors import UsageError

GENDERS = ("male", "female")
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
    cleaned = _cleaned(name)
    return _CANONICAL.get(cleaned, cleaned)


def match_classes(names: Sequence[str], to: Sequence[str]) -> list[int | None]:
    """Say where each class of ``names`` stands in ``to``, by name.

    The spelling decides, case and separators aside; a synonym counts only where no class is
    spelled so, as with a model that knows both ``happy`` and ``happiness``.

    Args:
        names: Class names of the data, in the order of its ids.
        to: Class names of the model, in the order of its outputs.

    Returns:
        For each of ``names`` its index in ``to``, or None where ``to`` has no such class.

    Raises:
        UsageError: Several classes of ``to`` are meant by one of ``names`` alike.
    """
    return [_find(name, to) for name in names]


def _find(name: str, to: Sequence[str]) -> int | None:
    ways: tuple[Callable[[str], str], ...] = (str, _cleaned, canonical_name)
    for spelled in ways:
        found = [index for index, other in enumerate(to) if spelled(other) == spelled(name)]
        if len(found) > 1:
            raise UsageError(
                f"class '{name}' of the data may be any of the classes "
                f"{', '.join(repr(to[index]) for index in found)} of the model; expected one: "
                "rename the class of the data to the one that is meant"
            )
        if found:
            return found[0]
    return None


def _cleaned(name: str) -> str:
    return " ".join(name.strip().lower().replace("_", " ").replace("-", " ").split())
