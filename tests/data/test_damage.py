from __future__ import annotations

import json
import random
import resource
import shutil
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from damage import EXAMPLES, write_damaged
from hybridface.config import DataConfig
from hybridface.data.prepare import PreparedData, prepare_data
from hybridface.data.source import as_text
from hybridface.errors import HybridFaceError

FEW, MANY = 40, 1000
SECONDS = 20.0
MOST_MEMORY = 400 << 10  # KiB that a process may grow by


class Hangs(BaseException):
    """An input took too long."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise where the block takes longer."""

    def stop(*_: object) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def prepare(spec: str, columns: tuple[str, ...]) -> PreparedData:
    config = DataConfig(source=spec, size=16, validation=0.3)
    return prepare_data(config, columns, seed=0)


def check(data: PreparedData) -> None:
    """Every row is used, or named; and the report can be written."""
    json.dumps(data.report(), ensure_ascii=False).encode()
    named = {problem.where for problem in data.problems}
    named |= {as_text(key) for key in (*data.duplicates, *data.validation_duplicates)}
    used = np.concatenate(list(data.splits.values()))
    assert len(np.unique(used)) == len(used)
    for row in set(range(len(data.keys))) - set(used.tolist()):
        assert as_text(data.keys[row]) in named, data.keys[row]


def failures(kind: str, seeds: range, place: Path) -> tuple[dict[int, str], int]:
    """Return for each seed what went wrong that is no error of ours, and how many worked."""
    build, spec, columns = EXAMPLES[kind]
    example = build()
    wrong: dict[int, str] = {}
    worked = 0
    for seed in seeds:
        root = place / str(seed)
        write_damaged(example, root, random.Random(f"{kind} {seed}"))
        try:
            with limited(SECONDS):
                check(prepare(spec.format(root), columns))
            worked += 1
        except HybridFaceError as error:
            if not str(error).strip():
                wrong[seed] = "an error that says nothing"
        except (Exception, Hangs) as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            wrong[seed] = f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})"[-400:]
        shutil.rmtree(root)
    return wrong, worked


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_examples_are_whole(kind: str, tmp_path: Path, hybridface_cache: Path) -> None:
    build, spec, columns = EXAMPLES[kind]
    for name, content in build().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    data = prepare(spec.format(tmp_path), columns)
    check(data)
    assert data.problems == []
    assert sum(map(len, data.splits.values())) == len(data.keys) >= 12


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"]
)
@pytest.mark.parametrize("kind", EXAMPLES)
def test_damaged_data_is_named_or_refused(
    kind: str, count: int, tmp_path: Path, hybridface_cache: Path
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wrong, worked = failures(kind, range(count), tmp_path)
    assert not wrong, "\n".join(f"{seed}: {what}" for seed, what in wrong.items())
    assert worked > count / 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY
