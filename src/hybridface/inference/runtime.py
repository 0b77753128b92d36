"""The one inference path: pictures in, probabilities out, through ONNX Runtime. No torch here.

A model is one ONNX file. Its input ``images`` takes float32 ``(B, 3, size, size)``, RGB in
[0, 1]; mean and standard deviation are applied inside the graph. It has one output a task, named
by the task, ``(B, K)``: the probabilities of a classification's classes; yaw, pitch and roll of a
pose in degrees; mean and standard deviation of a regression in its own unit. What a user of the
file must know stands as JSON in its metadata property ``hybridface``: the size, the tasks with
their kinds, and the class names in output order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.errors import HybridFaceError, UsageError, unknown
from hybridface.files import digest_of, stamp
from hybridface.images import check, resize
from hybridface.inference.crops import Crop
from hybridface.inference.metadata import (
    METADATA_KEY,
    ModelTask,
    check_graph,
    read_metadata,
    read_tasks,
    unfit,
)
from hybridface.inference.session import CPU, open_session
from hybridface.inference.shipped import find_model

__all__ = ["FaceModel", "ModelTask", "load"]
FAR_OUTSIDE = 0.5


class FaceModel:
    """A trained model, ready to use; made by :meth:`load`. One may serve several threads.

    Attributes:
        path: The ONNX file.
        size: Side in pixels of the pictures that the model takes.
        tasks: The outputs by name.
        crop: What part of a photo around a detected face the model is to be shown.
        self_supervised: Self-supervised heads that were kept in the file, by name, with what it
            takes to deal their pictures; :meth:`answer` runs them.
        metadata: Everything that the file says about itself, as read from its JSON.
    """

    def __init__(self, session: Any, metadata: dict[str, Any], path: Path) -> None:
        self._session = session
        self.path = path
        self._stamp = stamp(path)
        self.metadata = metadata
        self.size, self.tasks = read_tasks(metadata, path)
        try:
            self.crop = Crop.from_metadata(metadata.get("crop"))
        except ValueError as error:
            raise unfit(path, str(error)) from error
        self.self_supervised: dict[str, Any] = metadata.get("self_supervised", {})
        if not isinstance(self.self_supervised, dict):
            raise unfit(path, f"'self_supervised' is {self.self_supervised!r}, expected names")
        check_graph(session, self.size, self.tasks, path)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        providers: Sequence[str] = CPU,
        threads: int | None = None,
    ) -> FaceModel:
        """Load a model.

        Args:
            path: An ONNX file that hybridface wrote, a run folder that holds ``model.onnx``, or
                ``default`` for the model that ships with the package.
            providers: ONNX Runtime's execution providers, the preferred one first.
            threads: How many threads one call may use; None leaves it to ONNX Runtime.

        Raises:
            UsageError: There is no such file, no model in the folder, none that ships in this
                install, no such provider, or ``threads`` is less than 1.
            HybridFaceError: The file is no ONNX model, was not written by hybridface, is of a
                newer format, or does not keep to its format.
        """
        file = find_model(path)
        session = open_session(file, providers, threads)
        text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            raise HybridFaceError(
                f"{file}: an ONNX model without the metadata property '{METADATA_KEY}', so its "
                "classes and its picture size are unknown; expected a model that hybridface wrote"
            )
        return cls(session, read_metadata(text, file), file)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the file; empty where that is gone, or another one was put there since."""
        digest = digest_of(self.path)
        return digest if stamp(self.path) == self._stamp else ""

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
        return self._run(self._checked(images))

    def answer(self, name: str, images: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Run one self-supervised head on pictures that were dealt to it.

        Args:
            name: One of :attr:`self_supervised`.
            images: As in a call: a shuffled puzzle, pictures with holes.

        Returns:
            ``(B, slots, tiles)`` probabilities for a puzzle, ``(B, 3, size, size)`` in [0, 1] for
            in-painting, ``(B, 4)`` probabilities for a rotation.

        Raises:
            UsageError: There is no such head, or as in a call.
            HybridFaceError: ONNX Runtime failed.
        """
        if name not in self.self_supervised:
            raise unknown(f"self-supervised head of {self.path}", name, self.self_supervised)
        return self._run(self._checked(images), [name])[name]

    def _checked(self, images: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
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
        return images.astype(np.float32, copy=False)

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
                check(pictures[start], start)
                yield pictures[start : start + batch_size]
            return
        waiting: list[NDArray[np.uint8]] = []
        for number, picture in enumerate(pictures):
            check(picture, number)
            waiting.append(resize(picture, self.size))
            if len(waiting) == batch_size:
                yield np.stack(waiting)
                waiting.clear()
        if waiting:
            yield np.stack(waiting)

    def _run(
        self, images: NDArray[np.float32], names: Sequence[str] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        names = list(self.tasks if names is None else names)
        try:
            outputs = self._session.run(names, {"images": images})
        except Exception as error:  # ONNX Runtime's errors share no class of their own
            raise HybridFaceError(f"{self.path}: ONNX Runtime failed ({error})") from error
        return {
            name: np.asarray(output, dtype=np.float32)
            for name, output in zip(names, outputs, strict=True)
        }


def load(
    path: str | Path | None = None,
    *,
    providers: Sequence[str] = CPU,
    threads: int | None = None,
) -> FaceModel:
    """Load a model; see :meth:`FaceModel.load`.

    Args:
        path: A model file, a run folder or ``default``; None for the model that ships with the
            package, whatever lies in the working directory.
        providers: ONNX Runtime's execution providers, the preferred one first.
        threads: How many threads one call may use; None leaves it to ONNX Runtime.

    Raises:
        UsageError: As there.
        HybridFaceError: As there.
    """
    return FaceModel.load(find_model(path), providers=providers, threads=threads)
