"""RAF-DB basic (Li, Deng and Du, CVPR 2017), aligned faces in the official layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hybridface.data.source import (
    MISSING,
    Labels,
    Problem,
    Rows,
    Source,
    describe_folder,
)
from hybridface.data.sources.label_files import (
    find_file,
    find_folder,
    first_folder,
    key,
    pictures_in,
    read_lines,
)
from hybridface.data.sources.tables import Tally, whole_number

NAMES = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")
_LIST = "list_patition_label.txt"
_SPLITS = ("train", "test")
_FOLDERS = ("", "rafdb", "basic", "RAF-DB/basic", "rafdb/basic")
_COMPOUND = {8, 9, 10, 11}  # labels that only the set of compound expressions has


class RafDb(Source):
    """RAF-DB's seven basic expressions; the file name tells the split, nothing tells the person."""

    kind = "rafdb"
    layout = (
        "PATH/EmoLabel/list_patition_label.txt with lines 'train_00001.jpg 5' (1 surprise, 2 fear, "
        "3 disgust, 4 happy, 5 sad, 6 angry, 7 neutral) and PATH/Image/aligned/"
        "train_00001_aligned.jpg (or PATH/Image/aligned/aligned, as unpacked by some tools); "
        "PATH may also be the folder above, or its 'basic' folder; or the pictures in "
        "PATH/DATASET/train/1 to 7 and PATH/DATASET/test/1 to 7 (DATASET may be left out)"
    )

    def read(self) -> Rows:
        """Read the label list; see :meth:`hybridface.data.source.Source.read`."""
        label_file = find_file(self, f"EmoLabel/{_LIST}", _FOLDERS)
        return self._by_folder() if label_file is None else self._by_list(label_file)

    def _by_list(self, label_file: Path) -> Rows:
        pictures = self._pictures(label_file.parents[1])
        keys, splits, ids, problems = [], [], [], []
        tally = Tally()
        seen = set()
        for number, line in enumerate(read_lines(label_file), start=1):
            if not line:
                continue
            where = f"{_LIST}:{number}"
            name, _, label = line.rpartition(" ")
            stem = Path(name).stem
            split = stem.partition("_")[0]
            if split not in _SPLITS:
                tally.add(where, "split", f"'{line[:60]}' names no train_ or test_ picture")
                continue
            value = whole_number(label) or 0
            seen.add(value)
            known = 1 <= value <= len(NAMES)
            keys.append(key(pictures, f"{stem}_aligned.jpg"))
            if not known:
                what = f"unknown label '{label[:20]}' in {where}, expected 1 to {len(NAMES)}"
                problems.append(Problem(keys[-1], what))
            splits.append(split)
            ids.append(value - 1 if known else MISSING)
        problems += tally.problems()
        if not keys:
            raise self.refuse(f"no usable line in {label_file}")
        if seen >= _COMPOUND:
            raise self.refuse(
                f"labels from 1 to 11 in {label_file}: these are RAF-DB's compound expressions, "
                "whose numbers mean others than those of the basic ones"
            )
        labels = Labels(NAMES, np.array(ids, dtype=np.int64))
        return Rows(keys, np.array(splits), {"expression": labels}, problems=problems)

    def _pictures(self, above: Path) -> str:
        """Return the folder of the aligned pictures, relative to the root."""
        images = above / "Image"
        inside = find_folder(images, ("aligned/aligned", "aligned"))
        if inside is not None:
            return (images / inside).relative_to(self.root).as_posix()
        raise self.refuse(
            f"{_LIST}, but no folder Image/aligned of its pictures (unpack aligned.zip there); "
            f"in {images}: {describe_folder(images)}"
        )

    def _by_folder(self) -> Rows:
        """Read the pictures of each class from a folder called by its number."""
        numbers = {str(number) for number in range(1, len(NAMES) + 1)}
        places = [key(above, split) for above in ("DATASET", "") for split in _SPLITS]
        above = first_folder(self, places, numbers.__contains__).rpartition("/")[0]
        keys, splits, ids = [], [], []
        for split in _SPLITS:
            for number in range(len(NAMES)):
                folder = key(above, split, str(number + 1))
                names = pictures_in(self.root / folder)
                keys += [key(folder, name) for name in names]
                splits += [split] * len(names)
                ids += [number] * len(names)
        if not keys:
            raise self.refuse(f"folders 1 to {len(NAMES)} without a picture")
        notes = [f"no picture in {split}/" for split in _SPLITS if split not in splits]
        labels = Labels(NAMES, np.array(ids, dtype=np.int64))
        return Rows(keys, np.array(splits), {"expression": labels}, notes=notes)
