"""The command line's ``export``: a finished run as a file for use, held against torch."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hybridface.config import load_recipe
from hybridface.data.cache import Progress
from hybridface.data.sources import kinds_of
from hybridface.errors import UsageError, unknown
from hybridface.export.comparison import Comparison
from hybridface.export.conversion import check_asked, parts_of, write_converted
from hybridface.export.network import ExportedModel, export_onnx
from hybridface.export.pictures import (
    BATCH,
    LEAST_PICTURES,
    Pixels,
    as_input,
    pictures_of_data,
    pictures_of_run,
    spread,
)
from hybridface.export.precision import Precision
from hybridface.inference.crops import Crop, measure_crop
from hybridface.inference.detection import open_detector
from hybridface.training.runs import RunFolder, load_model

MOST_MEASURED = 64
LICENCE = "not stated; the terms of the training data apply as well"


def export_run(
    run: Path,
    out: Path,
    *,
    precision: Precision = "fp32",
    weights: str = "best",
    data: Sequence[str] = (),
    keep_ssl_heads: bool = False,
    licence: str = LICENCE,
    trained_on: str | None = None,
    least_agreement: float | None = None,
    count: int = 512,
    progress: Progress | None = None,
) -> tuple[dict[str, Comparison], Crop | None]:
    """Export a run and compare the file with torch on real pictures.

    Of the pictures half calibrate the ranges of ``int8`` and half are compared; without
    calibration all are compared.

    Args:
        run: The run folder.
        out: The file to write; one that is there is replaced, but for the run's own.
        precision: ``fp32``, ``fp16``, ``fp16-stored`` or ``int8``; see
            :func:`hybridface.export.precision.convert`.
        weights: ``best`` or ``last``.
        data: ``KIND:PATH`` of face crops, of each the same number; without, the run's own
            validation pictures.
        keep_ssl_heads: Whether the self-supervised heads are kept.
        licence: The terms of the model, for its metadata.
        trained_on: The training data in words, for the metadata; None for its kind.
        least_agreement: A file that agrees less with torch is refused; None for 1, 0.98 or 0.9 by
            precision.
        count: How many pictures.
        progress: Called with (done, total) while pictures are decoded.

    Returns:
        A :class:`Comparison` a task, and the crop that was measured on the run's pictures, or None
        where others were given or the detector found too few faces in them.

    Raises:
        UsageError: The run, the file, an option or the data cannot be.
        DataError: The run is damaged or too few pictures are left.
        HybridFaceError: The export fails, or what it gives is too far from torch.
    """
    check_asked(out, precision)
    check_run(run, out, weights)
    model, tasks = load_model(run, weights)
    if not any(task.kept_at_inference for task in tasks):
        raise UsageError(
            f"{run}: has no supervised task, so there is nothing to use; start another run from it "
            f"by backbone.checkpoint={run}, or write its backbone, to a name that ends in "
            ".safetensors"
        )
    recipe = load_recipe(RunFolder(run).recipe)
    if data:
        pixels, crop = pictures_of_data(data, recipe.data.size, count), None
    else:  # other pictures may be framed in another way than the training data's
        pixels = pictures_of_run(run, count, progress)
        measured = pixels[spread(len(pixels), MOST_MEASURED)]
        crop = measure_crop(list(measured), open_detector())
    about: dict[str, Any] = {"licence": licence}
    if crop is not None:
        about["crop"] = crop.to_metadata()
    parts = parts_of(pixels, precision)
    compared = parts[1]
    with tempfile.TemporaryDirectory() as folder:
        exact = Path(folder) / "exact.onnx"
        export_onnx(
            model, tasks, torch.from_numpy(as_input(compared[:LEAST_PICTURES])), exact,
            trained_on=trained_on or kinds_of(recipe.data.specs.values()),
            keep_ssl_heads=keep_ssl_heads, about=about,
        )  # fmt: skip
        wanted = torch_outputs(ExportedModel(model, tasks), compared)
        found = write_converted(
            exact, out, precision, parts, wanted=wanted, least_agreement=least_agreement
        )
    return found, crop


def check_run(run: Path, out: Path, weights: str) -> None:
    """Refuse a run that has nothing to export, or that would lose a file by it.

    Args:
        run: The run folder.
        out: The file to write.
        weights: ``best`` or ``last``.

    Raises:
        UsageError: The run has no such weights, or the file is its own.
    """
    if weights not in ("best", "last"):
        raise unknown("weights", weights, ("best", "last"))
    folder = RunFolder(run)
    if not run.exists():
        raise UsageError(
            f"{run}: does not exist; expected the folder that hybridface train wrote, or a model "
            "file"
        )
    if not folder.architecture.is_file():
        raise UsageError(
            f"{run}: no run's folder, {folder.architecture.name} is missing; name the folder that "
            "hybridface train wrote"
        )
    if not (folder.best if weights == "best" else folder.last).is_file():
        raise UsageError(
            f"{run}: holds no {weights} weights, which a run writes as it trains; let it finish or "
            "resume it"
        )
    own = (place for place in vars(folder).values() if place.is_file())
    if out.exists() and any(out.samefile(place) for place in own):
        raise UsageError(f"{out}: the run's own file, which is not overwritten; name another one")


@torch.no_grad()
def torch_outputs(module: ExportedModel, pixels: Pixels) -> dict[str, NDArray[np.float32]]:
    """Return what a model in torch says of pictures, by task.

    Args:
        module: The model, in evaluation mode.
        pixels: ``(N, size, size, 3)`` uint8.
    """
    blocks: dict[str, list[NDArray[np.float32]]] = {task.name: [] for task in module.kept}
    for start in range(0, len(pixels), BATCH):
        outputs = module(torch.from_numpy(as_input(pixels[start : start + BATCH])))
        for each, output in zip(blocks.values(), outputs, strict=True):
            each.append(output.numpy())
    return {name: np.concatenate(each) for name, each in blocks.items()}
