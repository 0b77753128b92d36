"""The reader of .mat files against scipy's, and what is damaged."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from hybridface.data.sources.label_files import LARGEST
from hybridface.data.sources.mat_file import HEADER, read_mat
from hybridface.errors import DataError

MATRICES: dict[str, Any] = {
    "double": np.arange(6.0).reshape(2, 3) / 7,
    "single": np.float32([[1.5, -2.5]]),
    "small": np.array([[3, -4]], np.int8),
    "wide": np.array([[1 << 40], [-1]], np.int64),
    "none": np.zeros((0, 4)),
    "one": np.uint16(65535),
}
OTHERS: dict[str, Any] = {
    "text": "abc",
    "record": {"a": 1.0},
    "cells": np.array([[1.0], "b"], dtype=object),
    "complex": np.array([[1j]]),
    "cube": np.zeros((2, 2, 2)),
}


def saved(content: dict[str, Any], **options: Any) -> bytes:
    out = io.BytesIO()
    savemat(out, content, **options)
    return out.getvalue()


def tag(kind: int, content: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}II", kind, len(content)) + content + bytes(-len(content) % 8)


@pytest.mark.parametrize("packed", [False, True])
def test_matrices_of_numbers_are_those_that_scipy_reads(packed: bool) -> None:
    content = saved(OTHERS | MATRICES, do_compression=packed)
    found = read_mat(content, {*MATRICES, *OTHERS, "absent"})
    assert found.keys() == MATRICES.keys()
    expected = loadmat(io.BytesIO(content))
    for name, matrix in found.items():
        assert matrix.dtype == expected[name].dtype
        np.testing.assert_array_equal(matrix, expected[name])
    assert read_mat(content, ["single"]).keys() == {"single"}


def test_the_other_byte_order() -> None:
    """A matrix of doubles whose numbers are kept as bytes, as MATLAB keeps small whole ones."""
    parts = [
        tag(6, struct.pack(">II", 6, 0), ">"), tag(5, struct.pack(">ii", 1, 3), ">"),
        struct.pack(">HH4s", 1, 1, b"x"), tag(2, bytes([7, 8, 9]), ">"),
    ]  # fmt: skip
    content = bytes(HEADER - 4) + b"\1\0MI" + tag(14, b"".join(parts), ">")
    assert read_mat(content, ["x"])["x"].tolist() == [[7, 8, 9]]


def test_a_wrong_type_of_numbers_is_refused() -> None:
    """Scipy takes it for a place in a table, and the process ends."""
    content = saved({"x": np.ones((3, 3))})
    place = content.rindex(struct.pack("<II", 9, 72))
    for kind in (8, 19, 20, 4000):
        damaged = content[:place] + struct.pack("<I", kind) + content[place + 4 :]
        with pytest.raises(DataError, match=f"numbers of the unknown type {kind}"):
            read_mat(damaged, ["x"])


@pytest.mark.parametrize("packed", [False, True])
def test_wherever_a_file_is_cut_or_changed_it_is_read_or_refused(packed: bool) -> None:
    content = saved({"x": MATRICES["double"], "y": MATRICES["small"]}, do_compression=packed)
    whole = read_mat(content, ["x", "y"])
    for place in range(len(content)):
        for name, matrix in read_or_refused(content[:place]).items():
            np.testing.assert_array_equal(matrix, whole[name])
        for change in (1, 8, 0x7F, 0x80, 0xFF):
            damaged = content[:place] + bytes([content[place] ^ change]) + content[place + 1 :]
            assert all(matrix.ndim == 2 for matrix in read_or_refused(damaged).values())
    assert read_or_refused(content[: HEADER + 40]) == read_or_refused(b"") == {}


def read_or_refused(content: bytes) -> dict[str, Any]:
    try:
        return read_mat(content, ["x", "y"])
    except DataError as error:
        assert str(error).startswith("is not one that can be read (")
        return {}


def test_what_unpacks_to_too_much_is_refused() -> None:
    content = saved({"x": np.zeros((1, LARGEST // 8 + 1))}, do_compression=True)
    assert len(content) < LARGEST / 100
    with pytest.raises(DataError, match=f"of over {LARGEST} bytes"):
        read_mat(content, ["x"])


@pytest.mark.data
def test_real_files_are_read_as_scipy_reads_them(
    shared_data: Callable[[str, str], Path],
) -> None:
    names = ("Pose_Para", "pt2d", "pt3d_68")
    files = sorted(shared_data("aflw2000.zip", "AFLW2000").glob("*.mat"))[::25]
    assert len(files) > 50
    for file in files:
        found, expected = read_mat(file.read_bytes(), names), loadmat(file)
        for name in names:
            np.testing.assert_array_equal(found[name], expected[name])
