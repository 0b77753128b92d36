from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridface.errors import UsageError
from hybridface.inference.detection import open_detector
from hybridface.inference.detection.base import Detections, Detector, overlaps, suppress

boxes = st.lists(st.tuples(*[st.integers(0, 30)] * 2, *[st.integers(0, 20)] * 2), max_size=12).map(
    lambda rows: np.array([(x, y, x + w, y + h) for x, y, w, h in rows], np.float32)
)


def cells_of(box: np.ndarray) -> set[tuple[int, int]]:
    left, top, right, bottom = box.astype(int)
    return {(x, y) for x in range(left, right) for y in range(top, bottom)}


@given(boxes, boxes)
def test_overlaps_are_counted_cells(ours: np.ndarray, theirs: np.ndarray) -> None:
    ours, theirs = ours.reshape(-1, 4), theirs.reshape(-1, 4)
    found = overlaps(ours, theirs)
    assert found.shape == (len(ours), len(theirs))
    for row, one in enumerate(ours):
        for column, other in enumerate(theirs):
            a, b = cells_of(one), cells_of(other)
            wanted = len(a & b) / len(a | b) if a | b else 0
            assert found[row, column] == pytest.approx(wanted, abs=1e-6)


@given(boxes, st.integers(0, 1000), st.floats(0, 0.9))
def test_suppression_keeps_the_surest(these: np.ndarray, seed: int, most: float) -> None:
    these = these.reshape(-1, 4)
    scores = np.random.default_rng(seed).random(len(these)).astype(np.float32)
    kept = suppress(these, scores, most)
    assert list(scores[kept]) == sorted(scores[kept], reverse=True)
    shared = overlaps(these, these)
    for index in range(len(these)):
        surer = [each for each in kept if scores[each] > scores[index]]
        covered = any(shared[each, index] > most for each in surer)
        assert (index in kept) != covered


def test_own_detectors_are_named_by_module(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rooms").mkdir()
    (tmp_path / "rooms" / "corner.py").write_text(
        "import numpy as np\n"
        "from hybridface.inference.detection.base import Detections, Detector\n"
        "class Corner(Detector):\n"
        "    def detect(self, pictures):\n"
        "        box = np.array([[0, 0, 4, 4]], np.float32)\n"
        "        one = np.ones(1, np.float32), np.full((1, 5, 2), np.nan, np.float32)\n"
        "        return [Detections(box, *one) for _ in pictures]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    detector = open_detector("rooms.corner:Corner", threshold=0.25)
    assert isinstance(detector, Detector)
    assert detector.threshold == 0.25
    assert len(detector.detect([np.zeros((9, 9, 3), np.uint8)])[0]) == 1


def test_wrong_detectors_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'centerface'"):
        open_detector("centreface")
    with pytest.raises(UsageError, match="is not a subclass"):
        open_detector("pathlib:Path")
    with pytest.raises(UsageError, match="score in"):
        open_detector(threshold=1.5)
    with pytest.raises(UsageError, match="32 or more"):
        open_detector(longest=8)


def test_no_face_is_empty() -> None:
    none = Detections.none()
    assert len(none) == 0
    assert none.boxes.shape == (0, 4)
    assert none.landmarks.shape == (0, 5, 2)
