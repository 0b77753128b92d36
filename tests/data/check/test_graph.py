"""Components against a slow search; ids merged over columns."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hybridface.data.check.graph import components, merge_groups

Edges = list[tuple[int, int]]


def slow(count: int, edges: Edges) -> list[int]:
    labels = list(range(count))
    for a, b in edges:
        low, high = sorted((labels[a], labels[b]))
        labels = [low if each == high else each for each in labels]
    return labels


edges_of = st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40)


@given(edges_of, edges_of)
def test_components_are_those_of_joining_edge_by_edge(edges: Edges, later: Edges) -> None:
    labels = np.arange(30)
    for part in (edges, later):
        ends = np.array(part, dtype=np.int64).reshape(-1, 2)
        labels = components(labels, ends[:, 0], ends[:, 1])
    assert labels.tolist() == slow(30, edges + later)


ids_of = st.lists(st.integers(-2, 6), min_size=20, max_size=20)


@given(ids_of, ids_of)
def test_merged_groups_hold_all_that_share_an_id(first: list[int], second: list[int]) -> None:
    edges = [
        (a, b)
        for ids in (first, second)
        for a in range(20)
        for b in range(a)
        if ids[a] == ids[b] >= 0
    ]
    expected = np.unique(slow(20, edges), return_inverse=True)[1]
    merged = merge_groups(20, [np.array(first), np.array(second)])
    assert merged.tolist() == expected.tolist()
    assert merge_groups(3, []).tolist() == [0, 1, 2]
