"""What every export begins and ends with: a place that can be, a file that agrees."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybridface.errors import UsageError, unknown
from hybridface.export.comparison import LEAST_AGREEMENT, Comparison, check_agreement, compare
from hybridface.export.pictures import Pixels, as_input
from hybridface.export.precision import Precision, convert
from hybridface.files import write_atomically
from hybridface.inference.runtime import FaceModel


def check_asked(out: Path, precision: str) -> None:
    """Refuse what cannot be before anything is loaded.

    Raises:
        UsageError: There is no such precision, or the file to write is a folder.
    """
    if precision not in LEAST_AGREEMENT:
        raise unknown("precision", precision, LEAST_AGREEMENT)
    refuse_folder(out)


def refuse_folder(out: Path) -> None:
    """Refuse a folder where a file is to be written.

    Raises:
        UsageError: It is one.
    """
    if out.is_dir():
        raise UsageError(f"{out}: a folder; name the file to write, as in {out / 'faces.onnx'}")


def refuse_itself(out: Path, model: Path) -> None:
    """Refuse to write a model over the one that it is made from.

    Raises:
        UsageError: Both are one file.
    """
    if out.exists() and out.samefile(model):
        raise UsageError(f"{out}: the model itself, which is not overwritten; name another file")


def parts_of(pixels: Pixels, precision: Precision) -> tuple[Pixels, Pixels]:
    """Return the pictures that calibrate, and those that are compared: all, but for ``int8``."""
    return pixels[0::2], pixels[1::2] if precision == "int8" else pixels


def write_converted(
    exact: Path,
    out: Path,
    precision: Precision,
    parts: tuple[Pixels, Pixels],
    *,
    wanted: Mapping[str, NDArray[np.float32]],
    least_agreement: float | None,
) -> dict[str, Comparison]:
    """Write a model in a precision, where it agrees with what it was made from.

    Args:
        exact: The file of the model.
        out: The file to write.
        precision: Its precision; ``fp32`` is the file as it is.
        parts: See :func:`parts_of`.
        wanted: What the model says of the pictures to compare, by task.
        least_agreement: See :func:`hybridface.export.comparison.check_agreement`.

    Returns:
        A :class:`Comparison` a task.

    Raises:
        HybridFaceError: It cannot be converted or written, or agrees too little.
    """
    calibration, compared = parts
    with tempfile.TemporaryDirectory() as folder:
        made = exact
        if precision != "fp32":
            made = Path(folder) / "converted.onnx"
            convert(exact, made, precision, as_input(calibration))
        found = compare(FaceModel.load(made), wanted, compared)
        check_agreement(out, found, precision, least_agreement)
        write_atomically(out, made.read_bytes())
    return found
