"""Pictures that show the same with another encoding, size, light or cut, by their pixels alone.

Two steps. All pairs are screened by a perceptual signature, the low frequencies of a small grey
picture as in pHash (Zauner 2010, "Implementation and benchmarking of perceptual image hash
functions"), kept as numbers and not as bits: a product of two matrices compares a block of
pictures with another, so no memory grows with the square of their number. What is left is looked
at again: how much of the one picture the other leaves unexplained (:mod:`.alignment`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridface.data.cache import Progress
from hybridface.data.check.alignment import ALIKE, Grey, similarity
from hybridface.data.check.cosine import Floats, sharpened
from hybridface.data.check.graph import Ids, components

SCREEN = 0.75  # least correlation of two signatures that is looked at again
FLAT = 2.0  # least standard deviation, in grey levels, of a picture that shows something
FREQUENCIES = 8  # of a signature, in each direction
_ROWS, _COLUMNS, _PAIRS = 512, 8192, 2048


@dataclass(frozen=True)
class Similar:
    """Which of N different pictures are near duplicates.

    Attributes:
        labels: ``(N,)`` the same for pictures that a chain of near duplicates joins.
        mirrored: Indices of pictures that were joined as the mirror image of another.
    """

    labels: Ids
    mirrored: Ids


def find_similar(small: Grey, progress: Progress | None = None) -> Similar:
    """Find the near duplicates among many pictures, mirror images among them.

    Time grows with the square of N, memory does not. Pictures that show nothing, such as black
    ones, are near to none.

    Args:
        small: ``(N, S, S)`` grey uint8.
        progress: Called with (done, total) pictures.
    """
    count = len(small)
    labels = np.arange(count, dtype=np.int64)
    mirrored = [labels[:0]]
    for pairs, flipped, done in candidates(signatures(small)):
        for start in range(0, len(pairs), _PAIRS):
            first, second = pairs[start : start + _PAIRS].T
            apart = labels[first] != labels[second]  # else others have joined them
            if not apart.any():
                continue
            first, second = first[apart], second[apart]
            flip = flipped[start : start + _PAIRS][apart]
            one = small[first]
            one[flip] = one[flip, :, ::-1]
            near = similarity(one, small[second]) >= ALIKE
            labels = components(labels, first[near], second[near])
            mirrored.append(first[near & flip])
        if progress is not None:
            progress(done, count)
    return Similar(labels, np.unique(np.concatenate(mirrored)))


def signatures(small: Grey) -> Floats:
    """Return the signature of each picture, which the mean and the spread of its light leave alone.

    The coefficients of the discrete cosine transform below ``FREQUENCIES`` in each direction
    without the mean, each times its frequency, which evens out what all faces have in common.

    Args:
        small: ``(N, S, S)`` grey uint8.

    Returns:
        ``(N, FREQUENCIES**2 - 1)`` of length 1; zeros for pictures that show nothing.
    """
    signed = np.zeros((len(small), FREQUENCIES**2 - 1), dtype=np.float32)
    for start in range(0, len(small), _COLUMNS):
        part = small[start : start + _COLUMNS].astype(np.float32)
        terms = sharpened(part, FREQUENCIES, 1.0).reshape(len(part), -1)[:, 1:]
        length = np.linalg.norm(terms, axis=1, keepdims=True)
        shows = part.std(axis=(1, 2))[:, None] >= FLAT
        signed[start : start + _COLUMNS] = np.where(shows, terms / np.maximum(length, 1e-6), 0)
    return signed


def candidates(signed: Floats) -> Iterator[tuple[Ids, NDArray[np.bool_], int]]:
    """Yield pairs of pictures whose signatures agree, as they are or mirrored.

    Args:
        signed: What :func:`signatures` gave.

    Yields:
        ``(P, 2)`` indices, the first below the second; ``(P,)`` whether they agree better with the
        one mirrored; and how many pictures have been compared with all others.
    """
    count = len(signed)
    odd = np.tile(np.arange(FREQUENCIES) % 2 == 1, FREQUENCIES)[1:]
    mirror = np.where(odd, -1, 1).astype(np.float32)  # cosines of odd frequency are odd themselves
    for top in range(0, count, _ROWS):
        rows = signed[top : top + _ROWS]
        for left in range(top, count, _COLUMNS):
            columns = signed[left : left + _COLUMNS].T
            upright, flipped = rows @ columns, (rows * mirror) @ columns
            pairs = np.argwhere(np.maximum(upright, flipped) >= SCREEN)
            pairs = pairs[pairs[:, 0] + top < pairs[:, 1] + left]
            places = pairs[:, 0], pairs[:, 1]
            yield pairs + np.array([top, left]), flipped[places] > upright[places], top
    yield np.empty((0, 2), dtype=np.int64), np.empty(0, dtype=bool), count
