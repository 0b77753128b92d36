"""Opening ONNX Runtime on a model file, for face models and detectors alike. No torch here."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hybridface.errors import HybridFaceError, UsageError, unknown

CPU = ("CPUExecutionProvider",)


def open_session(path: Path, providers: Sequence[str] = CPU, threads: int | None = None) -> Any:
    """Open an ONNX file.

    Args:
        path: The file.
        providers: ONNX Runtime's execution providers, the preferred one first.
        threads: How many threads one call may use; None leaves it to ONNX Runtime.

    Returns:
        An ``onnxruntime.InferenceSession``.

    Raises:
        UsageError: There is no such provider, or ``threads`` is less than 1.
        HybridFaceError: The file is no ONNX model.
    """
    onnxruntime: Any = importlib.import_module("onnxruntime")  # only here: importing it is slow
    known = onnxruntime.get_available_providers()
    for provider in providers:
        if provider not in known:
            raise unknown("execution provider of this ONNX Runtime", provider, known)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: they are raised, and stderr stays readable
    if threads is not None:
        if threads < 1:
            raise UsageError(f"threads: expected at least 1, got {threads}")
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(path, options, providers=list(providers))
    except Exception as error:  # ONNX Runtime's errors share no class of their own
        raise HybridFaceError(
            f"{path}: not a model that ONNX Runtime can load; expected an ONNX file that "
            f"hybridface wrote, whole ({error})"
        ) from error
