"""A task of a user's own that kills the process it is trained in, once."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from torch import Generator, Tensor

from hybridface.data.batches import Batch
from hybridface.tasks.base import View
from hybridface.tasks.rotation import Rotation


class Dying(Rotation):
    """Notes every view in a file named by an environment variable; the sixth one is deadly.

    Only cells with a file of the name ``PLACE.WEIGHT`` die, WEIGHT being that of the task.
    """

    def make_view(self, images: Tensor, batch: Batch, generator: Generator) -> View:
        chosen = Path(f"{os.environ['DYING_TASK']}.{self.config.weight:g}")
        if chosen.exists():
            with chosen.open("a", encoding="utf-8") as file:
                file.write(f"{os.getpid()}\n")
            if len(chosen.read_text(encoding="utf-8").splitlines()) == 6:
                os.kill(os.getpid(), signal.SIGKILL)
        view: Any = super().make_view(images, batch, generator)
        return view
