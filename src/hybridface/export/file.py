"""The command line's ``export`` of a model file: the same model in another precision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hybridface.errors import UsageError
from hybridface.export.comparison import Comparison
from hybridface.export.conversion import check_asked, parts_of, refuse_itself, write_converted
from hybridface.export.pictures import BATCH, pictures_of_data
from hybridface.export.precision import Precision
from hybridface.inference.runtime import FaceModel


def export_file(
    model: Path,
    out: Path,
    *,
    precision: Precision,
    data: Sequence[str],
    least_agreement: float | None = None,
    count: int = 512,
) -> dict[str, Comparison]:
    """Write a model file in another precision and compare both on real pictures.

    Of the pictures half calibrate the ranges of ``int8`` and half are compared; without
    calibration all are compared.

    Args:
        model: The file, of float32 weights or of weights stored in half precision.
        out: The file to write; one that is there is replaced, but for the model itself.
        precision: ``fp16``, ``fp16-stored`` or ``int8``; see
            :func:`hybridface.export.precision.convert`.
        data: ``KIND:PATH`` of face crops like those that the model will be shown.
        least_agreement: A file that agrees less with the model is refused; None for 0.98, or 0.9
            for ``int8``.
        count: How many pictures.

    Returns:
        A :class:`Comparison` a task.

    Raises:
        UsageError: The file, an option or the data cannot be.
        DataError: Too few pictures are left.
        HybridFaceError: The model cannot be read or converted, or what it gives is too far from it.
    """
    check_asked(out, precision)
    exact = FaceModel.load(model)
    if precision == "fp32":
        raise UsageError(
            f"{model}: is a model already; name the precision that you want, of fp16, fp16-stored "
            "and int8, by --precision"
        )
    if not data:
        raise UsageError(
            f"{model}: has no pictures of its own; name face crops by --data KIND:PATH"
        )
    refuse_itself(out, model)
    pixels = pictures_of_data(data, exact.size, count)
    parts = parts_of(pixels, precision)
    wanted = exact.predict(parts[1], BATCH)
    return write_converted(
        model, out, precision, parts, wanted=wanted, least_agreement=least_agreement
    )
