"""Model files small enough to check by hand: mean colour -> linear -> softmax."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIZE = 8
MEAN, DEVIATION = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
EXPRESSIONS = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")
COLOURS = ("red", "green", "blue")


def metadata_of(of: Mapping[str, Sequence[str]], /, **changes: Any) -> dict[str, Any]:
    named = {
        name: {"kind": "classification", "classes": list(classes)} for name, classes in of.items()
    }
    metadata = {
        "format": 1,
        "version": "0.1.0",
        "size": SIZE,
        "channels": "RGB",
        "range": [0, 1],
        "mean": list(MEAN),
        "std": list(DEVIATION),
        "normalised_in_graph": True,
        "backbone": "mean_colour",
        "trained_on": "nothing",
        "tasks": named,
    }
    return {**metadata, **changes}


def weights_of(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(3, count)).astype(np.float32)


def write_model(
    path: Path,
    tasks: Mapping[str, Sequence[str]],
    weights: Mapping[str, NDArray[np.float32]] | None = None,
    metadata: Any = None,
    batch: str | int = "batch",
) -> Path:
    """Write a model; ``weights`` are (3, K) by task, ``metadata`` JSON text or what dumps to it."""
    constants = {
        "mean": np.array(MEAN, np.float32).reshape(1, 3, 1, 1),
        "deviation": np.array(DEVIATION, np.float32).reshape(1, 3, 1, 1),
    }
    nodes = [
        helper.make_node("Sub", ["images", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "deviation"], ["scaled"]),
        helper.make_node("GlobalAveragePool", ["scaled"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
    ]
    outputs = []
    for seed, (name, classes) in enumerate(tasks.items()):
        matrix = weights[name] if weights else weights_of(len(classes), seed)
        constants[f"{name}_weights"] = matrix.astype(np.float32)
        nodes += [
            helper.make_node("MatMul", ["features", f"{name}_weights"], [f"{name}_logits"]),
            helper.make_node("Softmax", [f"{name}_logits"], [name], axis=1),
        ]
        outputs.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", matrix.shape[1]])
        )
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, SIZE, SIZE])],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata is not False:
        said = metadata_of(tasks) if metadata is None else metadata
        text = said if isinstance(said, str) else json.dumps(said)
        helper.set_model_props(model, {"hybridface": text})
    onnx.save(model, path)
    return path


def write_colour_model(path: Path, classes: Sequence[str] = COLOURS) -> Path:
    """Write a model that tells red, green and blue pictures apart with near certainty."""
    weights = np.eye(3, dtype=np.float32)[:, [COLOURS.index(name) for name in classes]]
    return write_model(path, {"colour": classes}, {"colour": weights * 3})


def expected(pixels: NDArray[np.uint8], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the (K,) probabilities for one (SIZE, SIZE, 3) picture, in float64."""
    colour = (pixels.reshape(-1, 3).astype(np.float64) / 255).mean(axis=0)
    logits = (colour - MEAN) / DEVIATION @ weights.astype(np.float64)
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
