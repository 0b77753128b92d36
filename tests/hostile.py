"""Files that would do something if they were read by pickle."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def plain_pickle(path: Path, bomb: Bomb) -> None:
    path.write_bytes(pickle.dumps(bomb))


def torch_file(path: Path, bomb: Bomb) -> None:
    torch.save({"state_dict": bomb, "pytorch-lightning_version": "2.5.0"}, path)


def old_torch_file(path: Path, bomb: Bomb) -> None:
    torch.save({"state_dict": bomb}, path, _use_new_zipfile_serialization=False)


def object_array(path: Path, bomb: Bomb) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([bomb], dtype=object), allow_pickle=True)


def object_arrays(path: Path, bomb: Bomb, like: Path | None = None) -> None:
    """Write ``.npz`` of the names of another, each an array of objects."""
    names = ["about", "decoded"]
    if like is not None:
        with zipfile.ZipFile(like) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
    arrays = {name: np.array([bomb], dtype=object) for name in names}
    with path.open("wb") as file:
        np.savez(file, allow_pickle=True, **arrays)


WRITERS = {
    "a pickle": plain_pickle,
    "torch's": torch_file,
    "torch's old": old_torch_file,
    "an array": object_array,
    "arrays": object_arrays,
}
