"""From torch to ONNX: only the heads that are kept at inference, decoding in the graph."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

import hybridface
from hybridface.errors import HybridFaceError
from hybridface.files import cannot_write
from hybridface.inference.runtime import FaceModel
from hybridface.network.model import HybridModel
from hybridface.tasks.base import Task

FORMAT = 1
TOLERANCE = 1e-4


class ExportError(HybridFaceError):
    """A model cannot be made an ONNX file, or would say something else as one."""


class ExportedModel(nn.Module):
    """The part of a model that is used: pictures in, one decoded output a kept task.

    Args:
        model: The model.
        tasks: Its tasks.
        keep_ssl_heads: Whether the self-supervised tasks are kept as well.
    """

    def __init__(
        self, model: HybridModel, tasks: Sequence[Task], *, keep_ssl_heads: bool = False
    ) -> None:
        super().__init__()
        self.model = model
        self.kept = [task for task in tasks if task.kept_at_inference or keep_ssl_heads]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the decoded outputs for ``(B, 3, H, W)`` in [0, 1]."""
        features = self.model.features(images)
        return tuple(task.decode(self.model.heads[task.name](features)) for task in self.kept)


def export_onnx(
    model: HybridModel,
    tasks: Sequence[Task],
    examples: Tensor,
    path: Path,
    *,
    trained_on: str,
    keep_ssl_heads: bool = False,
    about: Mapping[str, Any] = {},
) -> float:
    """Write a model for use and check it against torch.

    Args:
        model: The model; it is put in evaluation mode.
        tasks: Its tasks.
        examples: ``(B, 3, size, size)`` pictures in [0, 1] of the kind that the model is for.
        path: Where to write.
        trained_on: The data, for the metadata.
        keep_ssl_heads: Whether the self-supervised heads are kept; the metadata names them under
            ``self_supervised``, with what it takes to deal their pictures.
        about: More entries of the metadata.

    Returns:
        The largest difference between an ONNX Runtime output and torch's on the examples, of
        poses between their rotation matrices, of numbers in the label's deviations.

    Raises:
        ExportError: The export fails, or the outputs differ by more than 1e-4.
        HybridFaceError: The file cannot be written.
    """
    module = ExportedModel(model.eval(), tasks, keep_ssl_heads=keep_ssl_heads).cpu()
    model.backbone.with_maps = any(task.reads_maps for task in module.kept)
    names = [task.name for task in module.kept]
    temporary = path.with_name(f".{path.stem}.new.onnx")
    size = examples.shape[-1]
    try:
        with warnings.catch_warnings(), _attention_in_plain_steps(module):
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            program = torch.onnx.export(
                module,
                (torch.zeros(2, 3, size, size),),
                input_names=["images"],
                output_names=names,
                dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
                dynamo=True,
                verbose=False,
            )
        assert program is not None
        proto = program.model_proto
    except Exception as error:  # the exporter raises nearly anything
        raise ExportError(f"{path}: the model cannot be exported: {_first_cause(error)}") from error
    entry = proto.metadata_props.add()
    metadata = _metadata(model, module.kept, size, trained_on) | dict(about)
    entry.key, entry.value = "hybridface", json.dumps(metadata)
    try:
        onnx.save(proto, temporary)
        difference = _check(module, temporary, examples)
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    except HybridFaceError as error:
        raise ExportError(str(error).replace(str(temporary), str(path))) from error
    finally:
        temporary.unlink(missing_ok=True)
    return difference


@contextmanager
def _attention_in_plain_steps(module: nn.Module) -> Iterator[None]:
    """Let timm's attention take products and a softmax, as the exporter knows its own of 4D alone.

    The sums are the same; networks with windows, as Hiera and MaxViT, cannot be exported else.
    """
    parts: Iterable[Any] = module.modules()
    fused = [part for part in parts if getattr(part, "fused_attn", False) is True]
    for part in fused:
        part.fused_attn = False
    try:
        yield
    finally:
        for part in fused:
            part.fused_attn = True


def _first_cause(error: BaseException) -> str:
    """Say in a line what an error, which the exporter has wrapped several times, began with."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__


def _metadata(
    model: HybridModel, kept: Sequence[Task], size: int, trained_on: str
) -> dict[str, object]:
    ssl = {task.name: task.describe() for task in kept if not task.kept_at_inference}
    return {
        "format": FORMAT,
        "version": hybridface.__version__,
        "size": size,
        "channels": "RGB",
        "range": [0, 1],
        "mean": [round(value, 6) for value in model.mean.flatten().tolist()],
        "std": [round(value, 6) for value in model.std.flatten().tolist()],
        "normalised_in_graph": True,
        "backbone": model.backbone.name,
        "trained_on": trained_on,
        "tasks": {task.name: task.describe() for task in kept if task.kept_at_inference},
        **({"self_supervised": ssl} if ssl else {}),
    }


def _check(module: ExportedModel, path: Path, examples: Tensor) -> float:
    """Compare ONNX Runtime with torch.

    Real pictures only: far from what it was trained on a network's activations can grow until
    float32 itself decides the outcome.
    """
    with torch.no_grad():
        outputs = module(examples.contiguous())
    pictures = examples.contiguous().numpy()
    loaded = FaceModel.load(path)
    found = loaded(pictures)
    found |= {name: loaded.answer(name, pictures) for name in loaded.self_supervised}
    worst = max(
        float(np.abs(task.comparable(found[task.name]) - task.comparable(out.numpy())).max())
        for task, out in zip(module.kept, outputs, strict=True)
    )
    if not worst <= TOLERANCE:
        raise HybridFaceError(f"{path}: ONNX Runtime and torch differ by {worst:.2g}")
    return worst
