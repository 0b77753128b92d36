"""A trained backbone by itself, as weights that timm reads without this package."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save as to_bytes

import hybridface
from hybridface.config import BackboneConfig, load_recipe
from hybridface.data.sources import kinds_of
from hybridface.errors import HybridFaceError, UsageError
from hybridface.export.conversion import refuse_itself
from hybridface.export.pictures import BATCH, as_input, pictures_of_data
from hybridface.export.run import LICENCE, check_run
from hybridface.files import write_atomically
from hybridface.inference.runtime import FaceModel
from hybridface.network.backbones import Backbone
from hybridface.training.exported_backbone import load_exported_backbone
from hybridface.training.runs import RunFolder, load_model

TOLERANCE = 1e-5


def export_backbone_of_run(
    run: Path,
    out: Path,
    *,
    weights: str = "best",
    licence: str = LICENCE,
    trained_on: str | None = None,
) -> str:
    """Write the backbone of a run, also of one that learned without labels.

    Args:
        run: The run folder.
        out: The safetensors file to write; one that is there is replaced, but for the run's own.
        weights: ``best`` or ``last``.
        licence: The terms of the weights, for the file's metadata.
        trained_on: The training data in words, for the metadata; None for its kind.

    Returns:
        The call of timm that makes the network with these weights.

    Raises:
        UsageError: The run or the file cannot be.
        DataError: The run is damaged.
        HybridFaceError: The file cannot be written, or timm makes another network of it.
    """
    check_run(run, out, weights)
    model, _ = load_model(run, weights)
    recipe = load_recipe(RunFolder(run).recipe)
    about = {
        "trained_on": trained_on or kinds_of(recipe.data.specs.values()),
        "licence": licence,
    }
    return _write(model.backbone, recipe.data.size, out, about)


def export_backbone_of_model(
    model: Path, out: Path, *, data: Sequence[str], count: int = 512
) -> str:
    """Write the backbone of an exported model, its batch norms as they were before the export.

    Args:
        model: The ONNX file.
        out: The safetensors file to write; one that is there is replaced.
        data: ``KIND:PATH`` of face crops like those that it is to be trained on, whose statistics
            its batch norms get; see
            :func:`hybridface.training.exported_backbone.load_exported_backbone`.
        count: How many pictures at most.

    Returns:
        The call of timm that makes the network with these weights.

    Raises:
        UsageError: The file or the data cannot be.
        DataError: Too few pictures are left.
        HybridFaceError: The model cannot be read, the file not be written, or timm makes another
            network of it.
    """
    found = FaceModel.load(model, threads=1)
    if not data:
        raise UsageError(
            f"{model}: is a file, which has no pictures of its own; name face crops by --data "
            "KIND:PATH, for the statistics of batch norm"
        )
    refuse_itself(out, model)
    metadata = found.metadata
    config = BackboneConfig(name=str(metadata.get("backbone")))
    backbone = Backbone(config, with_maps=False, size=found.size).eval()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (backbone.mean, backbone.std))
    pixels = pictures_of_data(data, found.size, count)
    batches = (pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH))
    pictures = ((torch.from_numpy(as_input(batch)) - mean) / std for batch in batches)
    load_exported_backbone(backbone, model, pictures)
    about = {str(key): metadata[key] for key in ("trained_on", "licence") if key in metadata}
    return _write(backbone, found.size, out, about)


def _write(backbone: Backbone, size: int, out: Path, about: dict[str, Any]) -> str:
    """Write a backbone's weights as timm names them, once timm has made the same of them.

    Args:
        backbone: The backbone, in evaluation mode.
        size: Side in pixels of the pictures that it is for.
        out: The file to write.
        about: More entries of the file's metadata.
    """
    state = {name: v.detach().contiguous() for name, v in backbone.network.state_dict().items()}
    entries = {
        "model": backbone.name,
        "options": backbone.told,
        "size": size,
        "mean": list(backbone.mean),
        "std": list(backbone.std),
        "version": hybridface.__version__,
        **about,
    }
    content = to_bytes(state, metadata={"format": "pt", "hybridface": json.dumps(entries)})
    with tempfile.TemporaryDirectory() as folder:
        tried = Path(folder) / out.name
        tried.write_bytes(content)
        theirs = timm.create_model(backbone.name, checkpoint_path=str(tried), **backbone.told)
    _compare(backbone, theirs, size, out)
    write_atomically(out, content)
    options = "".join(f", {name}={value!r}" for name, value in backbone.told.items())
    return f"timm.create_model({backbone.name!r}{options}, checkpoint_path={str(out)!r})"


@torch.no_grad()
def _compare(backbone: Backbone, theirs: Any, size: int, out: Path) -> None:
    """Refuse weights of which timm makes a network that sees something else in a picture."""
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    ours = backbone.network(images)
    difference = float((ours - theirs.eval()(images)).abs().max() / ours.abs().max().clamp(min=1))
    if not difference <= TOLERANCE:
        raise HybridFaceError(
            f"{out}: not written: timm's {backbone.name} with these weights differs by "
            f"{difference:.1e} of the largest feature; a newer or older timm may have changed it"
        )
