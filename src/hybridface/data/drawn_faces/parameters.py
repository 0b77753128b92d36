"""What a drawn face shows: labels and traits, from a seed and a face number alone."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hybridface.data.drawn_faces.exact import Array, clip01, keys, mixed, uniforms

EXPRESSIONS: Final[tuple[str, ...]] = (
    "angry",
    "disgust",
    "fear",
    "happy",
    "sad",
    "surprise",
    "neutral",
)
"""Names of the seven expressions; an expression's id is its place here."""

ACTION_UNITS: Final[tuple[str, ...]] = (
    "inner_brow_raise",
    "outer_brow_raise",
    "brow_lower",
    "lid_raise",
    "lid_droop",
    "lid_tighten",
    "cheek_raise",
    "nose_wrinkle",
    "upper_lip_raise",
    "lip_corner_pull",
    "lip_corner_depress",
    "lip_stretch",
    "lip_press",
    "lip_pucker",
    "chin_raise",
    "mouth_open",
)
"""Names of the continuous movements of brows, lids, nose and mouth, each from 0 to 1."""

FACES_PER_PERSON: Final = 4
MAX_POSE: Final[tuple[float, float, float]] = (45.0, 25.0, 20.0)
"""Largest yaw, pitch and roll in degrees, either way."""

_PERSON_NAMES: Final = """
    width jaw chin nose nose_width cheekbones eye_gap eye_size eye_tilt forehead brow_ridge ears
    brow_thickness brow_height brow_tilt mouth_width lips rest_mouth rest_lids rest_brow skin
    warmth blush age lipstick hair_style hair_colour hair_light hairline hair_part
    hair_volume hair_length curls beard beard_shape iris glasses glasses_shape glasses_colour
    glasses_size nose_length fringe"""
_SCENE_NAMES: Final = """
    yaw yaw2 pitch pitch2 roll roll2 scale shift_x shift_y intensity style speech gaze_x gaze_y
    glasses_worn light_side light_height light_power ambient light_warmth occluder
    occluded noise blur exposure contrast saturation clothes clothes2 backlight"""
PERSON_TRAITS: Final[tuple[str, ...]] = tuple(_PERSON_NAMES.split())
SCENE_TRAITS: Final[tuple[str, ...]] = tuple(_SCENE_NAMES.split())

_PROTOTYPES: Final[dict[str, tuple[str, str]]] = {
    "angry": (
        "brow_lower 1 lid_raise .3 lid_tighten .7 lip_press .9 chin_raise .3 lip_corner_depress .3",
        "brow_lower 1 lid_raise .5 lid_tighten .4 nose_wrinkle .3 upper_lip_raise .5 mouth_open .35"
        " lip_stretch .3 lip_corner_depress .3",
    ),
    "disgust": (
        "nose_wrinkle 1 upper_lip_raise .8 brow_lower .4 cheek_raise .5 lid_tighten .5"
        " lip_corner_depress .4",
        "nose_wrinkle .8 upper_lip_raise 1 mouth_open .25 lid_droop .3 chin_raise .4 brow_lower .3"
        " lip_corner_depress .6",
    ),
    "fear": (
        "inner_brow_raise 1 outer_brow_raise .3 brow_lower .3 lid_raise .9 lip_stretch 1"
        " mouth_open .3",
        "inner_brow_raise .9 outer_brow_raise .5 brow_lower .3 lid_raise 1 lip_stretch .6"
        " mouth_open .55 lip_corner_depress .3",
    ),
    "happy": (
        "lip_corner_pull 1 cheek_raise .8 mouth_open .4 upper_lip_raise .2 lid_tighten .2",
        "lip_corner_pull .9 cheek_raise .7 lip_press .15 outer_brow_raise .1",
    ),
    "sad": (
        "inner_brow_raise 1 brow_lower .25 lip_corner_depress 1 chin_raise .4 lid_droop .45",
        "inner_brow_raise .7 brow_lower .4 lip_corner_depress .8 chin_raise .8 lip_pucker .3"
        " lid_droop .55",
    ),
    "surprise": (
        "inner_brow_raise 1 outer_brow_raise 1 lid_raise .8 mouth_open 1 lip_pucker .35",
        "inner_brow_raise .8 outer_brow_raise 1 lid_raise .7 mouth_open .5 lip_pucker .2",
    ),
    "neutral": ("", ""),
}
_PERSON, _SCENE, _MOVES, _ORDER = 0, 1, 2, 3


@dataclass(frozen=True)
class FaceParameters:
    """Everything that decides how N faces look, before any pixel is drawn.

    Attributes:
        seed: The seed that the faces come from.
        index: (N,) number of each face under that seed.
        expression: (N,) ids from 0 to 6, see `EXPRESSIONS`; balanced over every seven faces.
        intensity: (N,) strength of the expression, 0.85 (subtle) to 1.35 (strong).
        pose: (N, 3) yaw, pitch and roll in degrees, within `MAX_POSE`.
        action_units: (N, 16) movements from 0 to 1, see `ACTION_UNITS`.
        identity: (N,) number of the person; four faces in a row show one person.
        person: (N, P) `PERSON_TRAITS` from 0 to 1, equal for all faces of a person.
        scene: (N, S) `SCENE_TRAITS` from 0 to 1.
    """

    seed: int
    index: NDArray[np.int64]
    expression: NDArray[np.int64]
    intensity: NDArray[np.float64]
    pose: NDArray[np.float64]
    action_units: NDArray[np.float64]
    identity: NDArray[np.int64]
    person: NDArray[np.float64]
    scene: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of faces N."""
        return len(self.index)

    def column(self, name: str) -> Array:
        """Return the trait or action unit of that name as (N, 1) float32; KeyError if unknown."""
        for names, table in (
            (PERSON_TRAITS, self.person),
            (SCENE_TRAITS, self.scene),
            (ACTION_UNITS, self.action_units),
        ):
            if name in names:
                place = names.index(name)
                return table[:, place : place + 1].astype(np.float32)
        raise KeyError(name)

    def between(self, name: str, low: float, high: float) -> Array:
        """Return the trait of that name stretched to run from low to high, (N, 1) float32."""
        return mixed(low, high, self.column(name))


def face_labels(seed: int, start: int, count: int) -> FaceParameters:
    """Return the labels and traits of faces start .. start + count - 1, without drawing them.

    Face i of a seed depends on the seed and on i only.

    Args:
        seed: From 0 to 2**64 - 1.
        start: Number of the first face, at least 0.
        count: Number of faces, at least 0.

    Raises:
        ValueError: If an argument is out of range.
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be from 0 to 2**64 - 1, not {seed}")
    if start < 0 or count < 0 or start + count > 2**62:
        raise ValueError(f"start and count must not be negative or huge, not {start} and {count}")
    index = np.arange(start, start + count, dtype=np.int64)
    identity = index // FACES_PER_PERSON
    person = uniforms(keys(seed, _PERSON, identity), len(PERSON_TRAITS))
    scene = uniforms(keys(seed, _SCENE, index), len(SCENE_TRAITS))
    expression = _balanced(seed, index)
    intensity = 0.85 + 0.5 * scene[:, SCENE_TRAITS.index("intensity")]
    return FaceParameters(
        seed=seed,
        index=index,
        expression=expression,
        intensity=intensity,
        pose=_pose(scene),
        action_units=_action_units(seed, index, expression, intensity, person=person, scene=scene),
        identity=identity,
        person=person,
        scene=scene,
    )


def _balanced(seed: int, index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return an expression for each face: every block of seven holds each one once, shuffled."""
    classes = len(EXPRESSIONS)
    order = np.argsort(uniforms(keys(seed, _ORDER, index // classes), classes), 1, kind="stable")
    return order[np.arange(len(index)), index % classes].astype(np.int64)


def _pose(scene: NDArray[np.float64]) -> NDArray[np.float64]:
    pose = np.empty((len(scene), 3))
    for axis, (name, limit) in enumerate(zip(("yaw", "pitch", "roll"), MAX_POSE, strict=True)):
        first = scene[:, SCENE_TRAITS.index(name)]
        second = scene[:, SCENE_TRAITS.index(f"{name}2")]
        share = first + second - 1.0  # Frontal views are commonest, the limits rare.
        pose[:, axis] = share * (0.32 + 0.68 * np.abs(share)) * limit
    return pose


def _action_units(
    seed: int,
    index: NDArray[np.int64],
    expression: NDArray[np.int64],
    intensity: NDArray[np.float64],
    *,
    person: NDArray[np.float64],
    scene: NDArray[np.float64],
) -> NDArray[np.float64]:
    units = len(ACTION_UNITS)
    draws = uniforms(keys(seed, _MOVES, index), 3 * units).reshape(len(index), 3, units)
    style = np.clip(scene[:, SCENE_TRAITS.index("style")] * 1.6 - 0.3, 0.0, 1.0)[:, None]
    target = mixed(_TABLE[expression, 0], _TABLE[expression, 1], style)
    moves = target * intensity[:, None] * (0.8 + 0.4 * draws[:, 0])
    # Every movement also stirs a little for no reason, and seldom a lot.
    stir = draws[:, 1] * draws[:, 1]
    moves = moves + 0.08 * stir + 0.2 * np.where(draws[:, 2] < 0.06, draws[:, 1], 0.0)
    rest = {
        "brow_lower": 0.1 * person[:, PERSON_TRAITS.index("rest_brow")],
        "lid_droop": 0.1 * person[:, PERSON_TRAITS.index("rest_lids")],
        "mouth_open": 0.4 * np.maximum(scene[:, SCENE_TRAITS.index("speech")] - 0.75, 0.0),
    }
    for name, extra in rest.items():
        moves[:, ACTION_UNITS.index(name)] += extra
    result: NDArray[np.float64] = clip01(moves)
    return result


def _table() -> NDArray[np.float64]:
    table = np.zeros((len(EXPRESSIONS), 2, len(ACTION_UNITS)))
    for row, name in enumerate(EXPRESSIONS):
        for style, text in enumerate(_PROTOTYPES[name]):
            words = text.split()
            for unit, weight in zip(words[::2], words[1::2], strict=True):
                table[row, style, ACTION_UNITS.index(unit)] = float(weight)
    return table


_TABLE: Final = _table()
