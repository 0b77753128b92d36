from __future__ import annotations

import inspect
import math
import re
from pathlib import Path

import pytest

from hybridface.cli.serving import serve
from hybridface.errors import UsageError
from hybridface.serving.limits import Gate, Limits, RefusedError


def test_what_a_request_takes_is_given_back_however_it_ends() -> None:
    gate = Gate(Limits(waiting=3, pictures=3, request_bytes=10, held_bytes=20))
    with gate.place() as one:
        one.take(pictures=1, count=15)
        with pytest.raises(RefusedError) as refused, gate.place() as other:
            assert gate.pictures == 3
            other.take(count=6)
        assert refused.value.status == 429 and refused.value.again_after == 1
        assert (gate.pictures, gate.bytes) == (2, 15)
        with pytest.raises(RefusedError, match="2 pictures"):
            one.take(pictures=2)
    assert (gate.pictures, gate.bytes) == (0, 0)


def test_a_full_gate_lets_nobody_in() -> None:
    gate = Gate(Limits(waiting=1, pictures=1))
    with gate.place():
        with pytest.raises(RefusedError), gate.place():
            pass
        assert gate.pictures == 1
    assert gate.pictures == 0


@pytest.mark.parametrize(
    "changes", [
        {"seconds": 0}, {"seconds": math.inf}, {"seconds": math.nan}, {"pixels": -1},
        {"held_bytes": 5}, {"waiting": 15}, {"pictures": 129},
    ],
)  # fmt: skip
def test_limits_that_would_refuse_everything_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="limit"):
        Limits(**changes)


def test_the_command_and_the_page_have_the_limits_that_hold_without_them() -> None:
    page = (Path(__file__).parents[2] / "docs" / "serve.md").read_text()
    written = dict(re.findall(r"^\| `--([a-z-]+)` \| (\d+) \|", page, re.MULTILINE))
    given = inspect.signature(serve).parameters
    command = {name: given[name.replace("-", "_")].default for name in written}
    assert {name: float(number) for name, number in written.items()} == command
    assert len(command) == 7
    assert Limits() == Limits(
        request_bytes=command["max-mb"] * 10**6,
        pixels=command["max-megapixels"] * 10**6,
        held_bytes=command["max-held-mb"] * 10**6,
        pictures=command["max-pictures"],
        faces=command["max-faces"],
        waiting=command["max-waiting"],
        seconds=command["timeout"],
    )
