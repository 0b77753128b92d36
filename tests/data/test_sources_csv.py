from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybridface.data.cache import open_cache
from hybridface.data.source import MISSING, Problem, Rows
from hybridface.data.sources import open_source
from hybridface.data.sources.tables import split_name
from hybridface.errors import DataError, HybridFaceError, UsageError

Write = Callable[..., Path]


@pytest.fixture
def pictures(tmp_path: Path, write_picture: Write) -> Path:
    """A folder with a.png to e.png."""
    for seed, name in enumerate("abcde"):
        write_picture(tmp_path / f"{name}.png", seed)
    return tmp_path


def read(folder: Path, text: str | bytes, options: str = "") -> Rows:
    content = text.encode() if isinstance(text, str) else text
    (folder / "labels.csv").write_bytes(content)
    return open_source(f"csv:{folder / 'labels.csv'}{options}").read()


def names(rows: Rows, column: str = "expression") -> list[str | None]:
    labels = rows.labels[column]
    return [None if number == MISSING else labels.names[number] for number in labels.ids]


def test_columns_are_found_by_their_usual_names(pictures: Path) -> None:
    rows = read(
        pictures,
        "Path,Usage,Subject,emotion,gender\n"
        "a.png,Training,ann,happy,f\n"
        "b.png,PublicTest,bob,sad,m\n"
        "c.png,PrivateTest,ann,happy,\n",
    )
    assert rows.keys == ["a.png", "b.png", "c.png"]
    assert rows.split.tolist() == ["train", "val", "test"]
    assert rows.group is not None
    assert rows.group.tolist() == [0, 1, 0]
    assert list(rows.labels) == ["expression", "gender"]
    assert names(rows) == ["happy", "sad", "happy"]
    assert names(rows, "gender") == ["f", "m", None]
    assert rows.problems == []


def test_columns_may_be_named(pictures: Path) -> None:
    text = "who,pic,part,mood,sex,age\nx,a.png,dev,happy,f,3\ny,b.png,train,sad,m,4\n"
    options = "?image=pic&split=part&group=who&labels=mood,sex&names=expression"
    rows = read(pictures, text, options)
    assert rows.split.tolist() == ["val", "train"]
    assert list(rows.labels) == ["expression", "sex"]
    assert names(rows) == ["happy", "sad"]


def test_an_empty_option_means_no_such_column(pictures: Path) -> None:
    text = "path,subset,person,label\na.png,A,p,happy\nb.png,B,q,sad\n"
    rows = read(pictures, text, "?split=&group=")
    assert rows.split.tolist() == ["", ""]
    assert rows.group is None
    assert list(rows.labels) == ["subset", "person", "expression"]
    assert read(pictures, text, "?split=&labels=").labels == {}


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_delimiters_are_told_apart(pictures: Path, mark: str) -> None:
    rows = read(pictures, f'file{mark}label\na.png{mark}"one, two; three"\nb.png{mark}x\n')
    assert names(rows) == ["one, two; three", "x"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_byte_order_mark_line_ends_and_space(pictures: Path, end: str) -> None:
    lines = ["\ufeffpath , label", "a.png, happy ", "", ",", "b.png,sad"]
    rows = read(pictures, end.join(lines))
    assert rows.keys == ["a.png", "b.png"]
    assert names(rows) == ["happy", "sad"]
    assert rows.problems == []


def test_whole_numbers_are_sorted_as_numbers(pictures: Path) -> None:
    rows = read(pictures, "path,label,size\na.png,10,10\nb.png,9.0,x\nc.png,2,9\nd.png,nan,9\n")
    assert rows.labels["expression"].names == ("2", "9", "10")
    assert rows.labels["expression"].ids.tolist() == [2, 1, 0, MISSING]
    assert rows.labels["size"].names == ("10", "9", "x")


def test_missing_cells(pictures: Path) -> None:
    cells = ["", "nan", "NaN", "NA", "-1", "-1.0", "0"]
    text = "path,label\n" + "".join(f"a.png,{cell}\n" for cell in cells)
    assert names(read(pictures, text)) == [None] * 6 + ["0"]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=40))
def test_any_whole_numbers_come_back(pictures: Path, values: list[int]) -> None:
    rows = read(pictures, "path,label\n" + "".join(f"a.png,{value}\n" for value in values))
    assert [int(name or -1) for name in names(rows)] == values
    assert list(map(int, rows.labels["expression"].names)) == sorted(set(values))


def test_columns_of_many_values_are_noted_not_taken(pictures: Path) -> None:
    lines = "".join(f"a.png,{number},{number % 200}\n" for number in range(201))
    rows = read(pictures, "path,id,label\n" + lines)
    assert list(rows.labels) == ["expression"]
    assert len(rows.labels["expression"].names) == 200
    assert any("'id' has over 200 different values" in note for note in rows.notes)
    asked = read(pictures, "path,id,label\n" + lines, "?labels=id")
    assert len(asked.labels["id"].names) == 201


def test_minus_one_beside_one_value_is_noted(pictures: Path) -> None:
    rows = read(pictures, "image,Male,Smiling\na.png,-1,1\nb.png,1,1\nc.png,-1,1\n")
    assert names(rows, "Male") == [None, "1", None]
    assert rows.notes == [
        "label column 'Male' has one value only beside -1, which is read as no label",
        "label column 'Smiling' has one value only",
    ]


def test_only_one_column_is_called_expression(pictures: Path) -> None:
    rows = read(pictures, "path,label,emotion\na.png,3,happy\nb.png,4,sad\n")
    assert list(rows.labels) == ["label", "expression"]
    assert names(rows) == ["happy", "sad"]


def test_no_labels_at_all_is_noted(pictures: Path) -> None:
    rows = read(pictures, "path,empty,Unnamed: 0\na.png,,1\nb.png,nan,2\n")
    assert rows.labels == {}
    assert rows.notes == [
        "column 'empty' has no values: not taken for labels",
        "no column of labels",
    ]


def test_unknown_person_is_a_person_of_its_own(pictures: Path) -> None:
    rows = read(
        pictures, "path,person,label\na.png,,x\nb.png,nan,y\nc.png,p,x\nd.png,p,y\ne.png,NaN,y\n"
    )
    assert rows.group is not None
    assert len(set(rows.group.tolist())) == 4
    assert rows.group[2] == rows.group[3]


def test_bad_rows_are_named_and_left_out(pictures: Path) -> None:
    rows = read(
        pictures,
        "path,split,label\na.png,train,x\nb.png,fold7,x\nc.png,,x\n,train,x\nd.png,train\n"
        "e.png,test,y,z\ne.png,test,y\n",
    )
    assert rows.keys == ["a.png", "e.png"]
    what = {problem.where: problem.what for problem in rows.problems}
    assert sorted(what) == [f"labels.csv:{n}" for n in range(3, 8)]
    assert what["labels.csv:3"].startswith("unknown split 'fold7', expected one of train, training")
    assert what["labels.csv:3"].endswith("(or say ?split= for none); row left out")
    assert what["labels.csv:4"].startswith("no split, expected one of train")
    assert what["labels.csv:5"] == "no picture named; row left out"
    assert what["labels.csv:6"].startswith("2 cells where the first line has 3")
    assert what["labels.csv:7"].startswith("4 cells where the first line has 3")


def test_rows_without_a_known_split_are_counted_together(pictures: Path) -> None:
    text = "path,split,label\n" + "b.png,fold7,x\nb.png,,x\nb.png,fold8,x\n,train,x\n" * 2
    rows = read(pictures, text + "a.png,train,x\n")
    assert rows.keys == ["a.png"]
    split, none, picture = rows.problems
    assert (split.where, none.where, picture.where) == tuple(f"labels.csv:{n}" for n in (2, 3, 5))
    assert split.what.startswith("unknown split 'fold7', expected one of train")
    assert split.what.endswith("; row left out; 4 rows, this is the first")
    assert none.what.startswith("no split, expected one of train")
    assert none.what.endswith("; 2 rows, this is the first")
    assert picture.what == "no picture named; row left out; 2 rows, this is the first"


def test_an_open_quote_is_named(pictures: Path) -> None:
    rows = read(pictures, 'path,label\na.png,x\n"b.png,y\nc.png,x\nd.png,y\n')
    assert rows.keys == ["a.png"]
    [problem] = rows.problems
    assert problem.where == "labels.csv:3"
    assert "over lines 3 to 5: a quote not closed?" in problem.what
    rows = read(pictures, 'path,label\na.png,x\n\nb.png,"y\nc.png,x\n')
    assert names(rows) == ["x", None]
    [problem] = rows.problems
    assert problem.where == "labels.csv:4"
    assert "runs over several lines" in problem.what
    with pytest.raises(DataError, match=r"labels\.csv:1: runs over several lines: a quote not"):
        read(pictures, 'path,"label\na.png,x\nb.png,y\n')


def test_bytes_that_are_not_utf8_are_counted(pictures: Path) -> None:
    rows = read(pictures, "path,label\na.png,früh\nb.png,spät\nc.png,x\n".encode("latin-1"))
    assert rows.problems == [
        Problem("labels.csv:2", "holds bytes that are not UTF-8; 2 rows, this is the first")
    ]


def test_missing_picture_stays_a_row(pictures: Path, hybridface_cache: Path) -> None:
    (pictures / "labels.csv").write_text("path,label\na.png,x\ngone.png,y\n")
    source = open_source(f"csv:{pictures / 'labels.csv'}")
    rows = source.read()
    assert rows.keys == ["a.png", "gone.png"]
    cached = open_cache(source, rows, 16)
    assert cached.decoded.tolist() == [True, False]
    [problem] = cached.problems
    assert problem.where == "gone.png"
    assert "No such file" in problem.what


def test_backslashes_are_said_to_be_the_reason(pictures: Path) -> None:
    (pictures / "in").mkdir()
    (pictures / "a.png").rename(pictures / "in" / "a.png")
    with pytest.raises(DataError, match=r"There is .*in/a.png: write / in the table"):
        read(pictures, "path,mood\nin\\a.png,happy\n")
    with pytest.raises(DataError, match=r"say \?root=FOLDER"):
        read(pictures, "path,mood\nin\\c.png,happy\n")


def test_classes_that_differ_by_case_alone_are_noted(pictures: Path) -> None:
    rows = read(pictures, "path,mood\na.png,Happy\nb.png,happy\nc.png,sad\n")
    assert rows.labels["mood"].names == ("Happy", "happy", "sad")
    said = "label column 'mood' has classes that differ by case alone: Happy, happy"
    assert said in rows.notes


def test_no_picture_at_all_is_refused(pictures: Path) -> None:
    with pytest.raises(DataError) as raised:
        read(pictures, "path,label\nx/1.png,a\nx/2.png,b\n")
    message = str(raised.value)
    assert "none of the 2 pictures exists" in message
    assert f"expected at {pictures / 'x' / '1.png'}" in message
    assert "?root=FOLDER" in message


def test_root_and_absolute_paths(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    text = f"path,label\na.png,x\n{pictures / 'b.png'},y\n"
    (other / "labels.csv").write_text(text)
    source = open_source(f"csv:{other / 'labels.csv'}?root={pictures}")
    rows = source.read()
    assert rows.keys == ["a.png", str(pictures / "b.png")]
    assert all(isinstance(pixels, np.ndarray) for pixels in source.decode(rows, [0, 1]))
    assert len(open_source(f"csv:{other / 'labels.csv'}").read()) == 2  # b.png is there


@pytest.mark.parametrize(
    ("content", "options", "error", "message"),
    [
        ("a,b\n1,2\n", "", DataError, "columns a, b in"),
        ("path,label\n", "", DataError, "no usable row"),
        ("path,split\na.png,x\n", "", DataError, "labels.csv:2: unknown split 'x'"),
        ("", "", DataError, "the first line is empty"),
        ("\n\na.png\n", "", DataError, "the first line is empty"),
        ("path,label,Label\na.png,1,2\n", "", DataError, "column 'label' more than once"),
        ("path,label\na.png,x\n".encode("utf-16"), "", DataError, "save it as 'CSV UTF-8'"),
        ("path,label\na.png,x\n", "?image=pth", UsageError, "did you mean 'path'"),
        ("path,label\na.png,x\n", "?labels=lable", UsageError, "did you mean 'label'"),
        ("path,label\na.png,\n", "?labels=label", DataError, "'label' has no value at all"),
        ("path,label\na.png,x\n", "?names=a,b", UsageError, "2 names for 1 label columns (label)"),
        ("path,u,v\na.png,x,y\n", "?names=w,w", UsageError, "two label columns are called 'w'"),
        ('path,label\n"' + "x" * (1 << 24) + "y\n", "", DataError, "a quote that is not closed"),
    ],
)
def test_what_cannot_be_used_is_explained(
    pictures: Path, content: str | bytes, options: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        read(pictures, content, options)
    assert message in str(raised.value)
    assert "labels.csv" in str(raised.value)


def test_no_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "one.csv").touch()
    for path, found in ((tmp_path, "found: one.csv"), (tmp_path / "two.csv", "does not exist")):
        with pytest.raises(DataError) as raised:
            open_source(f"csv:{path}").read()
        assert found in str(raised.value)
        assert "expected: PATH is a CSV file" in str(raised.value)


@pytest.mark.parametrize("name", ["x" * 400 + ".png", "a\0.png", "a.png/b.png", "."])
def test_impossible_picture_names_are_problems(
    pictures: Path, hybridface_cache: Path, name: str
) -> None:
    (pictures / "labels.csv").write_text(f"path,label\na.png,x\n{' ' * 5000}{name},y\n")
    source = open_source(f"csv:{pictures / 'labels.csv'}")
    rows = source.read()
    found = [*rows.problems, *open_cache(source, rows, 16).problems]
    assert len(found) == 1


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(pictures: Path, content: bytes) -> None:
    for start in (b"", b"path,label,split\na.png,x,train\n"):
        try:
            rows = read(pictures, start + content)
        except HybridFaceError:
            continue
        assert len(rows.keys) == len(rows.split)
        assert all(len(labels.ids) == len(rows) for labels in rows.labels.values())


def test_words_for_splits() -> None:
    assert split_name(" Training ") == "train"
    assert split_name("PublicTest") == split_name("dev") == "val"
    assert split_name("PrivateTest") == split_name("TEST") == "test"
    assert split_name("") is None


@pytest.mark.filterwarnings("error")
def test_columns_of_numbers(pictures: Path) -> None:
    text = (
        "path,yaw,pitch,roll,Age,mood\n"
        "a.png,-1,2.5,-30,31,happy\nb.png,,nan,NA,x1,sad\nc.png,1e60,0,inf,,sad\n"
    )
    rows = read(pictures, text, "?numbers=yaw,roll,pitch,age&labels=mood")
    assert list(rows.labels) == ["mood"]
    assert list(rows.numeric) == ["pose", "Age"]
    pose = rows.numeric["pose"]
    assert (pose.names, pose.unit) == (("yaw", "pitch", "roll"), "degrees")
    nan = np.nan
    expected = np.array([[-1, 2.5, -30], [nan, nan, nan], [nan, 0, nan]], np.float32)
    np.testing.assert_array_equal(pose.values, expected)
    assert rows.numeric["Age"].unit == "years"
    np.testing.assert_array_equal(rows.numeric["Age"].values[:, 0], [31, nan, nan])
    said = [f"{problem.where}: {problem.what}" for problem in rows.problems]
    assert [text.partition(", in ")[0] for text in said] == [
        "b.png: no number in column 'Age': 'x1'",
        "c.png: no number in column 'yaw': '1e60'",
        "c.png: no number in column 'roll': 'inf'",
    ]
    assert all("labels.csv" in text for text in said)


def test_a_decimal_comma_is_said_to_be_one(pictures: Path) -> None:
    rows = read(pictures, "path;age\na.png;31,5\nb.png;1,2,3\n", "?numbers=age")
    commas, others = (problem.what for problem in rows.problems)
    assert "'31,5' (write a point for the comma), in labels.csv:2" in commas
    assert "'1,2,3', in labels.csv:3" in others


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ("1,200", "(write 1200, or 1.200 if it is a decimal comma)"),
        ("-12,345", "(write -12345, or -12.345 if it is a decimal comma)"),
        ("1,234,567", "(write 1234567)"),
        ("1,200.5", "(write 1200.5)"),
        ("0,250", "(write a point for the comma)"),
        ("1200,5", "(write a point for the comma)"),
        ("12,34,567", ""),
    ],
)
def test_commas_between_thousands_are_said_to_be_that(cell: str, hint: str, pictures: Path) -> None:
    rows = read(pictures, f"path;age\na.png;{cell}\n", "?numbers=age")
    [problem] = rows.problems
    said = f"no number in column 'age': '{cell}' {hint}".strip()
    assert problem.what == f"{said}, in labels.csv:2"


def test_numbers_alone_are_labels_enough(pictures: Path) -> None:
    rows = read(pictures, "path,age\na.png,3\nb.png,4\n", "?numbers=age")
    assert rows.labels == {}
    assert not [note for note in rows.notes if "no column of labels" in note]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("?numbers=yaw,pitch", "names yaw, pitch but not roll; expected all of yaw, pitch, roll"),
        ("?numbers=years", "years"),
        ("?numbers=age&labels=mood&names=age", "'age' would be a column of classes and one of"),
    ],
)
def test_numbers_that_cannot_be(options: str, says: str, pictures: Path) -> None:
    with pytest.raises(UsageError, match=says):
        read(pictures, "path,yaw,pitch,age,mood\na.png,1,2,3,calm\nb.png,1,2,3,wild\n", options)


def test_a_plus_in_an_option_is_a_plus(pictures: Path) -> None:
    source = open_source(f"csv:{pictures}/table.csv?root=/data/CK+48&image=a b")
    assert (str(source.root), source.options.image) == ("/data/CK+48", "a b")
