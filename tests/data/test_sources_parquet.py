from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import picture_pixels
from hybridface.data.cache import open_cache
from hybridface.data.source import MISSING, Problem, Rows
from hybridface.data.sources import open_source
from hybridface.errors import DataError, HybridFaceError, UsageError

Encode = Callable[..., bytes]
Write = Callable[..., Path]


def write(folder: Path, columns: dict[str, Any], **options: Any) -> Path:
    path = folder / "table.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


def read(folder: Path, columns: dict[str, Any], query: str = "", **options: Any) -> Rows:
    return open_source(f"csv:{write(folder, columns, **options)}{query}").read()


@pytest.fixture
def pictures(tmp_path: Path, write_picture: Write) -> Path:
    """A folder with a.png to c.png."""
    for seed, name in enumerate("abc"):
        write_picture(tmp_path / f"{name}.png", seed)
    return tmp_path


def test_a_table_reads_as_the_same_csv_file(pictures: Path) -> None:
    rows = read(
        pictures,
        {
            "path": ["a.png", "b.png", None, "c.png", "a.png"],
            " Usage ": pa.array(["train", "val", "train", "test", "x"]).dictionary_encode(),
            "person": [1, None, 1, None, 1],
            "emotion": [10.0, 9.0, 9.0, float("nan"), 1.0],
            "glasses": [True, False, None, None, True],
            "box": [[1, 2]] * 5,
        },
        row_group_size=2,
    )
    text = (
        "path,Usage,person,emotion,glasses\na.png,train,1,10,True\nb.png,val,,9,False\n"
        ",train,1,9,\nc.png,test,,nan,\na.png,x,1,1,True\n"
    )
    (pictures / "table.csv").write_text(text)
    same = open_source(f"csv:{pictures / 'table.csv'}").read()
    assert rows.keys == same.keys == ["a.png", "b.png", "c.png"]
    assert rows.split.tolist() == same.split.tolist()
    assert rows.group is not None
    assert same.group is not None
    assert len(set(rows.group.tolist())) == len(set(same.group.tolist())) == 3
    for column in ("expression", "glasses"):
        assert rows.labels[column].names == same.labels[column].names
        assert rows.labels[column].ids.tolist() == same.labels[column].ids.tolist()
    assert rows.labels["expression"].names == ("9", "10")
    assert [problem.where for problem in rows.problems] == ["table.parquet:3", "table.parquet:5"]
    assert [a.what for a in rows.problems] == [b.what for b in same.problems]
    [note] = rows.notes
    assert note.startswith("column 'box' holds list<")


@pytest.mark.parametrize("form", ["bytes", "hugging face"])
@pytest.mark.parametrize("group", [1, 3, 100])
def test_pictures_in_the_table(
    form: str, group: int, tmp_path: Path, picture_bytes: Encode, hybridface_cache: Path
) -> None:
    cells: list[Any] = [picture_bytes(seed) for seed in range(90)]
    cells[4], cells[5], cells[6] = None, b"no picture", b""
    if form == "hugging face":
        cells = [None if n == 4 else {"bytes": c, "path": "x"} for n, c in enumerate(cells)]
    splits = ["train"] * 89 + ["nothing known"]
    columns = {"image": cells, "label": ["x", "y"] * 45, "split": splits}
    source = open_source(f"csv:{write(tmp_path, columns, row_group_size=group)}")
    rows = source.read()
    assert rows.keys == [f"table.parquet:{number}" for number in range(1, 90)]
    assert len(rows.problems) == 1
    cached = open_cache(source, rows, 24)
    assert np.flatnonzero(~cached.decoded).tolist() == [4, 5, 6]
    assert [problem.where for problem in cached.problems] == rows.keys[4:7]
    assert cached.problems[0].what == "no picture in the cell"
    for row in (0, 3, 7, 40, 88):
        assert np.array_equal(cached.images[row], picture_pixels(row))
    order = [50, 2, 3, 88, 0, 4]
    for row, pixels in zip(order, source.decode(rows, order), strict=True):
        assert isinstance(pixels, Problem) == (row == 4)
        assert row == 4 or np.array_equal(pixels, picture_pixels(row))  # type: ignore[arg-type]


def test_another_column_of_pictures_is_another_cache(
    tmp_path: Path, picture_bytes: Encode, hybridface_cache: Path
) -> None:
    columns = {"one": [picture_bytes(0)], "two": [picture_bytes(1)], "label": ["x"]}
    path = write(tmp_path, columns)
    for seed, column in enumerate(("one", "two")):
        source = open_source(f"csv:{path}?image={column}")
        cached = open_cache(source, source.read(), 24)
        assert np.array_equal(cached.images[0], picture_pixels(seed))


def test_memory_does_not_grow_with_the_pictures(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(1 << 18)
    cells = pa.array([noise + bytes([n]) for n in range(200)], pa.binary())  # 50 MiB
    columns = {"image": cells, "label": list(range(200))}
    options: dict[str, Any] = {"use_dictionary": False, "data_page_size": 1 << 20}
    options["write_batch_size"] = 4  # a page is never less than this many rows
    source = open_source(f"csv:{write(tmp_path, columns, **options)}")
    del cells, columns
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    rows = source.read()
    found = source.decode(rows, range(200))
    _, python = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert all(isinstance(result, Problem) for result in found)
    assert pa.total_allocated_bytes() - before < 20 << 20
    assert python < 20 << 20


@pytest.mark.parametrize(
    ("columns", "query", "error", "message"),
    [
        ({"a": [1]}, "", DataError, "columns a in"),
        ({"path": ["a.png"], "PATH": ["b"]}, "", DataError, "column 'path' more than once"),
        ({}, "", DataError, "is empty; expected the names of the columns"),
        ({"path": ["a.png"], "x": [1]}, "?labels=y", UsageError, "unknown column of"),
        ({"path": [1.5]}, "", DataError, "none of the 1 pictures exists"),
        ({"path": [["a.png"]]}, "", DataError, "column 'path' holds list<"),
        ({"path": ["a.png"], "x": [b"y"]}, "?labels=x", DataError, "column 'x' holds binary"),
        ({"path": ["a.png"], "split": [[1]]}, "", DataError, "column 'split' holds list<"),
        ({"path": pa.array([], pa.string())}, "", DataError, "no usable row"),
        ({"path": pa.array([None], pa.string())}, "", DataError, "1: no picture named"),
        ({"image": pa.array([], pa.binary())}, "", DataError, "no usable row"),
    ],
)
def test_what_cannot_be_used_is_explained(
    pictures: Path, columns: dict[str, Any], query: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        read(pictures, columns, query)
    assert message in str(raised.value)
    assert "table.parquet" in str(raised.value)


def test_damaged_files_are_explained(
    tmp_path: Path, picture_bytes: Encode, hybridface_cache: Path
) -> None:
    cells = [picture_bytes(seed, 64) for seed in range(8)]
    columns = {"image": pa.array(cells, pa.binary()), "label": list("xyxyxyxy")}
    path = write(tmp_path, columns, row_group_size=4, use_dictionary=False, compression="NONE")
    whole = path.read_bytes()
    for damaged in (b"", b"PAR1", whole[:-20], whole[len(whole) // 2 :], b"a,b\n1,2\n"):
        if damaged.endswith(b"PAR1") and len(damaged) > 8:
            continue
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="not a whole Parquet file"):
            open_source(f"csv:{path}").read()
    at = whole.index(cells[0])
    path.write_bytes(whole[: at - 40] + b"\xff" * 60 + whole[at + 20 :])
    source = open_source(f"csv:{path}")
    rows = source.read()
    found = source.decode(rows, range(8))
    assert [isinstance(result, Problem) for result in found] == [True] * 4 + [False] * 4


def test_labels_that_are_not_utf8_are_counted(pictures: Path) -> None:
    label = pa.array([b"fr\xfch", b"x"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 2, label.buffers())
    rows = read(pictures, {"path": ["a.png", "b.png"], "label": text}, use_dictionary=False)
    assert rows.problems == [Problem("table.parquet:1", "holds bytes that are not UTF-8")]
    assert MISSING not in rows.labels["expression"].ids


def test_without_pyarrow_it_is_said_what_to_install(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(pictures, {"path": ["a.png"]})
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(HybridFaceError, match=r'pip install "hybridface\[parquet\]"'):
        open_source(f"csv:{path}").read()
