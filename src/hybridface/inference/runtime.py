"""The one inference path: pictures in, probabilities out, through ONNX Runtime. No torch here.

A model is one ONNX file. Its input ``images`` takes float32 ``(B, 3, size, size)``, RGB in
[0, 1]; mean and standard deviation are applied inside the graph. It has one output a task, named
by the task, ``(B, K)``: the probabilities of a classification's classes; yaw, pitch and roll of a
pose in degrees; mean and standard deviation of a regression in its own unit. What a user of the
file must know stands as JSON in its metadata property ``hybridface``: the size, the tasks with
their kinds, and the class names in output order.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.errors import HybridFaceError, UsageError, unknown
from hybridface.images import resize

METADATA_KEY = "hybridface"
MODEL_FILE = "model.onnx"
FORMAT = 1
KINDS = ("classification", "pose", "regression")
COLUMNS = {"pose": ("yaw", "pitch", "roll"), "regression": ("mean", "deviation")}
FIXED = {"channels": "RGB", "range": [0, 1], "normalised_in_graph": True}
FAR_OUTSIDE = 0.5


@dataclass(frozen=True)
class ModelTask:
    """One output of a model.

    Attributes:
        kind: What the output means: ``classification``, one probability a class; ``pose``, yaw,
            pitch and roll in degrees; ``regression``, a mean and a standard deviation.
        classes: Class names in the order of the output's columns; none but for a classification.
        unit: What the numbers of a regression are counted in, such as ``years``.
    """

    kind: str
    classes: tuple[str, ...] = ()
    unit: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Return what the columns of the output are called."""
        return COLUMNS.get(self.kind, self.classes)


class FaceModel:
    """A trained model, ready to use; made by :meth:`load`. One may serve several threads.

    Attributes:
        path: The ONNX file.
        size: Side in pixels of the pictures that the model takes.
        tasks: The outputs by name.
        metadata: Everything that the file says about itself, as read from its JSON.
    """

    def __init__(self, session: Any, metadata: dict[str, Any], path: Path) -> None:
        self._session = session
        self.path = path
        self.metadata = metadata
        self.size, self.tasks = _read_tasks(metadata, path)
        _check_graph(session, self.size, self.tasks, path)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        threads: int | None = None,
    ) -> FaceModel:
        """Load a model.

        Args:
            path: An ONNX file that hybridface wrote, or a run folder that holds ``model.onnx``.
            providers: ONNX Runtime's execution providers, the preferred one first.
            threads: How many threads one call may use; None leaves it to ONNX Runtime.

        Raises:
            UsageError: There is no such file, no model in the folder, no such provider, or
                ``threads`` is less than 1.
            HybridFaceError: The file is no ONNX model, was not written by hybridface, is of a
                newer format, or does not keep to its format.
        """
        file = _find(Path(path).expanduser())
        session = _open_session(file, providers, threads)
        text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            raise HybridFaceError(
                f"{file}: an ONNX model without the metadata property '{METADATA_KEY}', so its "
                "classes and its picture size are unknown; expected a model that hybridface wrote"
            )
        return cls(session, _read_metadata(text, file), file)

    def __call__(self, images: NDArray[np.floating[Any]]) -> dict[str, NDArray[np.float32]]:
        """Run the model on one batch.

        Args:
            images: ``(B, 3, size, size)`` floating point, RGB in [0, 1].

        Returns:
            For each task ``(B, K)`` float32, with its :attr:`ModelTask.columns`.

        Raises:
            UsageError: The shape or type is another, or values lie far outside [0, 1].
            HybridFaceError: ONNX Runtime failed.
        """
        expected = f"float (B, 3, {self.size}, {self.size}) in [0, 1]"
        if images.shape[1:] != (3, self.size, self.size) or images.dtype.kind != "f":
            raise UsageError(
                f"images: expected {expected}, got {images.dtype} {images.shape}; "
                "FaceModel.predict takes uint8 pictures of any size"
            )
        if images.size and (images.min() < -FAR_OUTSIDE or images.max() > 1 + FAR_OUTSIDE):
            raise UsageError(
                f"images: expected {expected}, got values from {images.min():g} to "
                f"{images.max():g}; divide by 255, and leave mean and deviation to the model"
            )
        return self._run(images.astype(np.float32, copy=False))

    def predict(
        self, pictures: Iterable[NDArray[np.uint8]], batch_size: int = 64
    ) -> dict[str, NDArray[np.float32]]:
        """Run the model on pictures of any size, resized as in training, batch by batch.

        No more than ``batch_size`` pictures are held at a time beside what ``pictures`` holds, so
        it may be a generator. One uint8 array ``(N, size, size, 3)``, memory-mapped or not, is
        taken in slices without going through its pictures one by one.

        Args:
            pictures: RGB pictures, each uint8 ``(H, W, 3)``.
            batch_size: How many pictures the model sees at once.

        Returns:
            For each task ``(N, K)`` float32, with its :attr:`ModelTask.columns`.

        Raises:
            UsageError: A picture has another shape or type, or ``batch_size`` is less than 1.
            HybridFaceError: ONNX Runtime failed.
        """
        if batch_size < 1:
            raise UsageError(f"batch_size: expected at least 1, got {batch_size}")
        parts: dict[str, list[NDArray[np.float32]]] = {
            name: [np.zeros((0, len(task.columns)), np.float32)]
            for name, task in self.tasks.items()
        }
        for block in self._blocks(pictures, batch_size):
            channels_first = np.ascontiguousarray(block.transpose(0, 3, 1, 2), dtype=np.float32)
            channels_first /= np.float32(255)
            for name, output in self._run(channels_first).items():
                parts[name].append(output)
        return {name: np.concatenate(blocks) for name, blocks in parts.items()}

    def _blocks(
        self, pictures: Iterable[NDArray[np.uint8]], batch_size: int
    ) -> Iterator[NDArray[np.uint8]]:
        """Cut into uint8 ``(B, size, size, 3)`` of at most ``batch_size`` pictures."""
        if isinstance(pictures, np.ndarray) and pictures.shape[1:] == (self.size, self.size, 3):
            for start in range(0, len(pictures), batch_size):
                _check_picture(pictures[start], start)
                yield pictures[start : start + batch_size]
            return
        waiting: list[NDArray[np.uint8]] = []
        for number, picture in enumerate(pictures):
            _check_picture(picture, number)
            waiting.append(resize(picture, self.size))
            if len(waiting) == batch_size:
                yield np.stack(waiting)
                waiting.clear()
        if waiting:
            yield np.stack(waiting)

    def _run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        names = list(self.tasks)
        try:
            outputs = self._session.run(names, {"images": images})
        except Exception as error:  # ONNX Runtime's errors share no class of their own
            raise HybridFaceError(f"{self.path}: ONNX Runtime failed ({error})") from error
        return {
            name: np.asarray(output, dtype=np.float32)
            for name, output in zip(names, outputs, strict=True)
        }


def _check_picture(picture: NDArray[np.uint8], number: int) -> None:
    shape, dtype = np.shape(picture), getattr(picture, "dtype", type(picture).__name__)
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
        raise UsageError(
            f"picture {number}: expected uint8 (H, W, 3), got {dtype} {shape}; "
            "a single picture goes into a list"
        )


def _find(path: Path) -> Path:
    """Return the model's file, given that file or the run folder around it."""
    try:
        is_folder = path.is_dir()
        file = path / MODEL_FILE if is_folder else path
        if file.is_file():
            return file
    except OSError as error:  # too long a name, a folder that may not be entered
        raise UsageError(f"{path}: cannot be opened ({error.strerror})") from error
    if is_folder:
        raise UsageError(
            f"{path}: holds no {MODEL_FILE}, which a run writes at its end; if this is a run's "
            "folder, let the run finish or resume it, else name a run's folder or a .onnx file"
        )
    raise UsageError(f"{path}: does not exist; expected a .onnx file or the folder of a run")


def _open_session(path: Path, providers: Sequence[str], threads: int | None) -> Any:
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


def _unfit(path: Path, what: str) -> HybridFaceError:
    return HybridFaceError(f"{path}: metadata property '{METADATA_KEY}': {what}; export it again")


def _read_metadata(text: str, path: Path) -> dict[str, Any]:
    """Parse the JSON and refuse what this version cannot feed."""
    try:
        metadata = json.loads(text)
    except ValueError as error:
        raise _unfit(path, f"not JSON ({error})") from error
    if not isinstance(metadata, dict) or not isinstance(metadata.get("format"), int):
        raise _unfit(path, "expected a JSON object with a whole number 'format'")
    if metadata["format"] > FORMAT:
        writer = metadata.get("version", "unknown")
        raise HybridFaceError(
            f"{path}: model format {metadata['format']}, written by hybridface {writer}, is newer "
            f"than format {FORMAT} that this version reads: pip install --upgrade hybridface"
        )
    for key, value in FIXED.items():
        if metadata.get(key, value) != value:
            raise _unfit(path, f"'{key}' is {metadata[key]!r}, expected {value!r}")
    return metadata


def _read_tasks(metadata: dict[str, Any], path: Path) -> tuple[int, dict[str, ModelTask]]:
    size, tasks = metadata.get("size"), metadata.get("tasks")
    if not isinstance(size, int) or size < 1:
        raise _unfit(path, f"'size' is {size!r}, expected a number of pixels")
    if not isinstance(tasks, dict) or not tasks:
        raise _unfit(path, f"'tasks' is {tasks!r}, expected at least one task by name")
    found = {}
    for name, task in tasks.items():
        about = task if isinstance(task, dict) else {}
        kind, classes, unit = about.get("kind"), about.get("classes"), about.get("unit", "")
        if kind not in KINDS:
            raise _unfit(path, f"task '{name}' is of kind {kind!r}, known: {', '.join(KINDS)}")
        if kind in COLUMNS:
            found[name] = ModelTask(kind, unit=str(unit))
            continue
        named = isinstance(classes, list) and all(isinstance(each, str) for each in classes)
        if not named or not classes or len(set(classes)) != len(classes):
            raise _unfit(path, f"task '{name}' has classes {classes!r}, expected different names")
        found[name] = ModelTask(kind, tuple(classes))
    return size, found


def _check_graph(session: Any, size: int, tasks: dict[str, ModelTask], path: Path) -> None:
    """Hold what the graph takes and gives against what the metadata says."""
    inputs = [(each.name, each.type, list(each.shape)) for each in session.get_inputs()]
    fits = len(inputs) == 1 and inputs[0][:2] == ("images", "tensor(float)")
    shape = inputs[0][2] if fits else []
    if not fits or len(shape) != 4 or isinstance(shape[0], int) or shape[1:] != [3, size, size]:
        raise _unfit(
            path,
            f"the model takes {inputs}, expected one input 'images', tensor(float), "
            f"['batch', 3, {size}, {size}]",
        )
    outputs = {each.name: list(each.shape) for each in session.get_outputs()}
    for name, task in tasks.items():
        shape, columns = outputs.get(name, []), len(task.columns)
        if len(shape) != 2 or (isinstance(shape[1], int) and shape[1] != columns):
            raise _unfit(
                path,
                f"the model gives {outputs}, expected an output '{name}' ['batch', {columns}] "
                "for the task of that name",
            )
