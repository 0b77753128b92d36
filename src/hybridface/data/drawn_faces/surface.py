"""The colour of every visible sample: skin, hair, cloth and frames under a light."""

import numpy as np
from numpy.typing import NDArray

from hybridface.data.drawn_faces.canvas import Canvas, Pack
from hybridface.data.drawn_faces.exact import (
    Array,
    bump,
    clip01,
    cos_turns,
    keys,
    mixed,
    sin_turns,
    smoothstep,
    uniforms,
)
from hybridface.data.drawn_faces.features import paint_brows, paint_eyes, paint_mouth, paint_nose
from hybridface.data.drawn_faces.looks import Colour, Looks
from hybridface.data.drawn_faces.mesh import EYE_X, EYE_Y, MOUTH_Y, PARTS
from hybridface.data.drawn_faces.parameters import FaceParameters

AMBIENT, POWER = (0.34, 0.65), (0.4, 0.95)
"""Ranges of the light from everywhere and of the light from one side."""
_STRANDS = 10  # stream of the random numbers that make hair uneven


def paint_surface(
    canvas: Canvas, part: NDArray[np.int64], faces: FaceParameters, looks: Looks
) -> None:
    """Paint every sample (F, P) of the canvas in the colour of its part, without light."""
    torso = (part == PARTS.index("torso")).astype(np.float32)
    _paint_skin(canvas, faces, looks)
    head = part == PARTS.index("head")
    _region(canvas, head & _box(canvas, -1.05, -0.12, 0.75), faces, looks, "beard")
    _region(canvas, head & _box(canvas, -0.2, 0.62, 0.62), faces, looks, "eyes")
    _region(canvas, head & _box(canvas, -1.1, -0.2, 0.5), faces, looks, "mouth")
    _paint_hair(canvas, part, faces, looks)
    cloth = clip01((-1.04 - 0.14 * bump(canvas.x / 0.4, canvas.z - 0.3) - canvas.y) * 30.0) * torso
    canvas.over(cloth, looks.clothes)
    canvas.gloss = canvas.gloss * (1.0 - cloth)
    ear = bump((canvas.z + 0.05) / 0.1, (canvas.y + 0.09) / 0.15)
    canvas.darken(
        0.4 * ear * ((part == PARTS.index("ear_left")) | (part == PARTS.index("ear_right")))
    )
    # The chin keeps light from the neck.
    canvas.darken(0.55 * torso * smoothstep(-1.05, -0.7, canvas.y))
    frames = part >= PARTS.index("rim_left")
    canvas.over(frames.astype(np.float32), looks.frames)


def exposure(faces: FaceParameters, looks: Looks) -> Array:
    """Return the gain (F, 1) with which a camera that looks at the face takes the picture."""
    red, green, blue = looks.skin
    light = faces.between("ambient", *AMBIENT) + 0.5 * faces.between("light_power", *POWER)
    level = (0.3 * red * red + 0.59 * green * green + 0.11 * blue * blue) * light
    gain: Array = 0.45 / (0.19 + 0.75 * level)
    return gain


def light_surface(
    canvas: Canvas, normal: tuple[Array, Array, Array], faces: FaceParameters, gain: Array
) -> Colour:
    """Return the lit colour of every sample, linear in light, from unit normals (F, P)."""
    x, y, z = normal
    turn = faces.between("light_side", -0.17, 0.17)
    height = faces.between("light_height", -0.04, 0.17)
    level = cos_turns(height)
    lx, ly, lz = sin_turns(turn) * level, sin_turns(height), cos_turns(turn) * level
    facing = x * lx + y * ly + z * lz
    direct = clip01((facing + 0.15) * (1.0 / 1.15)) * faces.between("light_power", *POWER)
    ambient = faces.between("ambient", *AMBIENT) * (0.8 + 0.28 * y) + 0.1 * z
    edge = np.maximum(1.0 - np.abs(z), 0.0)
    ambient = ambient + 0.35 * faces.column("backlight") * edge * edge
    warm = faces.between("light_warmth", -0.16, 0.16)
    length = np.sqrt(2.0 + 2.0 * lz)
    half = np.maximum((x * lx + y * ly + z * (lz + 1.0)) / length, 0.0)
    shine = half * half
    shine = shine * shine
    shine = shine * shine
    shine = shine * shine * canvas.gloss * direct
    planes = (canvas.red, canvas.green, canvas.blue)
    red, green, blue = (
        gain * (plane * plane * (ambient * (1.0 - 0.4 * tint) + direct * (1.0 + tint)) + shine)
        for plane, tint in zip(planes, (warm, 0.15 * warm, -warm), strict=True)
    )
    return red, green, blue


def _box(canvas: Canvas, low: float, high: float, wide: float) -> Array:
    inside = (canvas.y > low) & (canvas.y < high) & (canvas.across < wide)
    return inside & (canvas.z > 0.0)


def _region(canvas: Canvas, mask: Array, faces: FaceParameters, looks: Looks, what: str) -> None:
    """Paint features inside a masked part of the canvas only, which is quicker."""
    pack = Pack.of(mask)
    region = canvas.cut(pack)
    if what == "eyes":
        paint_eyes(region, faces, looks)
        paint_brows(region, faces, looks)
    elif what == "mouth":
        paint_nose(region, faces)
        paint_mouth(region, faces, looks)
    else:
        _paint_beard(region, faces, looks)
    canvas.paste(pack, region)


def _paint_skin(canvas: Canvas, faces: FaceParameters, looks: Looks) -> None:
    x, y, across = canvas.x, canvas.y, canvas.across
    rosy = faces.between("blush", 0.03, 0.16)
    flush = bump((across - 0.36) / 0.26, (y + 0.2) / 0.2) + bump(x / 0.14, (y + 0.26) / 0.16)
    flush = rosy * clip01(flush) * (canvas.z > 0)
    socket = bump((across - EYE_X + 0.03) / 0.26, (y - EYE_Y) / 0.19) * (canvas.z > 0)
    shade = 1.0 - 0.22 * socket
    red, green, blue = looks.skin
    canvas.red = red * shade
    canvas.green = green * (1.0 - flush) * shade
    canvas.blue = blue * (1.0 - 0.9 * flush) * (shade - 0.02 * socket)
    canvas.gloss = 0.10 + 0.0 * x


def _paint_beard(canvas: Canvas, faces: FaceParameters, looks: Looks) -> None:
    x, y = canvas.x, canvas.y
    slope = np.maximum(canvas.across - 0.2, 0.0)
    jaw = smoothstep(0.0, 0.18, 1.1 * slope - 0.56 - looks.beard_low * (0.5 + slope) - y)
    moustache = bump(x / 0.29, (y - MOUTH_Y - 0.1) / 0.085)
    kept = clip01(np.maximum(1.4 * moustache, jaw))
    red, green, blue = looks.hair
    canvas.over(
        0.85 * looks.beard * kept * smoothstep(0.02, 0.25, canvas.z),
        (red * 0.8, green * 0.8, blue * 0.8),
    )


def _paint_hair(
    canvas: Canvas, part: NDArray[np.int64], faces: FaceParameters, looks: Looks
) -> None:
    x, y, z = canvas.x, canvas.y, canvas.z
    strands = _strands(faces, x, y, z)
    parting = faces.between("hair_part", -0.32, 0.32)
    edge = (
        looks.hairline + parting * x - 0.62 * x * x + faces.between("fringe", 0.02, 0.09) * strands
    )
    back = np.minimum(looks.sideburn - z, y + np.where(z > -0.2, np.float32(0.12), np.float32(0.8)))
    back = np.where(looks.sideburn < 0, np.float32(-1.0), back)
    on_head = canvas.cover(np.maximum(y - edge, back)) * (part == PARTS.index("head"))
    hair = np.maximum(on_head, part == PARTS.index("long_hair"))
    light = 1.0 + 0.30 * strands
    red, green, blue = looks.hair
    canvas.over(hair, (clip01(red * light), clip01(green * light), clip01(blue * light)))
    canvas.gloss = mixed(canvas.gloss, 0.10 + 0.06 * strands, hair)


def _strands(faces: FaceParameters, x: Array, y: Array, z: Array) -> Array:
    """Return uneven stripes from -1 to 1 that run down the head, or tufts where hair is curly."""
    table = uniforms(keys(faces.seed, _STRANDS, faces.identity), 64).astype(np.float32)
    curls = np.where(faces.column("curls") > 0.6, np.float32(9.0), np.float32(1.5))
    total = np.zeros_like(x)
    first = np.arange(len(table))[:, None] * 64
    for scale, share in ((9.0, 0.6), (23.0, 0.4)):
        place = (x + 0.6 * z + 4.0) * scale + curls * y
        low = np.floor(place)
        rest = place - low
        number = low.astype(np.int64)
        left = table.ravel()[first + (number & 63)]
        right = table.ravel()[first + ((number + 1) & 63)]
        total = total + share * mixed(left, right, rest)
    return 2.0 * total - 1.0
