from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hybridface.data.sources import open_source
from hybridface.errors import DataError
from layouts import ckplus, encode

Write = Callable[[dict[str, bytes]], Path]


def test_layout(write_files: Write) -> None:
    root = write_files(ckplus())
    source = open_source(f"ckplus:{root}")
    rows = source.read()
    assert len(rows) == 12
    assert rows.keys[0] == "anger/S010_003_00000017.png"
    assert rows.labels["expression"].names == ("anger", "happy")
    assert rows.group.tolist() == [0, 0, 1, 1, 2, 2] * 2
    assert rows.problems == rows.notes == []
    assert open_source(f"ckplus:{root}/CK+48").read().keys == rows.keys
    assert all(isinstance(pixels, np.ndarray) for pixels in source.decode(rows, range(12)))


def test_a_name_without_subject_is_a_group_of_its_own(write_files: Write) -> None:
    files = ckplus() | {f"CK+48/happy/{name}.png": encode(900, "PNG") for name in ("a", "b")}
    rows = open_source(f"ckplus:{write_files(files)}").read()
    assert len(set(rows.group.tolist())) == 5
    assert rows.notes == ["2 names without a subject, as happy/a.png"]


def test_what_is_no_ckplus_is_explained(write_files: Write) -> None:
    with pytest.raises(DataError, match="expected: PATH/EXPRESSION/SNNN"):
        open_source(f"ckplus:{write_files({'happy/1.png': b''})}").read()


@pytest.mark.data
def test_real_ckplus(shared_data: Callable[[str, str], Path]) -> None:
    rows = open_source(f"ckplus:{shared_data('ckplus48.zip', 'CK+48')}").read()
    assert len(rows) == 981
    assert len(set(rows.group.tolist())) == 118
    assert rows.problems == rows.notes == []
    assert rows.labels["expression"].names == (
        "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise",
    )  # fmt: skip
