"""How a person looks: colours, hair, beard and glasses, from the traits."""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from hybridface.data.drawn_faces.exact import Array, clip01, mixed
from hybridface.data.drawn_faces.parameters import FaceParameters

Colour: TypeAlias = tuple[Array, Array, Array]
"""Red, green and blue from 0 to 1, arrays of one shape."""

_SKIN: Final = (
    (0.97, 0.83, 0.75),
    (0.94, 0.76, 0.64),
    (0.84, 0.63, 0.48),
    (0.66, 0.46, 0.33),
    (0.52, 0.35, 0.25),
    (0.41, 0.28, 0.20),
)
_HAIR: Final = (
    (0.09, 0.08, 0.08),
    (0.20, 0.13, 0.09),
    (0.34, 0.21, 0.12),
    (0.50, 0.25, 0.12),
    (0.66, 0.47, 0.26),
    (0.84, 0.69, 0.44),
    (0.53, 0.53, 0.54),
)
_IRIS: Final = ((0.22, 0.13, 0.07), (0.36, 0.22, 0.10), (0.33, 0.42, 0.24), (0.28, 0.45, 0.62))
_FRAMES: Final = ((0.07, 0.07, 0.08), (0.30, 0.16, 0.10), (0.45, 0.10, 0.14), (0.62, 0.60, 0.56))


@dataclass(frozen=True)
class Looks:
    """The looks of N people; every array is (N, 1) float32.

    Attributes:
        skin, hair, iris, lips, frames, clothes: Colours.
        hairline: Height of the hair's edge at the middle of the forehead (high: bald).
        sideburn: How far hair comes forward at the temples (low: bald).
        volume_top, volume_sides: How much hair swells the head, 0 to 1 or more.
        long_hair: 1 where hair falls to the neck, else 0.
        curls: 0 (straight) to 1.
        beard: Density from 0 to 1; beard_low: how low on the cheek it starts.
        glasses: 1 where glasses are worn, else 0.
    """

    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    frames: Colour
    clothes: Colour
    hairline: Array
    sideburn: Array
    volume_top: Array
    volume_sides: Array
    long_hair: Array
    curls: Array
    beard: Array
    beard_low: Array
    glasses: Array


def looks_of(faces: FaceParameters) -> Looks:
    """Return the looks of N faces."""
    style = faces.column("hair_style")
    bald = style < 0.08
    thin = (style >= 0.08) & (style < 0.18)
    fringe = (style >= 0.45) & (style < 0.58)
    long_hair = style >= 0.62
    big = (style >= 0.56) & (style < 0.66)
    hairline = faces.between("hairline", 0.44, 0.62)
    hairline = np.where(thin, hairline + 0.16, np.where(fringe, hairline - 0.13, hairline))
    volume = faces.between("hair_volume", 0.25, 0.8)
    top = np.where(bald, 0.0, np.where(thin, 0.15, np.where(big, volume + 0.7, volume)))
    sides = np.where(long_hair, 0.5, 0.2 + 0.3 * volume)
    sides = np.where(bald | thin, 0.1 * thin, np.where(big, volume + 0.5, sides))
    beard = np.maximum(faces.column("beard") * 3.0 - 2.1, 0.0)
    skin = _skin(faces)
    return Looks(
        skin=skin,
        hair=_hair(faces),
        iris=_ramp(_IRIS, faces.column("iris")),
        lips=_lips(faces, skin),
        frames=_ramp(_FRAMES, faces.column("glasses_colour")),
        clothes=_clothes(faces),
        hairline=np.where(bald, 3.0, hairline).astype(np.float32),
        sideburn=np.where(bald, -0.5, np.where(thin, 0.12, 0.2)).astype(np.float32),
        volume_top=top.astype(np.float32),
        volume_sides=sides.astype(np.float32),
        long_hair=long_hair.astype(np.float32),
        curls=faces.column("curls"),
        beard=np.where(long_hair, 0.0, np.minimum(beard, 1.0)).astype(np.float32),
        beard_low=faces.between("beard_shape", 0.0, 0.3),
        glasses=((faces.column("glasses") < 0.28) & (faces.column("glasses_worn") < 0.85)).astype(
            np.float32
        ),
    )


def _ramp(stops: tuple[tuple[float, float, float], ...], share: Array) -> Colour:
    """Return the colour at a share (N, 1) of the way along the stops."""
    table = np.array(stops, dtype=np.float32)
    place = share * (len(stops) - 1)
    low = np.minimum(place.astype(np.int64), len(stops) - 2)
    rest = place - low.astype(np.float32)
    red, green, blue = (mixed(table[low, k], table[low + 1, k], rest) for k in range(3))
    return red, green, blue


def _skin(faces: FaceParameters) -> Colour:
    red, green, blue = _ramp(_SKIN, faces.column("skin"))
    warmth = faces.between("warmth", -0.03, 0.03)
    return clip01(red + warmth), green, clip01(blue - warmth)


def _hair(faces: FaceParameters) -> Colour:
    # Dark skin goes with dark hair more often than not.
    place = faces.column("hair_colour") * (1.0 - 0.75 * faces.column("skin"))
    grey = faces.column("age") > 0.85
    place = np.where(grey, np.float32(1.0), place * 0.86)
    light = faces.between("hair_light", 0.8, 1.25)
    red, green, blue = _ramp(_HAIR, place)
    return red * light, green * light, blue * light


def _lips(faces: FaceParameters, skin: Colour) -> Colour:
    red, green, blue = skin
    made_up = np.maximum(faces.column("lipstick") * 2.5 - 1.5, 0.0)
    return (
        mixed(red * 0.86, 0.72, made_up * 0.8),
        mixed(green * 0.62, 0.12, made_up * 0.8),
        mixed(blue * 0.68, 0.2, made_up * 0.8),
    )


def _clothes(faces: FaceParameters) -> Colour:
    hue, dark = faces.column("clothes"), faces.between("clothes2", 0.2, 0.85)
    red, green, blue = hue_colour(hue)
    return mixed(0.5, red, 0.6) * dark, mixed(0.5, green, 0.6) * dark, mixed(0.5, blue, 0.6) * dark


def hue_colour(hue: Array) -> Colour:
    """Return the pure colour of a hue from 0 to 1 (red, green, blue, red again)."""
    red, green, blue = (
        clip01(np.abs((hue * 6.0 + shift) % 6.0 - 3.0) - 1.0) for shift in (0.0, 4.0, 2.0)
    )
    return red, green, blue
