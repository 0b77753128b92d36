"""What a process does that :mod:`hybridface.training.launch` has started."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import NoReturn

import torch

from hybridface.config import load_recipe
from hybridface.errors import HybridFaceError
from hybridface.training.train import train


def work(file: str, parent: int, *, resume: bool, show_progress: bool) -> NoReturn:
    """Train as one of several processes, and leave word where that fails.

    Args:
        file: The recipe.
        parent: The process that started this one, whose end is the end of this one too.
        resume: Go on with the run where there is one.
        show_progress: Show progress bars.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if "OMP_NUM_THREADS" not in os.environ:  # the processes share the cores
        share = torch.get_num_threads() // int(os.environ["LOCAL_WORLD_SIZE"])
        torch.set_num_threads(max(1, share))
    try:
        train(load_recipe(file), resume=resume, show_progress=show_progress)
    except HybridFaceError as error:
        _leave_word(str(error), error.exit_code)
        sys.exit(error.exit_code)
    except Exception as error:
        if os.environ.get("HYBRIDFACE_DEBUG"):
            traceback.print_exc()
        _leave_word(f"{type(error).__name__}: {error}", None)
        sys.exit(1)
    sys.exit(0)


def _leave_word(message: str, exit_code: int | None) -> None:
    """Write where PyTorch's launcher looks for it."""
    word = {"message": message, "exit_code": exit_code, "timestamp": int(time.time())}
    Path(os.environ["TORCHELASTIC_ERROR_FILE"]).write_text(json.dumps(word), encoding="utf-8")


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone, however that ended."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
