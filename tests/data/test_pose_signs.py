"""Poses of different data sets mean the same: what is learned on one holds on the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from skimage.feature import hog

from hybridface import images
from hybridface.data.sources import open_source
from hybridface.rotations import to_angles, to_matrices

Real = Callable[[str, str], Path]
Faces = tuple[np.ndarray, np.ndarray]
SIDE = 32


def features(pixels: np.ndarray) -> np.ndarray:
    """Return (N, K) histograms of oriented gradients of small grey faces (N, side, side)."""
    made = [
        hog(face, pixels_per_cell=(4, 4), cells_per_block=(2, 2), transform_sqrt=True)
        for face in pixels
    ]
    return np.array(made)


def read_faces(spec: str, most: int) -> Faces:
    """Return grey faces (N, side, side), and their yaw and pitch."""
    source = open_source(spec)
    rows = source.read()
    angles = rows.numeric["pose"].values[:, :2]
    index = np.flatnonzero(np.abs(angles).max(1) <= 60)
    index = np.random.default_rng(0).permutation(index)[:most]
    made = source.decode_each(rows, index.tolist(), lambda p: images.resize(p, SIDE).mean(2))
    return np.array(made), angles[index]


def ridge(inputs: np.ndarray, targets: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    middle = targets.mean(0)
    gram = inputs.T @ inputs + 10 * np.eye(inputs.shape[1])
    weights = np.linalg.solve(gram, inputs.T @ (targets - middle))
    return lambda other: other @ weights + middle


@pytest.fixture(scope="module")
def sets(shared_data: Real) -> dict[str, Faces]:
    return {
        "aflw2000": read_faces(f"aflw2000:{shared_data('aflw2000.zip', 'AFLW2000')}", 900),
        "pointing04": read_faces(
            f"pointing04:{shared_data('pointing04.zip', 'HeadPoseImageDatabase')}", 900
        ),
        "drawn": read_faces("drawn:900", 900),
    }


@pytest.mark.data
@pytest.mark.parametrize(
    ("learned", "tried", "bounds"),
    [
        ("aflw2000", "pointing04", (0.4, 0.4)),
        ("pointing04", "aflw2000", (0.2, 0.2)),
        # Drawn faces nod too little for a model this simple: nothing is said of pitch.
        ("drawn", "aflw2000", (0.3, -np.inf)),
    ],
)
def test_yaw_and_pitch_mean_the_same(
    sets: dict[str, Faces], learned: str, tried: str, bounds: tuple[float, float]
) -> None:
    faces, angles = sets[learned]
    predict = ridge(features(faces), angles)
    others, expected = sets[tried]
    found = predict(features(others))
    correlation = [np.corrcoef(found[:, k], expected[:, k])[0, 1] for k in (0, 1)]
    print(f"correlation of yaw and pitch, {learned} to {tried}: {np.round(correlation, 2)}")
    assert (np.array(correlation) > bounds).all()
    mirrored = predict(features(others[:, :, ::-1]))
    assert np.corrcoef(mirrored[:, 0], expected[:, 0])[0, 1] < -bounds[0] / 2
    assert np.corrcoef(mirrored[:, 1], expected[:, 1])[0, 1] > bounds[1] / 2


@pytest.mark.data
def test_the_bound_of_99_degrees_leaves_next_to_no_upside_down_head(shared_data: Real) -> None:
    rows = open_source(f"aflw2000:{shared_data('aflw2000.zip', 'AFLW2000')}").read()
    pose = rows.numeric["pose"].values
    apart = np.abs(to_angles(to_matrices(pose)) - pose).max(1) > 0.1
    assert apart.sum() <= 1  # of 1,620
