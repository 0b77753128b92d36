"""Freed memory stays with the process, unless its environment says otherwise."""

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")

MIB = 256
PROGRAM = f"""
import resource, torch
from hybridface.training.allocator import keep_freed_memory

def resident():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * resource.getpagesize() // 2**20

told = keep_freed_memory()
before = resident()
tensor = torch.ones({MIB}, 2**18)
held = resident() - before
del tensor
kept = resident() - before
smaller = torch.ones({MIB // 2}, 2**18)
print(told, held, kept, resident() - before)
"""


def _run(**environment: str) -> tuple[bool, int, int, int]:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MALLOC_") and name != "GLIBC_TUNABLES"
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    told, *sizes = done.stdout.split()
    held, kept, later = map(int, sizes)
    return told == "True", held, kept, later


def test_freed_memory_is_kept_and_used_again() -> None:
    told, held, kept, later = _run()
    assert told
    assert kept >= 0.95 * MIB
    assert later <= held + 1


@pytest.mark.parametrize(
    "environment",
    [{"MALLOC_MMAP_THRESHOLD_": "1048576"}, {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}],
    ids=lambda environment: next(iter(environment)),
)
def test_what_the_environment_says_is_left_alone(environment: dict[str, str]) -> None:
    told, held, kept, _ = _run(**environment)
    assert not told
    assert held >= 0.95 * MIB
    assert kept < 0.1 * MIB
