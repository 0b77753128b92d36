"""Smaller copies of an exported model: half precision, and whole numbers of eight bits."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from hybridface.errors import HybridFaceError

Precision = Literal["fp32", "fp16", "fp16-stored", "int8"]
BATCH = 16
LEAST_STORED = 256
LARGEST_HALF = float(np.finfo(np.float16).max)
# A Clip or Relu left in float would part two convolutions that could run in eight bits as one.
QUANTIZED = ["Conv", "MatMul", "Clip", "Relu"]
KEPT_CONVOLUTIONS = 4  # of few channels: they lose most by rounding, and cost little


def convert(model: Path, out: Path, precision: Precision, pictures: NDArray[np.float32]) -> None:
    """Write a copy of a float32 model in another precision; metadata, input and outputs stay.

    Args:
        model: The float32 model.
        out: Where to write.
        precision: ``fp16``, weights and arithmetic in half precision; ``fp16-stored``, weights in
            half precision, which ONNX Runtime widens once as it loads the file, so that the file
            is half as large and runs as fast as float32; ``int8``, weights by channel and
            activations in eight bits (static, QDQ), their ranges taken from the pictures; weights
            use seven of the bits, so that their products fit processors without VNNI. The first
            four convolutions, the heads and what decodes the outputs stay float32.
        pictures: ``(N, 3, size, size)`` float32 in [0, 1] of the kind that the model is for.

    Raises:
        HybridFaceError: ONNX Runtime's tools fail.
    """
    said = io.StringIO()
    level = logging.getLogger().level
    try:
        logging.getLogger().setLevel(logging.ERROR)  # they advise on what is done already
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            _WAYS[precision](model, out, pictures)
    except Exception as error:  # the tools raise nearly anything
        raise HybridFaceError(f"{out}: cannot be converted to {precision}: {error}") from error
    finally:
        logging.getLogger().setLevel(level)
    converted = onnx.load(out)
    properties = {entry.key: entry.value for entry in onnx.load(model).metadata_props}
    onnx.helper.set_model_props(converted, properties)
    onnx.save(converted, out)


def _to_half(model: Path, out: Path, pictures: NDArray[np.float32]) -> None:
    tools: Any = importlib.import_module("onnxruntime.transformers.float16")
    # Shares and angles are small numbers and differences of them: they are decoded in float32.
    kept = ["Softmax", "Atan", "Acos", "Asin", "Sqrt", "ReduceSum", "Div", "Softplus", "Max", "Log"]
    half = tools.convert_float_to_float16(onnx.load(model), keep_io_types=True, op_block_list=kept)
    onnx.save(half, out)


def _to_half_stored(model: Path, out: Path, pictures: NDArray[np.float32]) -> None:
    proto = onnx.load(model)
    widen = []
    for weight in proto.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        fits = values.dtype == np.float32 and values.size >= LEAST_STORED
        if not fits or np.abs(values).max() > LARGEST_HALF:
            continue
        name, half = weight.name, f"{weight.name}_half"
        weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), half))
        widen.append(onnx.helper.make_node("Cast", [half], [name], to=onnx.TensorProto.FLOAT))
    others = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([*widen, *others])
    onnx.save(proto, out)


def _to_eight_bits(model: Path, out: Path, pictures: NDArray[np.float32]) -> None:
    tools: Any = importlib.import_module("onnxruntime.quantization")
    shapes: Any = importlib.import_module("onnxruntime.quantization.shape_inference")
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.onnx"
        shapes.quant_pre_process(model, ready, skip_symbolic_shape=True)
        nodes = onnx.load(ready, load_external_data=False).graph.node  # in the order of their use
        convolutions = [node.name for node in nodes if node.op_type == "Conv"]
        tools.quantize_static(
            ready,
            out,
            _Batches(pictures),
            op_types_to_quantize=QUANTIZED,
            per_channel=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            reduce_range=True,
            nodes_to_exclude=convolutions[:KEPT_CONVOLUTIONS],
        )


_WAYS = {"fp16": _to_half, "fp16-stored": _to_half_stored, "int8": _to_eight_bits}


class _Batches:
    """Gives pictures a batch at a time, as ONNX Runtime's calibration asks for them."""

    def __init__(self, pictures: NDArray[np.float32]) -> None:
        self.pictures = pictures
        self.starts = iter(range(0, len(pictures), BATCH))

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        start = next(self.starts, None)
        return None if start is None else {"images": self.pictures[start : start + BATCH]}
