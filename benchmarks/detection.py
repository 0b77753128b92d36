"""How many faces the detector finds, how often it finds one where none is, and how fast.

``python benchmarks/detection.py aflw2000|pasted|none|speed [--data AFLW2000] [--every N]`` prints
one JSON line, and adds it to ``results/detection.jsonl`` with ``--store``.

- ``aflw2000``: recall at an intersection over union of 0.5 on every Nth picture. AFLW2000-3D has no
  boxes, so one is made of the 21 landmarks ``pt2d``, which reach from the brows to the chin: 5 % is
  added on the left, right and below and 35 % above, then the shorter side is widened to 3/4 of the
  longer one, as the landmarks that a profile hides (-1) are missing from it. The margin was set by
  the median of CenterFace's own boxes on 207 pictures.
- ``pasted``: the same with faces 24 to 40 pixels tall, 12 in each of 60 scenes of 640x480: faces of
  AFLW2000 with half a box around them, pasted on scikit-image's pictures without faces.
- ``none``: what is found in those pictures, at five sizes and mirrored.
- ``speed``: photos of 640x480 a second, from JPEG files to boxes, with ``--threads`` (two).
"""

from __future__ import annotations

import argparse
import datetime
import io
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image
from scipy.io import loadmat

from hybridface.images import decode, read
from hybridface.inference.crops import cut_square
from hybridface.inference.detection.base import Detector, overlaps
from hybridface.inference.detection.centerface import CenterFace

RESULTS = Path(__file__).parent / "results" / "detection.jsonl"
FREE = (
    "brick", "chelsea", "checkerboard", "clock", "coffee", "colorwheel", "grass", "gravel", "horse",
    "hubble_deep_field", "immunohistochemistry", "microaneurysms", "moon", "page", "retina",
    "rocket", "text",
)  # fmt: skip
SIDES = (160, 320, 480, 640, 1024)
SCENES, FACES, CELLS = 60, 12, (4, 3)
SIZE = (640, 480)
BATCH, ROUNDS = 8, 7
MARGIN = {"sides": 0.05, "below": 0.05, "above": 0.35, "least_aspect": 0.75}
Box = NDArray[np.float32]


def truth_of(path: Path) -> tuple[Box, float]:
    """Return the box of a picture's face, and its largest angle in degrees."""
    content = loadmat(path.with_suffix(".mat"))
    points = content["pt2d"][:, (content["pt2d"] > 0).all(axis=0)]
    (left, top), (right, bottom) = points.min(axis=1), points.max(axis=1)
    wide, tall = right - left, bottom - top
    low = np.array([left - MARGIN["sides"] * wide, top - MARGIN["above"] * tall])
    high = np.array([right + MARGIN["sides"] * wide, bottom + MARGIN["below"] * tall])
    sides = np.maximum(high - low, MARGIN["least_aspect"] * (high - low)[::-1])
    middle = (low + high) / 2
    angles = np.degrees(content["Pose_Para"][0][:3])
    box = np.concatenate([middle - sides / 2, middle + sides / 2]).astype(np.float32)
    return box, float(np.abs(angles).max())


def aflw2000(detector: Detector, given: argparse.Namespace) -> dict[str, Any]:
    paths = sorted(given.data.glob("*.jpg"))[:: given.every]
    found, angles = [], []
    for start in range(0, len(paths), BATCH):
        pictures = [read(path) for path in paths[start : start + BATCH]]
        for path, picture, faces in zip(
            paths[start : start + BATCH], pictures, detector.detect(pictures), strict=True
        ):
            box, angle = truth_of(path)
            height, width = picture.shape[:2]
            inside = np.clip(box, 0, [width, height, width, height]).astype(np.float32)
            found.append(overlaps(inside[None], faces.boxes).max(initial=0) >= 0.5)
            angles.append(angle)
    hit, turned = np.array(found), np.array(angles)
    bins = {"0 to 30": (0, 30), "30 to 60": (30, 60), "60 to 99": (60, 99), "beyond": (99, 999)}
    by_angle = {
        name: [int(hit[chosen].sum()), int(chosen.sum())]
        for name, (low, high) in bins.items()
        if (chosen := (turned > low) & (turned <= high)).any()
    }
    return {
        "faces": len(hit), "recall": round(float(hit.mean()), 4), "margin": MARGIN,
        "found_of_by_largest_angle": by_angle,
    }  # fmt: skip


def free_pictures() -> Iterator[tuple[str, Image.Image]]:
    """Yield scikit-image's pictures without faces, those that need no download."""
    for name in FREE:
        try:
            pixels = np.asarray(getattr(skimage.data, name)())
        except Exception as error:  # a download that is not possible
            print(f"{name}: {error}", file=sys.stderr)
            continue
        if pixels.dtype == bool:
            pixels = pixels * np.uint8(255)
        yield name, Image.fromarray(pixels.astype(np.uint8)).convert("RGB")


def scenes(data: Path) -> Iterator[tuple[NDArray[np.uint8], Box]]:
    """Yield scenes with the boxes of the faces in them."""
    draw = np.random.default_rng(0)
    grounds = [picture.resize(SIZE) for _, picture in free_pictures()]
    paths = draw.permutation(sorted(data.glob("*.jpg")))
    cell = np.array([SIZE[0] // CELLS[0], SIZE[1] // CELLS[1]])
    for number in range(SCENES):
        scene = np.array(grounds[number % len(grounds)])
        boxes = []
        for place in range(FACES):
            path = paths[(number * FACES + place) % len(paths)]
            box, _ = truth_of(path)
            middle, tall = (box[:2] + box[2:]) / 2, box[3] - box[1]
            around = max(box[2:] - box[:2]) * 2
            factor = draw.integers(24, 41) / tall
            side = max(1, round(around * factor))
            square = np.concatenate([middle - around / 2, middle + around / 2])
            face = Image.fromarray(cut_square(read(path), square)).resize((side, side))
            corner = np.array([place % CELLS[0], place // CELLS[0]]) * cell
            left, top = corner + draw.integers(0, cell - side + 1)
            scene[top : top + side, left : left + side] = np.asarray(face)
            shift = np.tile([left, top], 2)
            boxes.append((box - np.tile(square[:2], 2)) * side / around + shift)
        yield scene, np.array(boxes, np.float32)


def pasted(detector: Detector, given: argparse.Namespace) -> dict[str, Any]:
    hits = others = count = 0
    for scene, boxes in scenes(given.data):
        faces = detector.detect([scene])[0]
        shared = overlaps(boxes, faces.boxes)
        hits += int((shared.max(axis=1, initial=0) >= 0.5).sum())
        others += int((shared.max(axis=0, initial=0) < 0.3).sum())
        count += len(boxes)
    return {
        "faces": count, "scenes": SCENES, "heights": [24, 40], "recall": round(hits / count, 4),
        "found_elsewhere": others,
    }  # fmt: skip


def none(detector: Detector, given: argparse.Namespace) -> dict[str, Any]:
    finds: dict[str, int] = {}
    pictures, pixels, names = 0, 0, []
    for name, picture in free_pictures():
        names.append(name)
        for side in SIDES:
            factor = side / max(picture.size)
            size = tuple(max(1, round(each * factor)) for each in picture.size)
            plain = np.asarray(picture.resize(size))
            for shown in (plain, np.ascontiguousarray(plain[:, ::-1])):
                found = len(detector.detect([shown])[0])
                pictures += 1
                pixels += shown.shape[0] * shown.shape[1]
                if found:
                    finds[f"{name} {side}"] = finds.get(f"{name} {side}", 0) + found
    return {
        "pictures": pictures, "megapixels": round(pixels / 1e6, 1), "of": names,
        "false_finds": sum(finds.values()), "where": finds,
    }  # fmt: skip


def speed(detector: Detector, given: argparse.Namespace) -> dict[str, Any]:
    encoded = []
    for scene, _ in scenes(given.data):
        content = io.BytesIO()
        Image.fromarray(scene).save(content, "JPEG", quality=90)
        encoded.append(content.getvalue())
    rates = []
    for turn in range(ROUNDS + 1):
        start = time.perf_counter()
        for first in range(0, len(encoded), BATCH):
            detector.detect([decode(content) for content in encoded[first : first + BATCH]])
        if turn:
            rates.append(len(encoded) / (time.perf_counter() - start))
    return {
        "pictures": len(encoded), "size": list(SIZE), "threads": given.threads,
        "rounds": ROUNDS,
        "photos_per_second": round(statistics.median(rates), 1),
        "lowest": round(min(rates), 1), "highest": round(max(rates), 1),
        "load_average": round(os.getloadavg()[0], 1),
    }  # fmt: skip


WHAT = {"aflw2000": aflw2000, "pasted": pasted, "none": none, "speed": speed}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("--data", type=Path, default=Path("AFLW2000"), help="its folder")
    parser.add_argument("--every", type=int, default=1, help="every Nth picture of AFLW2000")
    parser.add_argument("--threshold", type=float, default=0.4)
    parser.add_argument("--longest", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--store", action="store_true", help="add the line to the results")
    given = parser.parse_args()
    detector = CenterFace(threshold=given.threshold, longest=given.longest, threads=given.threads)
    row = {
        "what": given.what, "detector": "centerface", "threshold": given.threshold,
        "longest": given.longest, **WHAT[given.what](detector, given),
        "date": datetime.date.today().isoformat(),
    }  # fmt: skip
    line = json.dumps(row)
    print(line)
    if given.store:
        with RESULTS.open("a") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
