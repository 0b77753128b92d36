"""Memory that a training step frees is kept for the next one, where glibc gives memory out."""

from __future__ import annotations

import ctypes
import os
import platform

# The names of glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory in the process rather than hand it back to the kernel.

    As it comes, glibc maps every large tensor afresh and unmaps it when it is freed, so each step
    waits for the kernel to clear the same pages again; ``benchmarks/batch_sizes.py`` measures what
    that costs. The process keeps the most memory that it has needed, which gaps between tensors may
    make larger. Holds for the whole process from then on.

    Returns:
        Whether it was told so. Not without glibc, and not where the environment says how memory is
        to be given out (``MALLOC_…``, or ``glibc.malloc`` in ``GLIBC_TUNABLES``).
    """
    told = any(name.startswith("MALLOC_") for name in os.environ)
    if told or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    never = -1
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, never))
