"""Biwi Kinect Head Pose Database (Fanelli et al., IJCV 2013): sequences of frames with matrices."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hybridface.data.source import NumericLabels, Rows, Source, SourceOptions
from hybridface.data.sources.label_files import (
    first_folder,
    floats,
    key,
    names_in,
    read_bytes,
    read_each,
)
from hybridface.data.sources.tables import Tally, no_usable_row
from hybridface.errors import DataError
from hybridface.rotations import ANGLES, to_angles

_PLACES = ("", "hpdb", "faces_0", "kinect_head_pose_db", "kinect_head_pose_db/hpdb")
_SEQUENCE = re.compile(r"[0-9]{2}")
_FRAME = re.compile(r"frame_[0-9]{1,9}_rgb\.(png|jpg)", re.IGNORECASE)
# Sequences of people who were recorded before, by the data set's readme.
SECOND_TIMES = {15: 3, 18: 5, 21: 2, 22: 7}
# What rgb.cal of sequence 12 says, for sequences without one: the camera's matrix, then where the
# colour camera stands from the depth camera.
_CAMERA = np.array([[517.679, 0, 320], [0, 517.679, 240.5], [0, 0, 1]])
_OFFSET = np.array([-24.0198, 5.8896, -13.2308])

Floats = NDArray[np.float64]
Camera = tuple[Floats, Floats, Floats]


class BiwiOptions(SourceOptions):
    """How faces are cut out.

    Attributes:
        width: Side in mm of what is cut out around the centre of the head.
    """

    width: float = Field(240.0, gt=0, le=2000)


class Biwi(Source):
    """Colour frames with the head's rotation and place; the layout has no splits.

    ``frame_XXXXX_pose.txt`` holds a matrix, which turns points of the head to the depth camera's
    axes (right, down, far), and the centre of the head in mm on them. A frontal head has the
    identity. With ``F = diag(1, -1, -1)`` the matrix in the axes of :mod:`hybridface.rotations` is
    ``F M F``; its angles in the order of 300W-LP are the ones that head pose papers since Hopenet
    report on this data set.

    The face is a square around the projected centre, through the sequence's ``rgb.cal`` (camera
    matrix, rotation and translation from the depth camera) where it is there.

    A copy with the frames as JPEG, as fast.ai gives it, is read too.

    A group is a person: 20 people stand in 24 sequences, of whom the readme says that sequences
    15, 18, 21 and 22 show those of 3, 5, 2 and 7. Meshes and depth are passed over.
    """

    kind = "biwi"
    layout = (
        "PATH/NN/frame_XXXXX_rgb.png (or .jpg) with frame_XXXXX_pose.txt beside it (3 x 3 numbers "
        "of the rotation, 3 of the centre in mm) and NN/rgb.cal; or these below PATH/hpdb, "
        "PATH/faces_0 or PATH/kinect_head_pose_db"
    )
    Options = BiwiOptions
    options: BiwiOptions

    def read(self) -> Rows:
        """Read the label files; see :meth:`hybridface.data.source.Source.read`."""
        tally = Tally()
        inside = first_folder(self, _PLACES, _SEQUENCE.fullmatch)
        keys, sequences, cameras, notes = self._frames(inside, tally)
        poses = [f"{name[: -len('_rgb.png')]}_pose.txt" for name in keys]
        values, wrong = read_each(self.root, poses, _parse, 12, memory="biwi 1")
        for place, what in wrong.items():
            tally.add(keys[place], f"its file of the pose {what}; row left out")
        kept = [row for row in range(len(keys)) if row not in wrong]
        if not kept:
            raise self.refuse(no_usable_row(self.root / inside, tally.problems(), "no picture"))
        sequence = np.array(sequences, dtype=np.int64)[kept]
        values = values[kept]
        flip = np.diag([1.0, -1.0, -1.0])
        pose = to_angles(flip @ values[:, :9].reshape(-1, 3, 3) @ flip)
        boxes = np.empty((len(kept), 4), dtype=np.float32)
        for number, camera in cameras.items():
            here = sequence == number
            boxes[here] = project(values[here, 9:], camera, self.options.width)
        return Rows(
            [keys[row] for row in kept],
            np.full(len(kept), "", dtype="U5"),
            {},
            group=np.array([SECOND_TIMES.get(number, number) for number in sequence.tolist()]),
            problems=tally.problems(),
            notes=notes,
            numeric={"pose": NumericLabels(ANGLES, pose.astype(np.float32), "degrees")},
            boxes=boxes,
        )

    def _frames(
        self, inside: str, tally: Tally
    ) -> tuple[list[str], list[int], dict[int, Camera], list[str]]:
        keys: list[str] = []
        sequences: list[int] = []
        cameras: dict[int, Camera] = {}
        without = []
        for folder in filter(_SEQUENCE.fullmatch, names_in(self.root / inside)):
            names = names_in(self.root / inside / folder)
            # A frame in both formats is taken once, as PNG, which comes later by name.
            found = {name[:-4]: name for name in names if _FRAME.fullmatch(name)}
            frames = [key(inside, folder, name) for name in found.values()]
            keys += frames
            sequences += [int(folder)] * len(frames)
            cameras[int(folder)] = _CAMERA, np.eye(3), _OFFSET
            if "rgb.cal" not in names:
                without.append(folder)
                continue
            try:
                cameras[int(folder)] = _calibration(self.root / inside / folder / "rgb.cal")
            except DataError as error:
                what = f"{error}; another sequence's is used to cut out faces"
                tally.add(key(inside, folder, "rgb.cal"), what)
        notes = []
        if without:
            notes.append(f"no rgb.cal in {', '.join(without)}: faces are cut out by sequence 12's")
        return keys, sequences, cameras, notes


def project(centres: Floats, camera: Camera, width: float) -> NDArray[np.float32]:
    """Return the boxes of cubes as the colour camera sees their middle.

    Args:
        centres: ``(N, 3)`` mm on the depth camera's axes.
        camera: The colour camera's ``(3, 3)`` matrix, and the ``(3, 3)`` rotation and ``(3,)``
            translation that take the depth camera's axes to its own.
        width: Side of the cube in mm.

    Returns:
        ``(N, 4)`` left, top, right and bottom in pixels; an empty box where a cube is not before
        the camera.
    """
    matrix, rotation, translation = camera
    points = (centres @ rotation.T + translation) @ matrix.T
    before = points[:, 2:] > 1
    depth = np.where(before, points[:, 2:], 1)
    half = np.where(before, np.array([matrix[0, 0], matrix[1, 1]]) * width / 2 / depth, 0)
    middle = np.where(before, points[:, :2] / depth, 0)
    return np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)


def _parse(path: Path) -> Floats:
    values = floats(read_bytes(path))
    if len(values) != 12 or not np.isfinite(values).all():
        raise DataError(f"holds {len(values)} numbers, expected 12")
    matrix = values[:9].reshape(3, 3)
    if np.abs(matrix @ matrix.T - np.eye(3)).max() > 0.01 or np.linalg.det(matrix) < 0:
        raise DataError("holds a matrix that is no rotation")
    return values


def _calibration(path: Path) -> Camera:
    """Read the camera's matrix, then after the distortion the rotation and the translation."""
    lines = [floats(line) for line in read_bytes(path).splitlines() if line.strip()]
    of_three = [line for line in lines if len(line) == 3]
    if len(of_three) != 7 or not np.isfinite(np.concatenate(of_three)).all():
        raise DataError("is not a camera's matrix, rotation and translation")
    matrix = np.array(of_three[:3])
    if not (matrix[0, 0] > 0 and matrix[1, 1] > 0):
        raise DataError("has a focal length that is not above zero")
    return matrix, np.array(of_three[3:6]), of_three[6]
