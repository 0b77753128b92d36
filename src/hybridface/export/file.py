"""The command line's ``export`` of a model file: the same model in another precision."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from hybridface.errors import UsageError, unknown
from hybridface.export.comparison import LEAST_AGREEMENT, Comparison, check_agreement, compare
from hybridface.export.pictures import BATCH, as_input, pictures_of_data
from hybridface.export.precision import Precision, convert
from hybridface.files import write_atomically
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
    if precision not in LEAST_AGREEMENT:
        raise unknown("precision", precision, LEAST_AGREEMENT)
    if precision == "fp32":
        raise UsageError(
            f"{model}: is a model already; name the precision that you want, of fp16, fp16-stored "
            "and int8, by --precision"
        )
    if not data:
        raise UsageError(
            f"{model}: has no pictures of its own; name face crops by --data KIND:PATH"
        )
    if out.is_dir():
        raise UsageError(f"{out}: a folder; name the file to write, as in {out / 'faces.onnx'}")
    if out.exists() and out.samefile(model):
        raise UsageError(f"{out}: the model itself, which is not overwritten; name another file")
    exact = FaceModel.load(model)
    pixels = pictures_of_data(data, exact.size, count)
    calibration, compared = pixels[0::2], pixels[1::2] if precision == "int8" else pixels
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "converted.onnx"
        convert(model, made, precision, as_input(calibration))
        found = compare(FaceModel.load(made), exact.predict(compared, BATCH), compared)
        check_agreement(out, found, precision, least_agreement)
        write_atomically(out, made.read_bytes())
    return found
