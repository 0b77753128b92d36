"""Finding faces in whole photos; which detector does it can be changed.

A detector is a subclass of :class:`Detector`. ``centerface`` ships with the package; one of the
user's own is named as ``pkg.module:Class``, without being registered.
"""

from __future__ import annotations

from typing import Any

from hybridface.errors import unknown
from hybridface.inference.detection.base import Detector
from hybridface.plugins import load_class

DEFAULT = "centerface"


def open_detector(
    name: str = DEFAULT, threshold: float | None = None, longest: int | None = None
) -> Detector:
    """Return a detector, ready to use.

    Args:
        name: ``centerface``, or ``pkg.module:Class`` for a subclass of :class:`Detector`.
        threshold: The least score of a face in [0, 1]; None for the detector's own.
        longest: Longest side in pixels that a picture is reduced to; None for its own.

    Raises:
        UsageError: There is no such detector, or an option is out of its range.
        HybridFaceError: Its files are missing or damaged.
    """
    if ":" in name:
        kind = load_class(name, Detector, {}, f"detector {name}")  # type: ignore[type-abstract]
    elif name == DEFAULT:
        from hybridface.inference.detection.centerface import CenterFace

        kind = CenterFace
    else:
        raise unknown("detector", name, [DEFAULT, "pkg.module:Class"])
    options: dict[str, Any] = {"threshold": threshold, "longest": longest}
    return kind(**{key: value for key, value in options.items() if value is not None})
