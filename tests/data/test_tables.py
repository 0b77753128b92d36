from __future__ import annotations

import tracemalloc

import numpy as np

from hybridface.data.sources.tables import numbered


def test_numbers_are_equal_for_equal_values_and_in_their_order() -> None:
    values = ["b", "a", "\0z", "b", "Z", "\u00e9", ""]
    numbers = numbered(values)
    assert numbers.dtype == np.int64
    assert numbers.tolist() == np.unique(np.array(values), return_inverse=True)[1].tolist()
    assert numbered([]).tolist() == []


def test_one_long_value_does_not_make_all_long() -> None:
    values = ["long" * 10_000, *map(str, range(500))]
    tracemalloc.start()
    numbers = numbered(values)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(set(numbers.tolist())) == 501
    assert most < 1_000_000
