"""Near duplicates are found however they came about, and different faces are not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.fft import dctn

from hybridface.data.check import similar
from hybridface.data.check.alignment import ALIKE, similarity
from hybridface.data.check.cosine import sharpened
from hybridface.data.check.looks import look_at
from hybridface.data.check.similar import (
    FREQUENCIES,
    SCREEN,
    candidates,
    find_similar,
    signatures,
)
from hybridface.data.drawn_faces import draw_faces
from planted import CHANGES, changed

COUNT = 60


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return draw_faces(3, COUNT, 96).images


def small(pictures: list[np.ndarray]) -> np.ndarray:
    return np.stack([look_at(each).small for each in pictures])


def textured(seed: int, count: int, side: int = 32) -> np.ndarray:
    """Return pictures of random smooth patches, (count, side, side) uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 7, 7), dtype=np.uint8)
    grown = [
        Image.fromarray(each).resize((side, side), Image.Resampling.BICUBIC) for each in coarse
    ]
    return np.stack([np.asarray(each) for each in grown])


@pytest.mark.parametrize("name", CHANGES)
def test_changed_copies_are_found_with_their_originals(name: str, faces: np.ndarray) -> None:
    copies = [changed(face, name) for face in faces]
    found = find_similar(small([*faces, *copies]))
    together = found.labels[:COUNT] == found.labels[COUNT:]
    assert together.all(), np.flatnonzero(~together)


def test_different_faces_are_not_near_even_of_one_person() -> None:
    drawn = draw_faces(5, 240, 96)
    found = find_similar(small(list(drawn.images)))
    assert len(np.unique(found.labels)) == 240
    assert len(np.unique(drawn.identity)) < 120


def test_mirror_images_are_told_from_upright_copies(faces: np.ndarray) -> None:
    copies = [changed(changed(face, "mirrored"), "encoded") for face in faces[:20]]
    upright = [changed(face, "encoded") for face in faces[20:]]
    found = find_similar(small([*faces, *copies, *upright]))
    joined = set(found.labels[found.mirrored].tolist())
    assert joined == set(found.labels[:20].tolist())


def test_pictures_that_show_nothing_are_near_to_none() -> None:
    flat = np.stack([np.full((32, 32), level, dtype=np.uint8) for level in (0, 0, 128, 255)])
    noisy = flat.copy()
    noisy[2, 3, 4] += 1
    found = find_similar(np.concatenate([flat, noisy]))
    assert found.labels.tolist() == list(range(8))
    assert find_similar(np.empty((0, 32, 32), dtype=np.uint8)).labels.shape == (0,)


def slow_signature(picture: np.ndarray) -> np.ndarray:
    terms = dctn(picture.astype(float), norm="ortho")
    kept = [
        terms[row, column] * np.hypot(row, column)
        for row, column in itertools.product(range(FREQUENCIES), repeat=2)
        if (row, column) != (0, 0)
    ]
    return np.array(kept) / np.linalg.norm(kept)


def slow_candidates(pictures: np.ndarray) -> dict[tuple[int, int], bool]:
    """Compare every pair by itself; by pair, whether the first agrees better mirrored."""
    found = {}
    for one, other in itertools.combinations(range(len(pictures)), 2):
        theirs = slow_signature(pictures[other])
        upright = slow_signature(pictures[one]) @ theirs
        flipped = slow_signature(pictures[one][:, ::-1]) @ theirs
        if max(upright, flipped) >= SCREEN:
            found[one, other] = bool(flipped > upright)
    return found


@pytest.mark.parametrize("rows", [512, 7])
def test_the_screen_finds_what_comparing_every_pair_finds(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(similar, "_ROWS", rows)
    monkeypatch.setattr(similar, "_COLUMNS", 16)
    pictures = textured(1, 24)
    pictures = np.concatenate([pictures, pictures[:8] // 2 + 40, pictures[4:12, :, ::-1]])
    found: dict[tuple[int, int], bool] = {}
    for pairs, flipped, _ in candidates(signatures(pictures)):
        for (one, other), flip in zip(pairs.tolist(), flipped.tolist(), strict=True):
            assert (one, other) not in found
            found[one, other] = flip
    assert found == slow_candidates(pictures)
    assert len(found) >= 20


def test_groups_are_those_of_all_pairs_that_are_alike(
    faces: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the sizes of blocks, and though joined pictures are not compared again."""
    names = itertools.cycle(CHANGES)
    copies = [changed(face, next(names)) for face in (*faces[:30], *faces[:10])]
    pictures = small([*faces, *copies])
    expected = list(range(len(pictures)))
    for (one, other), flip in slow_candidates(pictures).items():
        first = pictures[one][:, ::-1] if flip else pictures[one]
        if similarity(first[None], pictures[other][None])[0] >= ALIKE:
            low, high = sorted((expected[one], expected[other]))
            expected = [low if each == high else each for each in expected]
    for rows, columns, pairs in ((512, 8192, 2048), (16, 16, 8), (9, 50, 1)):
        for name, value in (("_ROWS", rows), ("_COLUMNS", columns), ("_PAIRS", pairs)):
            monkeypatch.setattr(similar, name, value)
        assert find_similar(pictures).labels.tolist() == expected


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sampled_from([0.0, 1.0]))
def test_coefficients_are_those_of_scipy(seed: int, count: int, power: float) -> None:
    pictures = textured(seed, 2, 16).astype(np.float32)
    frequency = np.hypot(*np.indices((count, count)))
    weights = np.where(frequency > 0, np.maximum(frequency, 1) ** power, 0)
    expected = dctn(pictures, axes=(1, 2), norm="ortho")[:, :count, :count] * weights
    np.testing.assert_allclose(sharpened(pictures, count, power), expected, atol=0.05)


def test_similarity_is_one_for_a_copy_in_other_light_and_low_for_another() -> None:
    pictures = textured(2, 30)
    dimmed = (pictures // 2 + 60).astype(np.uint8)
    assert similarity(pictures, dimmed).min() > 0.995
    assert similarity(pictures, np.roll(pictures, 1, axis=0)).max() < 0.8


def test_progress_ends_with_all(faces: np.ndarray) -> None:
    told: list[tuple[int, int]] = []
    find_similar(small(list(faces)), lambda done, total: told.append((done, total)))
    assert told[-1] == (COUNT, COUNT)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
