from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hybridface import images
from hybridface.errors import HybridFaceError, UsageError
from hybridface.inference.predict import run_predict
from tiny_models import EXPRESSIONS, SIZE, expected, weights_of, write_model

Write = Callable[..., Path]
Capture = pytest.CaptureFixture[str]
TASKS = {"expression": EXPRESSIONS, "gender": ("female", "male")}
FORMS = ("table", "jsonl", "csv")


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model.onnx", TASKS)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A photo with two faces, one with none and one with one, the last in a deeper folder."""
    data = pytest.importorskip("skimage.data")
    astronaut = data.astronaut()[:256, 100:356]
    folder = tmp_path / "photos"
    (folder / "deeper").mkdir(parents=True)
    Image.fromarray(np.hstack([astronaut, astronaut])).save(folder / "b.PNG")
    Image.fromarray(data.coffee()).save(folder / "c.jpg")
    Image.fromarray(astronaut).save(folder / "deeper" / "a.jpg")
    (folder / "notes.txt").write_text("no picture")
    return folder


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_is_one_object_a_picture(photos: Path, model_file: Path, capsys: Capture) -> None:
    assert run_predict([photos], model_file.parent, form="jsonl") == 0
    out, err = capsys.readouterr()
    said = lines_of(out)
    assert [Path(each["image"]).name for each in said] == ["b.PNG", "c.jpg", "a.jpg"]
    assert [len(each["faces"]) for each in said] == [2, 0, 1]
    assert said[0]["width"] == 512 and said[0]["height"] == 256
    for face in said[0]["faces"]:
        assert set(face) == {"box", "score", "landmarks", "expression", "gender"}
        chances = face["expression"]["probabilities"]
        assert list(chances) == list(EXPRESSIONS)
        assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
        assert face["expression"]["probability"] == chances[face["expression"]["label"]]
    lefts = sorted(face["box"][0] for face in said[0]["faces"])
    assert lefts == [pytest.approx(82, abs=8), pytest.approx(338, abs=8)]
    assert err == "3 faces in 3 pictures, 1 without one\n"


def test_crops_are_read_whole_without_the_detector(
    tmp_path: Path, model_file: Path, write_picture: Write, capsys: Capture
) -> None:
    place = write_picture(tmp_path / "crop.png", seed=3, size=24)
    assert run_predict([place], model_file, detect=False, form="jsonl") == 0
    (said,) = lines_of(capsys.readouterr().out)
    (face,) = said["faces"]
    assert face["box"] == [0, 0, 24, 24] and "score" not in face
    wanted = expected(images.resize(images.read(place), SIZE), weights_of(len(EXPRESSIONS)))
    np.testing.assert_allclose(
        list(face["expression"]["probabilities"].values()), wanted, atol=1e-5
    )


def test_csv_has_a_row_a_face(photos: Path, model_file: Path, capsys: Capture) -> None:
    (photos / "c.jpg").rename(photos / 'odd, "name".jpg')
    assert run_predict([photos], model_file, form="csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [Path(row["image"]).name for row in rows] == ["b.PNG", "b.PNG", "a.jpg"]
    assert list(rows[0])[:7] == ["image", "left", "top", "right", "bottom", "score", "expression"]
    for row in rows:
        assert float(row["left"]) < float(row["right"])
        assert row["expression"] in EXPRESSIONS
        assert row["expression_probability"] == row[f"expression.{row['expression']}"]
        assert float(row["gender.female"]) + float(row["gender.male"]) == pytest.approx(1, abs=1e-4)


def test_the_table_has_a_line_a_face(photos: Path, model_file: Path, capsys: Capture) -> None:
    assert run_predict([photos], model_file) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["image", "box", "expression", "gender"]
    assert [("b.PNG" in line, "no face" in line) for line in lines] == [
        (True, False), (True, False), (False, True), (False, False),
    ]  # fmt: skip
    for line in (lines[0], lines[3]):
        assert line.index(" %") > head.index("expression")
        assert line[head.index("gender") :].startswith(("female", "male"))


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_the_suffix_of_the_file_says_the_format(
    suffix: str, photos: Path, tmp_path: Path, model_file: Path, capsys: Capture
) -> None:
    out = tmp_path / f"faces{suffix}"
    assert run_predict([photos], model_file, out=out) == 0
    assert capsys.readouterr().out == ""
    if suffix == ".parquet":
        table = pytest.importorskip("pyarrow.parquet").read_table(out).to_pydict()
        assert [Path(each).name for each in table["image"]] == ["b.PNG", "b.PNG", "a.jpg"]
        assert set(table["expression"]) <= set(EXPRESSIONS)
        assert all(isinstance(each, float) for each in table["expression.happy"] + table["left"])
        return
    run_predict([photos], model_file, form=suffix[1:])
    assert out.read_text() == capsys.readouterr().out


@pytest.mark.parametrize("form", FORMS)
def test_broken_files_are_named_and_the_others_done(
    photos: Path, model_file: Path, capsys: Capture, form: str
) -> None:
    (photos / "deeper" / "empty.jpg").touch()
    (photos / "cut.jpg").write_bytes((photos / "c.jpg").read_bytes()[:2000])
    (photos / "nothing").mkdir()
    given = [photos, photos / "nothing", photos / "absent.png", photos / "notes.txt", "l" * 300]
    assert run_predict(given, model_file, form=form) == 0
    out, err = capsys.readouterr()
    broken = ("empty.jpg", "cut.jpg", "nothing", "absent.png", "notes.txt")
    for name in broken:
        assert sum(f"{name}: " in line for line in err.splitlines()) == 1
    assert "absent.png: cannot be read (No such file or directory)" in err
    assert "nothing: a folder that holds no picture" in err
    assert err.endswith("3 faces in 3 pictures, 1 without one, 6 not read\n")
    if form == "jsonl":
        failed = [each for each in lines_of(out) if "error" in each]
        assert {Path(each["image"]).name for each in failed} == {*broken, "l" * 300}
        assert all(each["faces"] == [] for each in failed)
    else:
        assert not any(name in out for name in broken)


def test_a_name_cannot_steer_the_terminal(
    photos: Path, tmp_path: Path, model_file: Path, capsys: Capture
) -> None:
    folder = tmp_path / "strange"
    folder.mkdir()
    for name in ("one\x1b[2J.png", "two\x9b2J.png"):
        Image.open(photos / "c.jpg").save(folder / name)
    (folder / "bad\x1b]0;title\x07.png").write_bytes(b"none")
    assert run_predict([folder], model_file) == 0
    said = capsys.readouterr()
    assert r"one\x1b[2J.png" in said.out and r"two\x9b2J.png" in said.out
    assert r"bad\x1b]0;title\x07.png" in said.err
    assert not set(said.out + said.err) & {"\x1b", "\x9b", "\x07"}


def test_nor_can_a_class_and_what_is_one_line_stays_one(
    photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    classes = ("one\x1b[2J\nline", "other\tone")
    model = write_model(tmp_path / "odd.onnx", {"expression": classes})
    (photos / "c.jpg").rename(photos / "two\nlines.jpg")
    assert run_predict([photos], model, draw=tmp_path / "drawn") == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and head.split() == ["image", "box", "expression"]
    for line in lines:
        assert (
            r"two\x0alines.jpg  no face" in line
            or "one\\x1b[2J\\x0aline " in line
            or (r"other\x09one " in line)
        )
    assert len(list((tmp_path / "drawn").iterdir())) == 3


def test_csv_has_one_row_a_face_whatever_the_names(
    photos: Path, model_file: Path, capsys: Capture
) -> None:
    for number, sign in enumerate(("\r", "\n", "\r\n", ",", '"')):
        name = f"{number}{sign}.jpg"
        (photos / name).write_bytes((photos / "deeper" / "a.jpg").read_bytes())
    assert run_predict([photos], model_file, form="csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out, newline="")))
    names = [Path(row["image"]).name for row in rows]
    assert names[:5] == ["0\r.jpg", "1\n.jpg", "2\r\n.jpg", "3,.jpg", '4".jpg']
    assert len(rows) == 8 and all(row["expression"] in EXPRESSIONS for row in rows)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("given", ["absent.png", "none-*.png", "empty", "broken.png", "clip.mp4"])
def test_nothing_that_can_be_read_exits_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_file: Path, capsys: Capture,
    form: str, given: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.png").write_bytes(b"\x89PNG but no more")
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    assert run_predict([given], model_file, form=form) == 1
    out, err = capsys.readouterr()
    assert f"warning: {given}: " in err
    assert out.count("\n") == 1


def test_wrong_use_is_refused(photos: Path, tmp_path: Path, model_file: Path) -> None:
    for options, said in (
        ({"form": "jsno"}, "did you mean 'jsonl'"),
        ({"form": "parquet"}, "name a file by --out"),
        ({"out": tmp_path / "faces.txt"}, "expected one of .jsonl .csv .parquet"),
        (
            {"out": tmp_path / "a.parquet", "form": "csv"},
            "a.parquet is parquet by its name, and csv",
        ),
        ({"every": 0}, "every: expected 1 or more"),
        ({"batch_size": 0}, "batch_size: expected at least 1"),
        ({"threshold": 2.0}, "threshold"),
        ({"model": tmp_path / "none.onnx"}, "does not exist"),
    ):
        with pytest.raises(UsageError) as caught:
            run_predict([photos], **({"model": model_file} | options))
        assert said in str(caught.value)
    with pytest.raises(UsageError, match="no input"):
        run_predict([], model_file)


@pytest.mark.parametrize("names", [["typo.jpg"], ["typo*.jpg", "x/typo.mp4"]])
def test_a_result_is_not_replaced_where_no_input_is_there(
    names: list[str], tmp_path: Path, model_file: Path
) -> None:
    (out := tmp_path / "faces.csv").write_text("hours of work")
    with pytest.raises(
        HybridFaceError, match=r"typo.* no such file .*faces\.csv is left as it was"
    ):
        run_predict([tmp_path / name for name in names], model_file, out=out)
    assert out.read_text() == "hours of work"


def test_a_file_that_cannot_be_written_is_said(photos: Path, model_file: Path) -> None:
    with pytest.raises(HybridFaceError, match=r"notes\.txt.faces\.csv: cannot be written"):
        run_predict([photos], model_file, out=photos / "notes.txt" / "faces.csv")


def test_the_folder_of_the_result_is_made(photos: Path, tmp_path: Path, model_file: Path) -> None:
    out = tmp_path / "deeper" / "still" / "faces.csv"
    assert run_predict([photos], model_file, out=out) == 0
    assert len(out.read_text().splitlines()) == 4


def test_a_result_stays_where_the_drawings_cannot_be_written(
    photos: Path, tmp_path: Path, model_file: Path
) -> None:
    out = tmp_path / "faces.csv"
    out.write_text("of yesterday")
    with pytest.raises(HybridFaceError, match=r"notes\.txt: cannot be written"):
        run_predict([photos], model_file, out=out, draw=photos / "notes.txt")
    assert out.read_text() == "of yesterday"


def test_annotated_pictures_differ_where_the_faces_are(
    photos: Path, tmp_path: Path, model_file: Path
) -> None:
    (photos / "deeper" / "c.jpg").write_bytes((photos / "c.jpg").read_bytes())
    assert run_predict([photos], model_file, draw=tmp_path / "drawn") == 0
    names = {path.name for path in (tmp_path / "drawn").iterdir()}
    assert names == {"b.jpg", "c.jpg", "a.jpg", "c-2.jpg"}
    before, after = images.read(photos / "b.PNG"), images.read(tmp_path / "drawn" / "b.jpg")
    changed = np.abs(before.astype(int) - after).max(2) > 100
    assert changed[58:200, 80:172].mean() > 0.02
    assert changed[:50].mean() < 0.001


def test_drawing_never_replaces_what_is_there(photos: Path, model_file: Path) -> None:
    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    assert run_predict([photos], model_file, draw=photos, quiet=True) == 0
    assert {path: path.read_bytes() for path in before} == before
    assert (photos / "c-2.jpg").is_file()


def test_a_result_does_not_replace_what_it_is_made_from(
    photos: Path, tmp_path: Path, model_file: Path
) -> None:
    model = tmp_path / "mine.onnx"
    model.write_bytes(model_file.read_bytes())
    for place in (photos / "c.jpg", model):
        before = place.read_bytes()
        with pytest.raises(UsageError, match="is the model or one of the inputs"):
            run_predict([photos], model, form="csv", out=place)
        assert place.read_bytes() == before


def test_a_name_too_long_is_named_where_the_result_is_there_already(
    photos: Path, tmp_path: Path, model_file: Path, capsys: Capture
) -> None:
    out = tmp_path / "faces.jsonl"
    out.touch()
    assert run_predict([photos / "c.jpg", "l" * 300], model_file, out=out) == 0
    assert [Path(each["image"]).name for each in lines_of(out.read_text())] == ["c.jpg", "l" * 300]
    assert f"{'l' * 300}: " in capsys.readouterr().err
    with pytest.raises(HybridFaceError, match="File name too long"):
        run_predict([photos], model_file, out=tmp_path / ("l" * 300 + ".csv"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_disk_that_is_full_at_the_end_is_named(photos: Path, model_file: Path) -> None:
    with pytest.raises(HybridFaceError, match="/dev/full: cannot be written"):
        run_predict([photos], model_file, form="csv", out=Path("/dev/full"))
