"""Matrices of numbers in MATLAB's ``.mat`` files of version 5, damaged ones included.

scipy's ``loadmat`` is not for files that may be damaged: a wrong type code in one makes it follow
a wild pointer, which ends the process without a word. Here every code and length is looked at
before it is used. The layout is that of "MAT-File Level 5 File Format" (The MathWorks).
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridface.data.sources.label_files import LARGEST
from hybridface.errors import DataError

HEADER = 128
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_NUMERIC_CLASSES = range(6, 16)  # of double to that of unsigned 64-bit integers
_COMPLEX = 0x0800


def read_mat(content: bytes, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Return matrices of real numbers by their names.

    Args:
        content: A whole file.
        names: Those that are asked for; what is not there, or is no matrix of real numbers, is
            left out.

    Raises:
        DataError: It is no whole file of version 5; does not name it.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[HEADER - 2 : HEADER])
    if order is None:
        raise _unreadable("no header of version 5")
    found: dict[str, NDArray[Any]] = {}
    rest = content[HEADER:]
    while rest and len(found) < len(names):
        kind, body, rest = _element(rest, order, align=1)
        if kind == _COMPRESSED:
            kind, body, _ = _element(_unpacked(body), order)
        if kind != _MATRIX:
            raise _unreadable(f"an element of type {kind} in place of an array")
        name, array = _array(body, order)
        if name in names and array is not None:
            found.setdefault(name, array)
    return found


def _element(content: bytes, order: str, align: int = 8) -> tuple[int, bytes, bytes]:
    """Return the type and the bytes of the first element, and what follows it."""
    if len(content) < 8:
        raise _unreadable("cut off")
    kind, size = struct.unpack_from(f"{order}II", content)
    start = 8
    if kind >> 16:  # the short form: both in four bytes, and the content in the next four
        kind, size, start = kind & 0xFFFF, kind >> 16, 4
    stop = start + size
    if stop > (len(content) if start == 8 else 8):
        raise _unreadable("cut off")
    return kind, content[start:stop], content[math.ceil(stop / align) * align :]


def _unpacked(content: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        unpacked = stream.decompress(content, LARGEST)
    except zlib.error as error:
        raise _unreadable(str(error)) from error
    if not stream.eof:
        raise _unreadable(f"a compressed array that is cut off, or of over {LARGEST} bytes")
    return unpacked


def _array(content: bytes, order: str) -> tuple[str, NDArray[Any] | None]:
    """Return an array's name, and itself, or None where it is no matrix of real numbers."""
    kind, flags, content = _element(content, order)
    if (kind, len(flags)) != (_UINT32, 8):
        raise _unreadable("an array without flags")
    (flag,) = struct.unpack_from(f"{order}I", flags)
    if flag & 0xFF not in _NUMERIC_CLASSES or flag & _COMPLEX:
        return "", None
    kind, sizes, content = _element(content, order)
    if kind != _INT32 or len(sizes) % 4:
        raise _unreadable("an array without a shape")
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    kind, name, content = _element(content, order)
    if kind != _INT8:
        raise _unreadable("an array without a name")
    if len(shape) != 2:
        return name.decode("latin-1"), None
    kind, values, _ = _element(content, order)
    if kind not in _NUMBERS:
        raise _unreadable(f"numbers of the unknown type {kind}")
    dtype = np.dtype(order + _NUMBERS[kind])
    if min(shape) < 0 or math.prod(shape) * dtype.itemsize != len(values):
        raise _unreadable(f"{len(values)} bytes of a matrix of {shape[0]} x {shape[1]}")
    return name.decode("latin-1"), np.ndarray(shape, dtype, values, order="F")


def _unreadable(what: str) -> DataError:
    return DataError(f"is not one that can be read ({what})")
