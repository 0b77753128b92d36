from __future__ import annotations

import math

import pytest

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
