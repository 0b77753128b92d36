"""Many requests: none lost, and memory that stays where it is."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tiny_models import EXPRESSIONS, write_model

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "serving.py"
GROWTH_MIB = 40.0


@pytest.fixture(scope="module")
def script() -> ModuleType:
    pytest.importorskip("skimage")
    spec = importlib.util.spec_from_file_location("serving_benchmark", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def served_many(script: ModuleType, folder: Path, count: int) -> list[float]:
    """Send requests to a server; returns its memory after each tenth of them, in MiB."""
    model = write_model(folder / "model.onnx", {"expression": EXPRESSIONS})
    bodies = [path.read_bytes() for path in script.write_photos(folder, 8)]
    with script.server(str(model), "--longest-side", "128") as (address, pid):
        # What the allocator keeps from a first burst is no leak.
        assert script.measure(address, bodies, 100, 16)["lost"] == 0
        found = script.flat(address, pid, bodies, count, 10)
    assert (found["requests"], found["lost"]) == (count, 0)
    memory: list[float] = found["memory_mib"]
    return memory


def test_500_requests_are_answered_and_memory_stays(script: ModuleType, tmp_path: Path) -> None:
    memory = served_many(script, tmp_path, 500)
    assert memory[-1] - memory[0] < GROWTH_MIB, memory


@pytest.mark.slow
def test_10_000_requests_are_answered_and_memory_is_flat(
    script: ModuleType, tmp_path: Path
) -> None:
    memory = served_many(script, tmp_path, 10_000)
    assert memory[-1] - memory[1] < GROWTH_MIB / 4, memory


def test_a_request_that_is_lost_is_counted(script: ModuleType, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model.onnx", {"expression": EXPRESSIONS})
    with script.server(str(model), "--longest-side", "128") as (address, _):
        found = script.measure(address, [b"no picture"], 3, 2)
    assert (found["requests"], found["lost"]) == (3, 3)
