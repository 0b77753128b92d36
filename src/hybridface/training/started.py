"""What a process does that a study has started: it trains, and ends with the study.

``python -m hybridface.training.started train RECIPE …`` is ``hybridface train RECIPE …`` for who
holds the other end of its standard input. Nothing is ever written there; that the end is closed,
however the holder ended, is the sign, on Linux, macOS and Windows alike.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

STANDARD_INPUT = 0


def end_with_starter() -> None:
    """Have SIGTERM save and end this training, once what started it has gone."""
    threading.Thread(target=_wait_for_its_end, daemon=True).start()


def _wait_for_its_end() -> None:
    try:
        while os.read(STANDARD_INPUT, 1):
            pass
    except OSError:
        pass  # no more to be read either
    print("hybridface: what started this training has gone; it saves and ends", file=sys.stderr)
    if sys.platform == "win32":  # where os.kill would end it at once
        signal.raise_signal(signal.SIGTERM)
    else:  # of all threads the main one, which may wait for something
        os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run the command line as long as what started it is there."""
    end_with_starter()
    from hybridface.__main__ import main as run

    run()


if __name__ == "__main__":
    main()
