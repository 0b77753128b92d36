"""Copy a data set with smaller pictures, in the same layout, for a machine that is far away.

``python tools/pack_pictures.py KIND:PATH FOLDER`` writes every picture of the source again as
WebP, under its old name (readers look at the content): what lies outside its face box is grey, one
without a box is shrunk to ``--side``. ``.mat`` files keep the pose and the points; all other files
are copied. Keys, labels and boxes stay as they were, and the tool checks that they did.
"""

import argparse
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import loadmat, savemat

from hybridface.data.source import Rows
from hybridface.data.sources import open_source, split_spec
from hybridface.images import SUFFIXES

GREY = 128
EDGE = 2  # pixels beside the box that are kept, for whoever interpolates there


def pack_picture(path: Path, target: Path, box: np.ndarray | None, side: int, quality: int) -> None:
    """Write one picture again."""
    with Image.open(path) as opened:
        image = opened if opened.mode == "L" else opened.convert("RGB")
        image.load()
    if box is None:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    else:
        left, top = (max(0, int(value) - EDGE) for value in box[:2])
        right = min(image.width, int(box[2]) + 1 + EDGE)
        bottom = min(image.height, int(box[3]) + 1 + EDGE)
        kept = image.crop((left, top, right, bottom))
        image = Image.new(image.mode, image.size, GREY if image.mode == "L" else (GREY,) * 3)
        image.paste(kept, (left, top))
    image.save(target, "WEBP", quality=quality, method=6)


def pack_other(path: Path, target: Path) -> None:
    """Copy a file that is no picture; of a ``.mat`` file what poses are read from."""
    if path.suffix != ".mat":
        shutil.copyfile(path, target)
        return
    content = loadmat(path, variable_names=["Pose_Para", "pt2d"])
    kept = {name: value for name, value in content.items() if not name.startswith("__")}
    savemat(target, kept, do_compression=True)


def same(first: Rows, second: Rows) -> bool:
    """Say whether two readings of a data set are the same but for their pictures."""
    return (
        list(first.keys) == list(second.keys)
        and np.array_equal(first.split, second.split)
        and all(np.array_equal(c.ids, second.labels[n].ids) for n, c in first.labels.items())
        and all(
            np.array_equal(c.values, second.numeric[n].values, equal_nan=True)
            for n, c in first.numeric.items()
        )
        and (first.boxes is None or np.array_equal(first.boxes, second.boxes, equal_nan=True))
    )


def main() -> None:
    """Pack what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("source")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--quality", type=int, default=90)
    options = parser.parse_args()
    if options.folder.exists():  # the data set itself, at worst
        raise SystemExit(f"{options.folder}: is there already; name another folder")
    source = open_source(options.source)
    rows = source.read()
    places = {key: place for place, key in enumerate(rows.keys)}
    jobs = []
    for path in sorted(path for path in source.root.rglob("*") if path.is_file()):
        key = str(path.relative_to(source.root))
        target = options.folder / key
        if key not in places and path.suffix in SUFFIXES:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        jobs.append((path, target, places.get(key)))

    def work(job: tuple[Path, Path, int | None]) -> None:
        path, target, place = job
        if place is None:
            pack_other(path, target)
            return
        box = None if rows.boxes is None else rows.boxes[place]
        box = None if box is None or np.isnan(box).any() else box
        pack_picture(path, target, box, options.side, options.quality)

    with ThreadPoolExecutor() as pool:
        list(pool.map(work, jobs))
    spec = split_spec(options.source)
    packed = open_source(f"{spec.kind}:{options.folder}?{spec.query}").read()
    if not same(rows, packed):
        raise SystemExit(f"{options.folder}: reads otherwise than {options.source}")
    size = sum(path.stat().st_size for path in options.folder.rglob("*") if path.is_file())
    print(f"{options.folder}: {len(rows)} pictures, {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
