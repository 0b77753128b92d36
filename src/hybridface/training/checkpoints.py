"""The checkpoint that a run goes on from: written whole, read without pickles, of known version."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO
from torch import Tensor

import hybridface
from hybridface.data.identity import Identity, changes
from hybridface.errors import DataError, UsageError
from hybridface.files import write_atomically

FORMAT = 2  # 1 had no number of its own and was written at the end of an epoch only
READABLE = (1, 2)
STATE = "hybridface"
UNREADABLE = (
    OSError, EOFError, RuntimeError, UnpicklingError, ValueError, KeyError, TypeError, IndexError,
    AttributeError,
)  # fmt: skip


class CheckpointFile(CheckpointIO):
    """Lets Lightning write and read checkpoints as this module does."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint, whole or not at all.

        Raises:
            HybridFaceError: It cannot be written.
        """
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_atomically(Path(path), content.getvalue())

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; see :func:`read_checkpoint`."""
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; nothing in it is run.

    Raises:
        DataError: It is damaged, holds a pickle of anything but tensors and plain values, or is of
            a version that this one does not know.
    """
    again = "put a whole one there, or remove it to train this run from its start"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: not a whole checkpoint of hybridface ({first}); {again}") from (
            error
        )
    if not isinstance(content, dict) or "pytorch-lightning_version" not in content:
        raise DataError(f"{path}: not a checkpoint of hybridface (something else); {again}")
    state = content.get(STATE, {"format": 1})
    found = state.get("format") if isinstance(state, dict) else None
    if found not in READABLE:
        writer = state.get("version", "unknown") if isinstance(state, dict) else "unknown"
        raise DataError(
            f"{path}: checkpoint of format {found}, written by hybridface {writer}; this is "
            f"hybridface {hybridface.__version__}, which reads the formats "
            f"{' and '.join(map(str, READABLE))}. Go on with the version that wrote it, or remove "
            "the file to train this run from its start"
        )
    if found == FORMAT and not _is_whole(state):
        raise DataError(f"{path}: not a whole checkpoint of hybridface (its state); {again}")
    return content


def _is_whole(state: dict[str, Any]) -> bool:
    """Say whether what this package keeps in a checkpoint is what it writes there."""
    data, place, figures = (state.get(key) for key in ("data", "place", "figures"))
    return (
        isinstance(data, dict)
        and all(isinstance(each, str) for each in (*data, *data.values()))
        and isinstance(place, list | tuple)
        and [type(each) for each in place] == [int, int]
        and isinstance(figures, dict)
        and all(isinstance(each, Tensor) for each in figures.values())
        and isinstance(state.get("batches"), int)
        and all(isinstance(each, int) for each in state.get("counts", {}).values())
    )


def check_checkpoint(path: Path, identity: Identity) -> None:
    """Refuse to go on from a checkpoint before anything of its run is touched.

    Args:
        path: The checkpoint.
        identity: The data as it is now; see :func:`hybridface.data.identity.identify`.

    Raises:
        DataError: See :func:`read_checkpoint`.
        UsageError: The run was trained on other data.
    """
    before = read_checkpoint(path).get(STATE, {}).get("data")
    changed = [] if before is None else changes(before, identity)
    if changed:
        raise UsageError(
            f"{path.parent}: the data is no longer as this run saw it: {'; '.join(changed)}. Put "
            "it back as it was to go on, or train anew in another folder with run=FOLDER; this run "
            "is left as it is"
        )
