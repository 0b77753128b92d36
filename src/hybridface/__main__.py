"""``python -m hybridface``."""

from hybridface.cli import main

main()
