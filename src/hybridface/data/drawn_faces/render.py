"""Draw faces: mesh, depth buffer, paint, light, surroundings."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hybridface.data.drawn_faces.canvas import Canvas, Pack
from hybridface.data.drawn_faces.exact import Array
from hybridface.data.drawn_faces.looks import Colour, Looks, looks_of
from hybridface.data.drawn_faces.mesh import rest_mesh
from hybridface.data.drawn_faces.occluders import add_occluders
from hybridface.data.drawn_faces.parameters import FaceParameters, face_labels
from hybridface.data.drawn_faces.pose import Posed, picture_scale, pose_heads
from hybridface.data.drawn_faces.raster import visible_triangles, weights
from hybridface.data.drawn_faces.scenery import background, develop
from hybridface.data.drawn_faces.surface import exposure, light_surface, paint_surface

MIN_SIZE: Final = 16
_SAMPLES_A_CHUNK: Final = 8 * 96 * 96


@dataclass(frozen=True)
class DrawnFaces:
    """N drawn faces and their labels.

    Attributes:
        images: (N, size, size, 3) RGB pixels.
        expression: (N,) ids from 0 to 6, see `EXPRESSIONS`.
        pose: (N, 3) yaw, pitch and roll in degrees. Positive yaw turns the nose to the right of
            the image, positive pitch up, positive roll tilts the head clockwise; a mirrored image
            has the opposite yaw and roll and the same pitch.
        action_units: (N, 16) movements from 0 to 1, see `ACTION_UNITS`.
        identity: (N,) number of the person shown; four faces in a row show one person.
    """

    images: NDArray[np.uint8]
    expression: NDArray[np.int64]
    pose: NDArray[np.float64]
    action_units: NDArray[np.float64]
    identity: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of faces N."""
        return len(self.images)


def draw_faces(
    seed: int, count: int, size: int = 48, *, start: int = 0, threads: int | None = None
) -> DrawnFaces:
    """Draw faces start .. start + count - 1 of a seed, with the same pixels on every machine.

    Face i of a seed depends on the seed, on i and on the size only; at another size it is the
    same person in the same pose with the same expression.

    Args:
        seed: From 0 to 2**64 - 1.
        count: Number of faces, at least 0.
        size: Width and height in pixels, at least 16.
        start: Number of the first face, at least 0.
        threads: How many threads draw; by default one for each processor, at most 16.

    Raises:
        ValueError: If an argument is out of range.
    """
    if size < MIN_SIZE:
        raise ValueError(f"size must be at least {MIN_SIZE} pixels, not {size}")
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    faces = face_labels(seed, start, count)
    images = np.empty((count, size, size, 3), dtype=np.uint8)
    chunk = max(1, _SAMPLES_A_CHUNK // (4 * size * size))

    def work(first: int) -> None:
        part = face_labels(seed, start + first, min(chunk, count - first))
        images[first : first + chunk] = render(part, size)

    with ThreadPoolExecutor(threads or min(os.cpu_count() or 1, 16)) as pool:
        list(pool.map(work, range(0, count, chunk)))
    return DrawnFaces(images, faces.expression, faces.pose, faces.action_units, faces.identity)


def render(faces: FaceParameters, size: int) -> NDArray[np.uint8]:
    """Return the pictures (N, size, size, 3) of N faces, all drawn at once on this thread."""
    looks = looks_of(faces)
    posed = pose_heads(faces, looks)
    colour, pack = _lit_samples(faces, looks, posed, 2 * size)
    samples = np.zeros((len(faces), 4 * size * size), dtype=np.float32)
    pack.scatter(np.ones(pack.flat.shape, dtype=np.float32), samples)
    gap = 1.0 - _halved(samples, size)
    planes = []
    for plane, behind in zip(colour, background(faces, size), strict=True):
        pack.scatter(plane, samples)
        planes.append(_halved(samples, size) + gap * behind)
    add_occluders(planes, faces, looks)
    return develop(planes, faces)


def _lit_samples(
    faces: FaceParameters, looks: Looks, posed: Posed, side: int
) -> tuple[Colour, Pack]:
    """Return the colours (F, P) of the samples that show a person, and their places."""
    mesh = rest_mesh()
    x, y, depth = posed.screen
    screen = (x * side, y * side, depth)
    seen = visible_triangles(screen, mesh.triangles, side)
    pack = Pack.of(seen >= 0)
    triangle = np.maximum(pack.gather(seen), 0)
    first = np.arange(len(faces))[:, None] * x.shape[1]
    vertices = [first + mesh.triangles[:, k][triangle] for k in range(3)]
    place = pack.flat - np.arange(len(faces))[:, None] * (side * side)
    row = place // side
    column = (place - row * side).astype(np.float32) + np.float32(0.5)
    middle = row.astype(np.float32) + np.float32(0.5)
    corners = [[screen[0].ravel()[v], screen[1].ravel()[v]] for v in vertices]
    share = weights(corners, column, middle)

    def blend(attribute: Array) -> Array:
        a, b, c = (np.take(attribute.ravel(), v) * w for v, w in zip(vertices, share, strict=True))
        total: Array = a + b + c
        return total

    px, py, pz = (blend(axis) for axis in posed.paint)
    nx, ny, nz = (blend(axis) for axis in posed.normal)
    part = mesh.triangle_part[triangle]
    # Thin parts are seen from behind too: their light always comes from the seen side.
    flip = np.where((nz < 0) & (part > 0), np.float32(-1.0), np.float32(1.0))
    inverse = flip / (np.sqrt(nx * nx + ny * ny + nz * nz) + np.float32(1e-6))
    sharp = picture_scale(faces) * side
    canvas = Canvas(px, py, pz, px, py, pz, px, sharp)
    gain = exposure(faces, looks)
    paint_surface(canvas, part, faces, looks)
    return light_surface(canvas, (nx * inverse, ny * inverse, nz * inverse), faces, gain), pack


def _halved(samples: Array, size: int) -> Array:
    """Return the means (F, size, size) of 2 x 2 samples (F, 4 * size * size)."""
    grid = samples.reshape(-1, size, 2, size, 2)
    upper = grid[:, :, 0, :, 0] + grid[:, :, 0, :, 1]
    lower = grid[:, :, 1, :, 0] + grid[:, :, 1, :, 1]
    result: Array = (upper + lower) * 0.25
    return result
