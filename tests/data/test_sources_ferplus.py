from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hybridface.data.source import MISSING
from hybridface.data.sources import open_source
from hybridface.data.sources.ferplus import VOTED
from hybridface.errors import DataError

Write = Callable[..., Path]
ORIGINAL = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
VOTE_HEADER = (
    "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
)


@pytest.fixture
def ferplus(tmp_path: Path, write_picture: Write) -> Callable[..., Path]:
    """A function that writes a FER+ folder with a picture for each line of votes."""

    def write(*lines: str, labels: str | None = None, inside: str = "") -> Path:
        root = tmp_path / "ferplus"
        root.mkdir(exist_ok=True)
        (root / "fer2013new.csv").write_text("\n".join([VOTE_HEADER, *lines]) + "\n")
        folders = {"Training": "FER2013Train", "PublicTest": "FER2013Valid"}
        for seed, line in enumerate(lines):
            usage, name = line.split(",")[:2]
            if name and not name.startswith("absent"):
                folder = folders.get(usage, "FER2013Test")
                write_picture(root / inside / folder / name, seed, 48)
        if labels is not None:
            (root / "fer2013_labels.csv").write_text(labels)
        return root

    return write


def votes_line(name: str, usage: str = "Training", **votes: int) -> str:
    order = VOTE_HEADER.split(",")[2:]
    return ",".join([usage, name, *(str(votes.get(column, 0)) for column in order)])


def test_ferplus_original(ferplus: Callable[..., Path]) -> None:
    root = ferplus(
        votes_line("1.png", neutral=10),
        votes_line("2.png", "PublicTest", neutral=10),
        votes_line("3.png", "PrivateTest", neutral=10),
        votes_line("4.png", neutral=10),
        labels="Usage,Image name,emotion\nTraining,1.png,3\nPublicTest,2.png,0\nTraining,4.png,8\n",
    )
    rows = open_source(f"ferplus:{root}").read()
    assert rows.keys[:2] == ["FER2013Train/1.png", "FER2013Valid/2.png"]
    assert rows.split.tolist() == ["train", "val", "test", "train"]
    labels = rows.labels["expression"]
    assert labels.names == ORIGINAL
    assert labels.ids.tolist() == [3, 0, MISSING, MISSING]
    assert labels.soft is None
    assert rows.notes == [
        "labels: original FER2013 labels from fer2013_labels.csv; 2 of 4 pictures have none"
    ]
    [problem] = rows.problems
    assert (problem.where, problem.what) == (
        "FER2013Train/4.png",
        "unknown label '8' in fer2013_labels.csv:4, expected 0 to 6",
    )


VOTES = [
    # votes, majority, leader of the shares, shares
    ({"happiness": 10}, "happy", "happy", {"happy": 1.0}),
    ({"anger": 6, "disgust": 4}, "angry", "angry", {"angry": 0.6, "disgust": 0.4}),
    # A single vote is an outlier: 5 of 8 is a majority, and sadness alone is under 75%.
    ({"sadness": 5, "fear": 3, "anger": 1, "NF": 1}, "sad", "sad", {"sad": 0.625, "fear": 0.375}),
    # 8 of 10 are over three quarters: nothing else is taken.
    ({"neutral": 8, "contempt": 2}, "neutral", "neutral", {"neutral": 1.0}),
    # Two lead: shares, but no id; half is no majority.
    ({"fear": 5, "surprise": 5}, None, None, {"fear": 0.5, "surprise": 0.5}),
    (
        {"contempt": 4, "neutral": 3, "sadness": 3},
        None,
        "contempt",
        {"contempt": 0.4, "neutral": 0.3, "sad": 0.3},
    ),
    # More than three take equal parts.
    ({"neutral": 4, "sadness": 2, "fear": 2, "anger": 2}, None, None, None),
    # "unknown" or "not a face" leads, or is met before half of the votes are in.
    ({"unknown": 6, "happiness": 4}, None, None, None),
    ({"NF": 10}, None, None, None),
    ({"happiness": 4, "unknown": 4, "sadness": 2}, None, None, None),
    # An expression with as many votes as "unknown" is still taken.
    ({"happiness": 4, "unknown": 3, "sadness": 3}, None, "happy", {"happy": 4 / 7, "sad": 3 / 7}),
    # Met after that, the expressions before it stay.
    ({"happiness": 6, "unknown": 4}, "happy", "happy", {"happy": 1.0}),
    ({"happiness": 1, "sadness": 1, "fear": 1}, None, None, None),
    ({}, None, None, None),
]


@pytest.mark.parametrize(("votes", "majority", "leader", "shares"), VOTES)
def test_ferplus_votes(
    ferplus: Callable[..., Path],
    votes: dict[str, int],
    majority: str | None,
    leader: str | None,
    shares: dict[str, float] | None,
) -> None:
    root = ferplus(votes_line("1.png", **votes))
    labels = open_source(f"ferplus:{root}").read().labels["expression"]
    assert labels.names == VOTED == (*ORIGINAL, "contempt")
    assert labels.ids.tolist() == [MISSING if majority is None else VOTED.index(majority)]
    labels = open_source(f"ferplus:{root}?labels=votes").read().labels["expression"]
    assert labels.ids.tolist() == [MISSING if leader is None else VOTED.index(leader)]
    assert labels.soft is not None
    assert labels.soft.dtype == np.float32
    if shares is None:
        assert not labels.soft.any()
    else:
        expected = [shares.get(name, 0) for name in VOTED]
        np.testing.assert_allclose(labels.soft[0], expected, rtol=1e-6)


def test_ferplus_problems_are_counted_by_reason(ferplus: Callable[..., Path]) -> None:
    broken = votes_line("5.png").replace("5.png,0", "5.png,many")
    root = ferplus(
        votes_line("1.png", happiness=9),
        votes_line(""),
        votes_line("", "PublicTest"),
        votes_line("absent1.png"),
        votes_line("absent2.png", "PrivateTest"),
        votes_line("absent3.png"),
        broken,
        votes_line("6.png", "Nowhere"),
        inside="data",
    )
    rows = open_source(f"ferplus:{root}").read()
    assert rows.keys == ["data/FER2013Train/1.png", "data/FER2013Train/5.png"]
    assert rows.labels["expression"].ids.tolist() == [VOTED.index("happy"), MISSING]
    twice = "; row left out; 2 rows, this is the first"
    assert {problem.where: problem.what for problem in rows.problems} == {
        "fer2013new.csv:3": f"no picture named{twice}",
        "fer2013new.csv:5": f"no such picture in FER2013Train{twice}",
        "fer2013new.csv:6": "no such picture in FER2013Test; row left out",
        "data/FER2013Train/5.png": "votes that are not whole numbers in fer2013new.csv:8",
        "fer2013new.csv:9": "unknown Usage; row left out",
    }


def test_ferplus_that_is_not_one_is_explained(ferplus: Callable[..., Path]) -> None:
    root = ferplus(votes_line("1.png"))
    cases = [
        ("?labels=original", "fer2013_labels.csv: cannot be read"),
        ("/FER2013Train", "expected: PATH/fer2013new.csv"),
    ]
    for rest, message in cases:
        with pytest.raises(DataError) as raised:
            open_source(f"ferplus:{root}{rest}").read()
        assert message in str(raised.value)
    (root / "fer2013_labels.csv").write_text("name,emotion\n1.png,3\n")
    with pytest.raises(DataError, match=r"expected Image name, emotion among .*or say"):
        open_source(f"ferplus:{root}").read()
    (root / "FER2013Train" / "1.png").unlink()
    with pytest.raises(DataError, match="no such picture in FER2013Train") as raised:
        open_source(f"ferplus:{root}").read()
    assert "generate_training_data.py writes them" in str(raised.value)  # how to make the pictures
    (root / "fer2013new.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="has the columns a, b; expected Usage, Image name"):
        open_source(f"ferplus:{root}").read()


@pytest.mark.data
def test_real_ferplus(shared_data: Callable[[str, str], Path]) -> None:
    root = shared_data("ferplus.zip", "ferplus")
    rows = open_source(f"ferplus:{root}").read()
    labelled = rows.labels["expression"].ids != MISSING
    count = {
        split: (int((rows.split == split).sum()), int((labelled & (rows.split == split)).sum()))
        for split in ("train", "val", "test")
    }
    assert count == {"train": (28558, 28312), "val": (3579, 3579), "test": (0, 0)}
    assert rows.problems == []
    voted = open_source(f"ferplus:{root}?labels=votes").read().labels["expression"]
    assert voted.soft is not None
    sums = voted.soft.sum(axis=1)
    assert np.all((np.abs(sums - 1) < 1e-5) | (sums == 0))
    assert np.all(sums[voted.ids != MISSING] > 0)
