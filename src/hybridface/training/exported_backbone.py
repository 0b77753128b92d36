"""The backbone of an exported model as the start of a training.

An exported model has its batch norms folded into the convolutions before them, as it is faster so.
To train on, each gets its place back: batch norm takes the mean and the deviation out of what comes
in, and a scale and a shift that are just these put them back, so that it changes nothing at first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hybridface.errors import UsageError
from hybridface.inference.runtime import FaceModel
from hybridface.network.backbones import Backbone

PREFIX = "model.backbone."


@torch.no_grad()
def load_exported_backbone(backbone: Backbone, path: Path, pictures: Iterable[Tensor]) -> None:
    """Read the backbone of an exported model into another of the same kind.

    Args:
        backbone: Its weights and buffers are overwritten; each module of it stays in its mode.
        path: ``model.onnx`` of a run, or what ``hybridface export`` wrote, but for ``int8``.
        pictures: One batch or more, ``(B, 3, H, W)``, of normalised pictures of the kind that it
            is to be trained on: their means and deviations are those that batch norm starts with.

    Raises:
        HybridFaceError: The file cannot be read, or hybridface did not write it.
        UsageError: It holds another network, or not the weights that a training needs.
    """
    name, found = _read(path)
    if name != backbone.name:
        raise UsageError(
            f"backbone.checkpoint: {path}: its backbone is {name}, not {backbone.name}; train it "
            f"on by backbone.name={name}"
        )
    first, *others = pictures
    with _in_use(backbone):
        folded = _fill(backbone, path, name, found, first[:1])
        _spread(backbone, folded, chain([first], others))


@contextmanager
def _in_use(backbone: Backbone) -> Iterator[None]:
    """Let a backbone be in evaluation mode; Lightning trains each module in the mode it finds."""
    modes = [(module, module.training) for module in backbone.modules()]
    backbone.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _fill(
    backbone: Backbone, path: Path, name: str, found: dict[str, Tensor], picture: Tensor
) -> list[tuple[_BatchNorm, Tensor]]:
    """Give a backbone the weights of a file; return each batch norm that adds a shift, and that."""
    folded = []
    for norm, module, convolution in _norms_after_convolutions(backbone, picture):
        bias = found.get(f"{convolution}.bias")
        if f"{norm}.weight" in found or bias is None:
            continue
        folded.append((module, bias))
        zero, one = torch.zeros_like(bias), torch.ones_like(bias)
        said = _undone(module, bias, zero, one)
        found |= {f"{norm}.{key}": value for key, value in said.items()}
        found[f"{convolution}.bias"] = zero
    ours = backbone.state_dict()
    counted = {key for key in ours if key.endswith("num_batches_tracked")}
    missing = [
        key
        for key, value in ours.items()
        if key not in counted and (key not in found or found[key].shape != value.shape)
    ]
    if missing:
        raise UsageError(
            f"backbone.checkpoint: {path}: {len(missing)} weights of {name} are not in it as they "
            f"are trained, the first is {missing[0]}; start from a run's folder (an export has "
            "the linear layers of transformers in another form), or from a file in another "
            "precision than int8"
        )
    backbone.load_state_dict({key: found.get(key, value) for key, value in ours.items()})
    return folded


def _read(path: Path) -> tuple[str, dict[str, Tensor]]:
    """Return the name of a file's backbone, and its weights by their names in it."""
    metadata = FaceModel.load(path, threads=1).metadata  # refuses what is damaged or something else
    proto = onnx.load(path)
    values = {each.name: each for each in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type == "Cast" and node.input[0] in values:  # what is stored in half
            values[node.output[0]] = values[node.input[0]]
    weights = {
        name.removeprefix(PREFIX): torch.from_numpy(
            onnx.numpy_helper.to_array(each).astype(np.float32)
        )
        for name, each in values.items()
    }
    for node in proto.graph.node:  # a bias may have any name, and is left out where it is 0
        weight = weights.get(node.input[1].removeprefix(PREFIX)) if node.op_type == "Conv" else None
        if weight is not None:
            bias = node.input[2].removeprefix(PREFIX) if len(node.input) == 3 else ""
            convolution = node.input[1].removeprefix(PREFIX).removesuffix(".weight")
            weights[f"{convolution}.bias"] = weights.get(bias, weight.new_zeros(len(weight)))
    return str(metadata.get("backbone")), weights


def _norms_after_convolutions(
    backbone: Backbone, picture: Tensor
) -> list[tuple[str, _BatchNorm, str]]:
    """Return each batch norm that a convolution feeds: its name, itself, the convolution's name."""
    gave: dict[int, tuple[str, Tensor]] = {}  # with the tensor, so that no other takes its id
    fed = []

    def note(name: str, _: nn.Module, __: object, output: Tensor) -> None:
        gave[id(output)] = (name, output)

    def ask(name: str, module: _BatchNorm, given: tuple[Tensor, ...]) -> None:
        if id(given[0]) in gave:
            fed.append((name, module, gave[id(given[0])][0]))

    hooks = []
    for name, module in backbone.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(partial(note, name)))
        elif isinstance(module, _BatchNorm):
            hooks.append(module.register_forward_pre_hook(partial(ask, name)))
    backbone(picture)
    for hook in hooks:
        hook.remove()
    return fed


def _undone(norm: _BatchNorm, shift: Tensor, mean: Tensor, variance: Tensor) -> dict[str, Tensor]:
    """Return what makes a batch norm of these statistics add a shift, in use, and nothing else."""
    scale = (variance + norm.eps).sqrt()
    return {"weight": scale, "bias": shift + mean, "running_mean": mean, "running_var": variance}


def _spread(
    backbone: Backbone, folded: list[tuple[_BatchNorm, Tensor]], pictures: Iterable[Tensor]
) -> None:
    """Give batch norms that only add a shift the statistics of what comes into them."""
    sums = {module: torch.zeros(3, len(bias), dtype=torch.float64) for module, bias in folded}

    def count(module: _BatchNorm, given: tuple[Tensor, ...]) -> None:
        values = given[0].double().transpose(0, 1).flatten(1)
        numbers = torch.full_like(values[:, 0], values.shape[1])
        sums[module] += torch.stack([numbers, values.sum(1), values.square().sum(1)])

    hooks = [module.register_forward_pre_hook(count) for module, _ in folded]
    for batch in pictures:
        backbone(batch)
    for hook in hooks:
        hook.remove()
    for module, bias in folded:
        number, total, squares = sums[module]
        mean = total / number
        variance = (squares / number - mean.square()).clamp(min=0)
        module.load_state_dict(_undone(module, bias, mean, variance), strict=False)
