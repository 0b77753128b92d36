"""What a run was trained on, in a few digests, so that a resumed one is known to see the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hybridface.data.prepare import PreparedData
from hybridface.data.source import Labels, NumericLabels

Identity = dict[str, str]  # by the name of a part: how many, and a digest


def identify(data: PreparedData) -> Identity:
    """Return a digest of each part of the data that decides what a run learns and is measured by.

    Equal for equal data, wherever it lies and whenever it was decoded.
    """
    rows = len(data.keys)
    identity = {f"the pictures of {data.spec}": f"{rows} {data.fingerprint}"}
    if data.weights:
        identity["data.sources.*.weight"] = ", ".join(f"{weight:g}" for weight in data.weights)
    for column, labels in data.labels.items():
        identity[f"the labels '{column}'"] = f"{len(labels.ids)} {_of_labels(labels)}"
    for column, numbers in data.numeric.items():
        identity[f"the numbers '{column}'"] = f"{len(numbers.values)} {_of_numbers(numbers)}"
    for split, index in data.splits.items():
        identity[f"the rows of split '{split}'"] = f"{len(index)} {_digest(index)}"
    if (others := data.unlabelled) is not None:
        for spec, index, fingerprint in zip(
            others.specs, others.rows, others.fingerprints, strict=True
        ):
            name = f"the pictures of data.unlabelled {spec}"
            identity[name] = f"{len(index)} {fingerprint}-{_digest(index)}"
    return identity


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Say what differs between two identities, in words; an empty list where nothing does."""
    said = []
    for name in dict.fromkeys([*before, *now]):
        one, other = before.get(name), now.get(name)
        if one == other:
            continue
        counts = [(each or "0").partition(" ")[0] for each in (one, other)]
        how = "as many, others" if counts[0] == counts[1] else f"{counts[0]} then, {counts[1]} now"
        said.append(f"{name} ({how})")
    return said


def _of_labels(labels: Labels) -> str:
    votes = [] if labels.soft is None else [labels.soft]
    return _digest(np.array(labels.names), labels.ids, *votes)


def _of_numbers(numbers: NumericLabels) -> str:
    known = np.isfinite(numbers.values)  # a NaN has many bit patterns
    # Angles that a source computes may differ in their last bits between machines.
    values = np.round(np.where(known, numbers.values, 0).astype(np.float64), 3) + 0.0
    return _digest(np.array([*numbers.names, numbers.unit]), values, known)


def _digest(*arrays: NDArray[np.generic]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]
