"""Eyes, brows, nose and mouth, painted where the action units put them."""

import numpy as np

from hybridface.data.drawn_faces.canvas import Canvas
from hybridface.data.drawn_faces.exact import bump, clip01, mixed
from hybridface.data.drawn_faces.looks import Looks
from hybridface.data.drawn_faces.mesh import EYE_X, EYE_Y, MOUTH_Y
from hybridface.data.drawn_faces.parameters import FaceParameters


def paint_eyes(canvas: Canvas, faces: FaceParameters, looks: Looks) -> None:
    """Paint lids, eyeballs and lashes of both eyes."""
    au = faces.column
    size = faces.between("eye_size", 0.88, 1.14)
    half = 0.17 * size
    u = (canvas.across - EYE_X) / half
    arc = np.maximum(1.0 - u * u, 0.0)
    y = canvas.y - EYE_Y - faces.between("eye_tilt", -0.01, 0.025) * u
    droop = au("lid_droop")
    lift = 1.0 + 0.8 * au("lid_raise") - 0.85 * droop - 0.3 * au("lid_tighten")
    upper = 0.095 * size * np.maximum(lift - 0.15 * au("cheek_raise"), 0.05) * arc
    upper = upper * (1.0 - 0.18 * u)
    drop = 1.0 + 0.35 * au("lid_raise") - 0.5 * au("lid_tighten") - 0.65 * au("cheek_raise")
    lower = -0.05 * size * np.maximum(drop, 0.1) * arc * (1.0 + 0.2 * u)
    within = np.abs(u) < 1.0
    crease = canvas.line(y - upper - mixed(0.05, 0.035, droop) * (0.4 + 0.6 * arc), 0.007)
    canvas.darken(0.4 * crease * within)
    canvas.darken(0.25 * canvas.line(y - lower + 0.035, 0.008) * arc * (0.5 + au("cheek_raise")))
    opening = canvas.cover(np.minimum(upper - y, y - lower)) * within
    shade = 1.0 - 0.4 * clip01(1.0 - (upper - y) * 18.0)
    canvas.over(opening, (0.93 * shade, 0.91 * shade, 0.9 * shade))
    dx = canvas.x - np.sign(canvas.x) * EYE_X - faces.between("gaze_x", -0.035, 0.035)
    dy = y - 0.012 - faces.between("gaze_y", -0.015, 0.015)
    distance = np.sqrt(dx * dx + dy * dy)
    iris = opening * canvas.cover(0.075 * size - distance)
    red, green, blue = looks.iris
    dim = 0.6 + 0.4 * shade
    canvas.over(iris, (red * dim, green * dim, blue * dim))
    canvas.over(opening * canvas.cover(0.036 * size - distance), (0.03, 0.03, 0.03))
    glint = canvas.cover(0.017 - np.abs(dx + 0.022) - np.abs(dy - 0.024))
    canvas.over(0.9 * opening * glint, (1.0, 1.0, 1.0))
    canvas.gloss = canvas.gloss * (1.0 - opening)
    lashes = canvas.line(y - upper - 0.006, 0.0125) * within
    canvas.over(0.85 * lashes, (0.10, 0.07, 0.06))
    canvas.over(0.35 * canvas.line(y - lower + 0.004, 0.007) * within, (0.2, 0.12, 0.1))


def paint_brows(canvas: Canvas, faces: FaceParameters, looks: Looks) -> None:
    """Paint the brows, the lines between and above them and the nose's wrinkles."""
    au = faces.column
    inner, outer, frown = au("inner_brow_raise"), au("outer_brow_raise"), au("brow_lower")
    u = (canvas.across + 0.035 * frown - 0.31) * (1.0 / 0.205)
    toward_nose, outward = clip01(0.5 - 0.5 * u), clip01(0.5 + 0.5 * u)
    middle = faces.between("brow_height", 0.19, 0.23) + 0.045 * (1.0 - u * u)
    middle = middle + faces.between("brow_tilt", -0.012, 0.012) * u
    middle = middle + 0.19 * inner * toward_nose * (0.4 + 0.6 * toward_nose)
    middle = middle + 0.17 * outer * outward * (1.6 - 0.6 * outward)
    middle = middle - frown * (0.05 + 0.13 * toward_nose) - 0.03 * au("nose_wrinkle") * toward_nose
    thick = faces.between("brow_thickness", 0.03, 0.05) * (1.0 - 0.6 * outward * outward)
    distance = canvas.y - middle
    brow = canvas.line(distance, thick) * (np.abs(u) < 1.0)
    red, green, blue = looks.hair
    canvas.darken(0.18 * bump(u * 0.8, (distance + 0.07) / 0.09) * frown)
    canvas.over(0.88 * brow, (red * 0.7, green * 0.65, blue * 0.65))
    age = 0.45 + 0.55 * faces.column("age")
    furrow = bump((canvas.across - 0.055) / 0.022, (canvas.y - 0.19) / 0.1) * frown
    furrow = furrow + 0.7 * bump(canvas.x / 0.11, (canvas.y - 0.09) / 0.02) * au("nose_wrinkle")
    raised = np.maximum(inner, outer) * bump(canvas.x / 0.42, (canvas.y - 0.45) / 0.16)
    wave = canvas.y * 11.5 - 0.8 * canvas.x * canvas.x
    stripe = np.abs(wave - np.floor(wave) - 0.5) * 2.0
    canvas.darken(age * (0.42 * clip01(furrow) + 0.35 * raised * clip01(1.5 - 3.0 * stripe)))


def paint_nose(canvas: Canvas, faces: FaceParameters) -> None:
    """Paint nostrils, the folds from nose to mouth and the shadow under the nose."""
    au = faces.column
    sneer = au("nose_wrinkle")
    lift = 0.03 * sneer + 0.02 * au("upper_lip_raise")
    nostril = bump((canvas.across - 0.068) / 0.042, (canvas.y + 0.338 - lift) / 0.03)
    canvas.darken(0.75 * nostril)
    canvas.darken(0.3 * bump(canvas.x / 0.2, (canvas.y + 0.365 - lift) / 0.04))
    share = clip01((-0.22 - canvas.y) * (1.0 / 0.33))
    path = 0.185 + (0.14 + 0.06 * au("lip_corner_pull")) * share * (0.5 + 0.5 * share)
    strength = 0.1 * faces.column("age") + 0.55 * sneer + 0.4 * au("upper_lip_raise")
    strength = clip01(strength + 0.55 * au("lip_corner_pull"))
    ends = clip01(6.0 * share) * clip01(6.0 * (1.0 - share))
    fold = np.maximum(1.0 - np.abs(canvas.across - path) * 32.0, 0.0)
    canvas.darken(0.5 * fold * ends * strength)
    side = bump((canvas.across - 0.085) / 0.06, (canvas.y - 0.02) / 0.12)
    wave = canvas.y * 17.0 + canvas.across * 9.0
    stripe = np.abs(wave - np.floor(wave) - 0.5) * 2.0
    canvas.darken(0.6 * sneer * side * clip01(1.4 - 2.5 * stripe))


def paint_mouth(canvas: Canvas, faces: FaceParameters, looks: Looks) -> None:
    """Paint lips, teeth, tongue and the dark of the open mouth."""
    au = faces.column
    pull, depress, raised = au("lip_corner_pull"), au("lip_corner_depress"), au("upper_lip_raise")
    gape, press, pucker = au("mouth_open"), au("lip_press"), au("lip_pucker")
    stretch, chin = au("lip_stretch"), au("chin_raise")
    half = faces.between("mouth_width", 0.25, 0.31) + 0.095 * pull + 0.075 * stretch
    half = half * (1.0 - 0.3 * pucker) - 0.035 * gape
    u = canvas.x / half
    square = np.minimum(u * u, 1.0)
    arc, flat = 1.0 - square, 1.0 - square * square
    bend = 0.18 * pull - 0.18 * depress - 0.03 * stretch + faces.between("rest_mouth", -0.02, 0.02)
    middle = MOUTH_Y + 0.02 * chin + 0.02 * depress - 0.02 * pull + 0.012 * raised + bend * square
    tense = clip01(0.8 * pull + stretch + raised)
    profile = mixed(arc, flat, tense)
    top = (0.03 * gape + 0.08 * raised + 0.02 * pull * gape + 0.015 * stretch) * profile
    bottom = (0.29 * gape + 0.02 * raised + 0.03 * stretch) * profile
    full = (1.0 - 0.65 * press) * (1.0 + 0.35 * pucker) * (1.0 - 0.15 * pull)
    bow = 1.0 - 0.3 * np.maximum(1.0 - np.abs(u) * 5.0, 0.0)
    lip_up = faces.between("lips", 0.04, 0.075) * full * arc * bow
    lip_low = faces.between("lips", 0.055, 0.095) * full * arc * (1.0 - 0.25 * raised)
    y = canvas.y - middle
    within = np.abs(u) < 1.0
    canvas.darken(0.28 * bump(canvas.x / 0.2, (y + bottom + lip_low + 0.04) / 0.045))
    lips = canvas.cover(np.minimum(top + lip_up - y, y + bottom + lip_low)) * within
    red, green, blue = looks.lips
    light = np.where(y > 0, np.float32(0.84), np.float32(1.0))
    canvas.over(0.92 * lips, (red * light, green * light, blue * light))
    canvas.gloss = canvas.gloss + 0.25 * lips * (y < 0)
    gap = np.minimum(top - y, y + bottom)
    inside = canvas.cover(gap) * within * clip01((top + bottom) * 40.0)
    canvas.over(inside, (0.17, 0.045, 0.05))
    tongue = bump(u / 0.75, (y + bottom) / (0.02 + 0.11 * gape)) * inside
    canvas.over(clip01(1.6 * tongue) * clip01(3.0 * gape - 0.6), (0.62, 0.27, 0.27))
    length = 0.02 + 0.05 * pull + 0.06 * raised + 0.05 * stretch
    shade = 1.0 - 0.35 * square
    teeth = inside * canvas.cover(y - top + length) * (np.abs(u) < 0.9)
    low_teeth = inside * canvas.cover(0.045 * (raised + stretch) - y - bottom) * (np.abs(u) < 0.75)
    canvas.over(np.maximum(teeth, 0.85 * low_teeth), (0.93 * shade, 0.91 * shade, 0.86 * shade))
    seam = canvas.line(y - top, 0.011) * within * (1.0 - inside)
    canvas.over(0.7 * seam, (red * 0.35, green * 0.25, blue * 0.25))
    corner = bump((canvas.across - half - 0.01) / 0.045, (canvas.y - middle) / 0.05)
    canvas.darken(corner * clip01(0.25 + 0.4 * pull + 0.35 * depress + 0.3 * press))
    pucker_chin = bump(canvas.x / 0.15, (canvas.y + 0.83) / 0.09)
    canvas.darken(0.22 * chin * pucker_chin)
