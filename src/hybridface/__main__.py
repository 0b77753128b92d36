"""``python -m hybridface``, and the command ``hybridface``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is loaded, too, is one line and exit code 130."""
    try:
        from hybridface.cli import main as run

        run()
    except KeyboardInterrupt:
        print("hybridface: stopped", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
