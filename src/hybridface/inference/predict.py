"""The command line's ``predict``: pictures and videos in, faces out. No torch here."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

from hybridface.errors import HybridFaceError, UsageError, printable
from hybridface.inference.detection import DEFAULT, open_detector
from hybridface.inference.inputs import Input, exists, find_inputs
from hybridface.inference.output import open_writer
from hybridface.inference.photos import FaceReader, Photo
from hybridface.inference.progress import progress
from hybridface.inference.runtime import load
from hybridface.inference.shipped import find_model


def run_predict(
    inputs: Sequence[str | Path],
    model: str | Path | None = None,
    *,
    detect: bool = True,
    detector: str = DEFAULT,
    threshold: float | None = None,
    longest: int | None = None,
    form: str | None = None,
    out: Path | None = None,
    draw: Path | None = None,
    every: int = 1,
    batch_size: int = 16,
    quiet: bool = False,
) -> int:
    """Read the faces of pictures and videos and write the result.

    Only the result goes to standard output; what failed is named on standard error.

    Args:
        inputs: Files, folders, patterns and cameras; see
            :func:`~hybridface.inference.inputs.find_inputs`.
        model: An ONNX file, a run folder or ``default``; None for the model that ships.
        detect: Whether to look for faces; without, each picture is one.
        detector: Which detector; see :func:`~hybridface.inference.detection.open_detector`.
        threshold: The least score of a face.
        longest: Longest side in pixels of what the detector sees.
        form: ``table``, ``jsonl``, ``csv`` or ``parquet``; None for what ``out`` says.
        out: The file that the result goes to.
        draw: A folder for the pictures and videos with what was found drawn into them.
        every: Which frames of a video are read: 1 for all, 2 for every second.
        batch_size: Faces that the model sees, and pictures held, at once.
        quiet: Whether to show no progress.

    Returns:
        The exit code: 0, or 1 where not one input could be read.

    Raises:
        UsageError: No input, no model, or an option that cannot be.
        HybridFaceError: The model cannot be loaded or run, the result cannot be written, or no
            input is there, for which an earlier result is not replaced.
    """
    file = find_model(model)
    found = _checked_inputs(inputs, file, out, every)
    face_model = load(file)
    finder = open_detector(detector, threshold, longest) if detect else None
    reader = FaceReader(face_model, finder, batch_size)
    moves = any(each.moves for each in found)
    tally = Tally()
    names = [each.name for each in found]
    with ExitStack() as held:
        writer = open_writer(form, out, face_model.tasks, names, moves=moves)
        takers = [writer.write]
        if draw is not None:
            from hybridface.inference.draw import Painter

            takers.append(held.enter_context(Painter(draw, face_model.tasks)).paint)
        held.enter_context(writer)
        done = held.enter_context(
            progress("frames" if moves else "pictures", _count(found, every), quiet=quiet)
        )
        for photo in read_inputs(reader, found, every):
            for take in (*takers, tally.add):
                take(photo)
            done()
    print(tally, file=sys.stderr)
    return 0 if tally.read else 1


def _checked_inputs(
    inputs: Sequence[str | Path], model: Path, out: Path | None, every: int
) -> list[Input]:
    """Find what is to be read, and refuse what cannot be before anything is loaded."""
    found = find_inputs(inputs)
    if not found:
        raise UsageError("no input: name pictures, folders, videos, or webcam")
    if out is not None and exists(out):
        files = (each.path for each in found if each.kind != "camera")
        if any(_are_one(out, file) for file in (model, *files)):
            raise UsageError(f"--out: {out} is the model or one of the inputs; name another file")
        if not any(each.kind == "camera" or exists(each.path) for each in found):
            others = ", nor any of the others" * (len(found) > 1)
            raise HybridFaceError(
                f"{found[0].name}: there is no such file or folder{others}; {out} is left as it was"
            )
    if every < 1:
        raise UsageError(f"every: expected 1 or more, got {every}")
    return found


def _are_one(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):  # one that is not there is named when it is read
        return False


def read_inputs(reader: FaceReader, inputs: Sequence[Input], every: int = 1) -> Iterator[Photo]:
    """Read pictures and videos in the order that they are given in.

    Args:
        reader: What reads a picture.
        inputs: What to read.
        every: Which frames of a video.

    Returns:
        An iterator with a :class:`Photo` a picture and a frame; what cannot be read comes as one
        with an error.
    """
    for moves, group in groupby(inputs, lambda each: each.moves):
        if not moves:
            yield from reader.read_files(group)
            continue
        from hybridface.inference.video import read_video

        for each in group:
            yield from read_video(reader, each, every)


def _count(inputs: Sequence[Input], every: int) -> int | None:
    """Return how many pictures and frames there are; None where a camera is among them."""
    if not any(each.moves for each in inputs):
        return len(inputs)
    from hybridface.inference.video import count_frames

    counts = [count_frames(each, every) if each.moves else 1 for each in inputs]
    return None if None in counts else sum(count or 0 for count in counts)


class Tally:
    """Counts what was read; names what failed on standard error at once."""

    def __init__(self) -> None:
        self.read = self.faces = self.without = self.failed = 0

    def add(self, photo: Photo) -> None:
        """Count a picture or frame."""
        if photo.error is not None:
            self.failed += 1
            print(printable(f"warning: {photo.name}: {photo.error}"), file=sys.stderr)
            return
        self.read += 1
        self.faces += len(photo.faces)
        self.without += not photo.faces

    def __str__(self) -> str:
        without = f", {self.without} without one" if self.without else ""
        failed = f", {self.failed} not read" if self.failed else ""
        return f"{self.faces} faces in {self.read} pictures{without}{failed}"
