"""The command line's ``export``: a finished run as a file for use, held against torch."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hybridface import images
from hybridface.config import load_recipe
from hybridface.data.cache import Progress
from hybridface.data.prepare import prepare_data
from hybridface.data.source import Problem
from hybridface.data.sources import kinds_of, open_source
from hybridface.errors import DataError, HybridFaceError, UsageError, unknown
from hybridface.export import ExportedModel, export_onnx
from hybridface.files import write_atomically
from hybridface.inference.crops import Crop, measure_crop
from hybridface.inference.detection import open_detector
from hybridface.inference.metadata import ModelTask
from hybridface.inference.runtime import FaceModel
from hybridface.precision import Precision, convert
from hybridface.tasks import build_tasks, label_columns
from hybridface.training.runs import RunFolder, load_model

LEAST_AGREEMENT: dict[Precision, float] = {
    "fp32": 1.0, "fp16": 0.98, "fp16-stored": 0.98, "int8": 0.9
}  # fmt: skip
WITHIN = {"pose": 3.0, "regression": 1.0}
LEAST_PICTURES = 8
MOST_MEASURED = 64
BATCH = 64
LICENCE = "not stated; the terms of the training data apply as well"
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Comparison:
    """How near one output of an exported file comes to torch's.

    Attributes:
        largest: The largest difference of any number: of a probability, or in degrees or years.
        agreement: The part of the pictures with the same most probable class; for numbers, with
            all of them within 3 degrees, or 1 of the unit, of torch's.
        count: How many pictures.
    """

    largest: float
    agreement: float
    count: int


def export_run(
    run: Path,
    out: Path,
    *,
    precision: Precision = "fp32",
    weights: str = "best",
    data: str | None = None,
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
            :func:`hybridface.precision.convert`.
        weights: ``best`` or ``last``.
        data: ``KIND:PATH`` of face crops; None for the run's own validation pictures.
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
    _check_asked(run, out, precision, weights)
    model, tasks = load_model(run, weights)
    if not any(task.kept_at_inference for task in tasks):
        raise UsageError(
            f"{run}: has no supervised task, so there is nothing to use; start another run from it "
            f"by backbone.checkpoint={run}"
        )
    recipe = load_recipe(RunFolder(run).recipe)
    pixels = load_pictures(run, data, count, progress)
    crop = None
    if data is None:  # other pictures may be framed in another way than the training data's
        measured = pixels[_spread(len(pixels), MOST_MEASURED)]
        crop = measure_crop(list(measured), open_detector())
    about: dict[str, Any] = {"licence": licence}
    if crop is not None:
        about["crop"] = crop.to_metadata()
    calibration, compared = pixels[0::2], pixels[1::2] if precision == "int8" else pixels
    with tempfile.TemporaryDirectory() as folder:
        exact = Path(folder) / "exact.onnx"
        export_onnx(
            model, tasks, _floats(compared[:LEAST_PICTURES]), exact,
            trained_on=trained_on or kinds_of(recipe.data.specs.values()),
            keep_ssl_heads=keep_ssl_heads, about=about,
        )  # fmt: skip
        made = exact
        if precision != "fp32":
            made = Path(folder) / "converted.onnx"
            convert(exact, made, precision, _floats(calibration).numpy())
        found = compare_with_torch(FaceModel.load(made), ExportedModel(model, tasks), compared)
        least = LEAST_AGREEMENT[precision] if least_agreement is None else least_agreement
        _check_agreement(out, found, least)
        write_atomically(out, made.read_bytes())
    return found, crop


def _check_asked(run: Path, out: Path, precision: str, weights: str) -> None:
    """Refuse what cannot be before anything is loaded."""
    if precision not in LEAST_AGREEMENT:
        raise unknown("precision", precision, LEAST_AGREEMENT)
    if weights not in ("best", "last"):
        raise unknown("weights", weights, ("best", "last"))
    folder = RunFolder(run)
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
    if out.is_dir():
        raise UsageError(f"{out}: a folder; name the file to write, as in {out / 'faces.onnx'}")
    own = (place for place in vars(folder).values() if place.is_file())
    if out.exists() and any(out.samefile(place) for place in own):
        raise UsageError(f"{out}: the run's own file, which is not overwritten; name another one")


def _check_agreement(out: Path, found: Mapping[str, Comparison], least: float) -> None:
    """Refuse a file that agrees with torch on too few pictures."""
    for name, each in found.items():
        if not each.agreement >= least:
            raise HybridFaceError(
                f"{out}: not written, as task '{name}' agrees with torch on only "
                f"{each.agreement:.1%} of {each.count} pictures (largest difference "
                f"{each.largest:.3g}); at least {least:.1%} are asked for: take a higher "
                "precision, more pictures by --data, or a lower --least-agreement"
            )


def load_pictures(
    run: Path, data: str | None, count: int, progress: Progress | None = None
) -> Pixels:
    """Return real face crops, spread evenly over a data set or a run's validation split.

    Args:
        run: The run folder, whose recipe says how large pictures are.
        data: ``KIND:PATH``; None for the run's own data.
        count: At most how many.
        progress: Called with (done, total) while pictures are decoded.

    Returns:
        ``(N, size, size, 3)`` uint8.

    Raises:
        UsageError: The data cannot be opened as asked, or ``count`` is too small.
        DataError: Fewer than 8 pictures are left.
    """
    if count < LEAST_PICTURES:
        raise UsageError(f"pictures: expected {LEAST_PICTURES} or more, got {count}")
    recipe = load_recipe(RunFolder(run).recipe)
    if data is None:
        columns = label_columns(build_tasks(recipe.tasks))
        prepared = prepare_data(recipe.data, columns, recipe.seed, progress)
        rows = prepared.splits["val"]
        pixels = np.asarray(prepared.images[rows[_spread(len(rows), count)]])
    else:
        source, size = open_source(data), recipe.data.size
        read = source.read()
        index = _spread(len(read), count).tolist()
        made = source.decode_each(read, index, lambda picture: images.resize(picture, size))
        intact = [each for each in made if not isinstance(each, Problem)]
        pixels = np.stack(intact) if intact else np.zeros((0, size, size, 3), np.uint8)
    if len(pixels) < LEAST_PICTURES:
        raise DataError(
            f"{data or f'the validation split of {run}'}: {len(pixels)} pictures that can be used, "
            f"at least {LEAST_PICTURES} are needed to compare the file with torch; name others by "
            "--data KIND:PATH"
        )
    return pixels


def _spread(rows: int, count: int) -> NDArray[np.int64]:
    """Return at most ``count`` of the numbers below ``rows``, evenly spread."""
    chosen: NDArray[np.int64] = np.unique(np.linspace(0, max(rows - 1, 0), count).astype(np.int64))
    return chosen[:rows]


def _floats(pixels: Pixels) -> torch.Tensor:
    channels_first = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2)
    return channels_first.contiguous().float() / 255


@torch.no_grad()
def compare_with_torch(
    model: FaceModel, module: ExportedModel, pixels: Pixels
) -> dict[str, Comparison]:
    """Run the same pictures through a file and through torch.

    Args:
        model: The file.
        module: The same model in torch, in evaluation mode.
        pixels: ``(N, size, size, 3)`` uint8.
    """
    wanted: dict[str, list[NDArray[np.float32]]] = {name: [] for name in model.tasks}
    names = [task.name for task in module.kept]
    for start in range(0, len(pixels), BATCH):
        outputs = module(_floats(pixels[start : start + BATCH]))
        for name, output in zip(names, outputs, strict=True):
            if name in wanted:
                wanted[name].append(output.numpy())
    found: Mapping[str, NDArray[np.float32]] = model.predict(pixels, BATCH)
    return {
        name: _compare(model.tasks[name], found[name], np.concatenate(blocks))
        for name, blocks in wanted.items()
    }


def _compare(
    task: ModelTask, found: NDArray[np.float32], wanted: NDArray[np.float32]
) -> Comparison:
    differences = np.abs(found - wanted)
    if task.kind == "pose":  # angles meet again at 180
        differences = np.minimum(differences, np.abs(360 - differences))
    if task.kind in WITHIN:
        agree = differences.max(axis=1) <= WITHIN[task.kind]
    else:
        agree = found.argmax(axis=1) == wanted.argmax(axis=1)
    return Comparison(float(differences.max()), float(agree.mean()), len(found))
