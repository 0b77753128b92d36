"""How far expressions, persons and hair move the vertices of the rest mesh."""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hybridface.data.drawn_faces.exact import Array, bump, cos_turns, sin_turns, smoothstep
from hybridface.data.drawn_faces.mesh import EYE_X, EYE_Y, MOUTH_Y, rest_mesh

MOVES: Final[dict[str, tuple[str, ...]]] = {
    "jaw": ("mouth_open",),
    "brows": ("inner_brow_raise", "outer_brow_raise"),
    "frown": ("brow_lower",),
    "cheeks": ("cheek_raise", "lip_corner_pull"),
    "sneer": ("nose_wrinkle", "upper_lip_raise"),
    "smile": ("lip_corner_pull", "lip_stretch"),
    "pout": ("lip_pucker",),
    "chin_up": ("chin_raise",),
}
"""Expression shapes and the action units that add up to their strength."""


@cache
def expression_shapes() -> dict[str, dict[int, NDArray[np.float32]]]:
    """Return, for each of `MOVES`, how far it moves the head's vertices along some axes."""
    x, y, z = (axis.astype(np.float64) for axis in rest_mesh().paint)
    across, side = np.abs(x), np.sign(x)
    front = smoothstep(-0.1, 0.5, z)
    jaw = smoothstep(MOUTH_Y + 0.03, MOUTH_Y - 0.13, y) * (0.25 + 0.75 * front)
    corner = bump((across - 0.28) / 0.2, (y - MOUTH_Y) / 0.16) * front
    cheek = bump((across - 0.36) / 0.26, (y + 0.22) / 0.22) * front
    brow = bump((across - 0.28) / 0.34, (y - 0.24) / 0.2) * front
    wing = bump((across - 0.12) / 0.16, (y + 0.26) / 0.16) * front
    hollow = bump(x / 0.26, (y - MOUTH_Y + 0.07) / 0.13) * front
    mouth = bump(x / 0.3, (y - MOUTH_Y) / 0.16) * front
    chin = bump(x / 0.3, (y + 0.78) / 0.18) * front
    return _packed(
        {
            "jaw": {1: -0.24 * jaw, 2: -0.13 * hollow - 0.05 * jaw},
            "brows": {1: 0.03 * brow, 2: 0.01 * brow},
            "frown": {1: -0.03 * brow, 2: 0.03 * brow},
            "cheeks": {1: 0.03 * cheek, 2: 0.045 * cheek},
            "sneer": {1: 0.02 * wing, 2: 0.02 * wing + 0.015 * cheek},
            "smile": {0: 0.05 * side * corner, 1: 0.02 * corner, 2: -0.03 * corner},
            "pout": {2: 0.08 * mouth},
            "chin_up": {1: 0.03 * chin, 2: 0.03 * chin},
        }
    )


@cache
def person_shapes() -> dict[str, dict[int, NDArray[np.float32]]]:
    """Return how far each trait of a person moves the vertices when it is at its highest."""
    mesh = rest_mesh()
    x, y, z = (axis.astype(np.float64) for axis in mesh.paint)
    across, side = np.abs(x), np.sign(x)
    head = np.zeros(x.shape)
    head[mesh.part("head").slice] = 1.0
    front = smoothstep(-0.1, 0.5, z) * head
    still = np.ones(x.shape)
    still[mesh.part("torso").slice] = 0.0
    low = smoothstep(-0.15, -0.75, y) * still
    nose = bump(x / 0.2, (y + 0.22) / 0.24) * front
    tip = bump(x / 0.16, (y + 0.28) / 0.14) * front
    wing = bump((across - 0.13) / 0.14, (y + 0.28) / 0.15) * front
    brow = bump((across - 0.26) / 0.34, (y - 0.2) / 0.14) * front
    eyes = bump((across - EYE_X) / 0.3, (y - EYE_Y) / 0.22) * front
    cheek = bump((across - 0.45) / 0.26, (y + 0.18) / 0.24) * front
    chin = smoothstep(-0.55, -0.9, y) * front
    ears = np.zeros(x.shape)
    for name in ("ear_left", "ear_right"):
        ears[mesh.part(name).slice] = 1.0
    return _packed(
        {
            "width": {0: 0.09 * x * still},
            "jaw": {0: 0.20 * x * low},
            "chin": {1: -0.10 * chin, 2: 0.05 * chin},
            "nose": {2: 0.07 * nose + 0.03 * tip},
            "nose_length": {1: -0.05 * tip},
            "nose_width": {0: 0.04 * side * wing, 2: 0.03 * wing},
            "cheekbones": {2: 0.035 * cheek, 0: 0.03 * side * cheek},
            "eye_gap": {0: 0.035 * side * eyes},
            "forehead": {1: 0.08 * smoothstep(0.3, 0.9, y) * head},
            "brow_ridge": {2: 0.035 * brow},
            "ears": {0: 0.35 * (x - side * 0.72) * ears, 1: 0.2 * (y + 0.1) * ears},
        }
    )


@cache
def hair_shapes() -> dict[str, dict[int, NDArray[np.float32]]]:
    """Return how the head swells under hair: on top, at the sides and back, and in curls."""
    x, y, z = (axis.astype(np.float64) for axis in rest_mesh().paint)
    head = np.zeros(x.shape)
    head[rest_mesh().part("head").slice] = 1.0
    line = 0.56 - 0.5 * smoothstep(0.42, 0.12, z) - 0.5 * smoothstep(0.1, -0.5, z)
    cover = smoothstep(0.0, 0.2, y - line) * head
    top = cover * smoothstep(0.35, 0.95, y)
    sides = cover * smoothstep(0.95, 0.5, y)
    length = np.sqrt(x * x + z * z) + 1e-6
    lumps = cover * (
        sin_turns(2.3 * x + 1.1 * y) * sin_turns(2.9 * y - 0.7 * z)
        + sin_turns(2.6 * z + 1.7 * y + 0.2) * cos_turns(3.1 * x)
    )
    return _packed(
        {
            "top": {0: 0.15 * top * x, 1: 0.2 * top, 2: 0.1 * top * z},
            "sides": {0: 0.15 * sides * x / length, 2: 0.12 * sides * z / length},
            "lumps": {
                0: 0.05 * lumps * x / length,
                1: 0.05 * lumps * np.maximum(y, 0.0),
                2: 0.04 * lumps * z / length,
            },
        }
    )


def _packed(shapes: dict[str, dict[int, Array]]) -> dict[str, dict[int, NDArray[np.float32]]]:
    return {
        name: {axis: values.astype(np.float32) for axis, values in axes.items()}
        for name, axes in shapes.items()
    }
