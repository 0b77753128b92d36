from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hybridface.data.source import MISSING
from hybridface.data.sources import open_source
from hybridface.errors import DataError, UsageError
from layouts import ATTRIBUTES, celeba

Write = Callable[[dict[str, bytes]], Path]


def as_csv(files: dict[str, bytes]) -> dict[str, bytes]:
    """Kaggle's version: tables with other names of columns, and pictures one folder deeper."""
    lines = files.pop("list_attr_celeba.txt").decode().splitlines()[2:]
    rows = [",".join(line.split()) for line in lines]
    files["list_attr_celeba.csv"] = "\n".join([",".join(["image_id", *ATTRIBUTES]), *rows]).encode()
    splits = files.pop("list_eval_partition.txt").decode().replace(" ", ",")
    files["list_eval_partition.csv"] = f"image_id,partition\n{splits}\n".encode()
    return {name.replace("img_align_celeba/", "img_align_celeba/img_align_celeba/"): content
            for name, content in files.items()}  # fmt: skip


def as_official(files: dict[str, bytes]) -> dict[str, bytes]:
    places = {"list_attr": "Anno/list_attr", "list_eval": "Eval/list_eval", "img": "Img/img",
              "identity": "Anno/identity"}  # fmt: skip
    return {
        next(new + name[len(old):] for old, new in places.items() if name.startswith(old)): content
        for name, content in files.items()
    }  # fmt: skip


def in_a_folder(files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"CelebA/{name}": content for name, content in files.items()}


def unpacked_in_a_folder(files: dict[str, bytes]) -> dict[str, bytes]:
    return in_a_folder({name.replace("Img/", "Img/img_align_celeba/"): content
                        for name, content in as_official(files).items()})  # fmt: skip


@pytest.mark.parametrize("layout", [dict, as_csv, as_official, in_a_folder, unpacked_in_a_folder])
def test_layouts(write_files: Write, layout: Callable[..., dict[str, bytes]]) -> None:
    source = open_source(f"celeba:{write_files(layout(celeba()))}")
    rows = source.read()
    assert len(rows) == 12
    assert rows.keys[0].endswith("img_align_celeba/000001.jpg")
    assert list(rows.labels) == ["gender"]
    assert rows.labels["gender"].names == ("male", "female")
    assert rows.labels["gender"].ids.tolist() == [0, 1] * 6  # Male is 1 for odd numbers
    assert rows.split.tolist() == ["train", "val", "test", "train"] * 3
    assert rows.group.tolist() == np.unique([str(n // 2) for n in range(1, 13)],
                                            return_inverse=True)[1].tolist()  # fmt: skip
    assert rows.problems == rows.notes == []
    assert all(isinstance(pixels, np.ndarray) for pixels in source.decode(rows, range(12)))


@pytest.mark.parametrize("inside", ["Img/img_align_celeba_png.7z/", "Img/", ""])
def test_the_pictures_as_png(write_files: Write, inside: str) -> None:
    """The lists call them .jpg all the same."""
    folder = f"{inside}img_align_celeba_png"
    files = {
        name.replace("img_align_celeba", folder).replace(".jpg", ".png"): content
        for name, content in celeba().items()
    }
    root = write_files(files)
    (root / "list_attr_celeba.txt").write_bytes(
        celeba()["list_attr_celeba.txt"].replace(b"000002.jpg -1", b"000002.jpg  3")
    )
    source = open_source(f"celeba:{root}?attributes={ATTRIBUTES[0]}")
    rows = source.read()
    assert rows.keys[1] == f"{folder}/000002.png"
    assert [problem.where for problem in rows.problems] == [rows.keys[1]]
    assert rows.split.tolist() == ["train", "val", "test", "train"] * 3
    assert len(set(rows.group.tolist())) == 7
    assert all(isinstance(pixels, np.ndarray) for pixels in source.decode(rows, range(12)))


def test_attributes(write_files: Write) -> None:
    root = write_files(celeba())
    rows = open_source(f"celeba:{root}?attributes=Smiling,Eyeglasses").read()
    assert list(rows.labels) == ["gender", "Smiling", "Eyeglasses"]
    assert rows.labels["Smiling"].names == ("no", "yes")
    assert set(rows.labels["Smiling"].ids) == {0}
    assert set(rows.labels["Eyeglasses"].ids) == {1}
    every = open_source(f"celeba:{root}?attributes=all").read()
    assert list(every.labels) == ["gender", *(name for name in ATTRIBUTES if name != "Male")]
    with pytest.raises(UsageError, match="did you mean 'Smiling'"):
        open_source(f"celeba:{root}?attributes=Smilling").read()


def test_lines_without_a_person_are_named(write_files: Write) -> None:
    files = celeba()
    first, rest = files["identity_CelebA.txt"].split(b"\n", 1)
    files["identity_CelebA.txt"] = first.partition(b" ")[0] + b"\n" + rest
    rows = open_source(f"celeba:{write_files(files)}").read()
    (problem,) = rows.problems
    assert (problem.where, problem.what) == ("identity_CelebA.txt:1", "not a picture and a number")
    assert rows.notes == ["1 pictures are of no person in identity_CelebA.txt"]
    assert rows.group is not None and (rows.group == rows.group[0]).sum() == 1


def test_what_is_wrong_or_missing_is_said(write_files: Write) -> None:
    files = celeba()
    lines = files["list_attr_celeba.txt"].split(b"\n")
    lines[2] = b"000001.jpg -1 1 0x1 -1"
    lines[3] = b"000002.jpg -1 1 1"
    files["list_attr_celeba.txt"] = b"\n".join(lines)
    files["list_eval_partition.txt"] = b"000001.jpg 7\n000003.jpg 1\nodd\n000002.jpg x\n"
    del files["identity_CelebA.txt"]
    rows = open_source(f"celeba:{write_files(files)}").read()
    assert rows.labels["gender"].ids[:2].tolist() == [MISSING, 0]
    assert rows.split[:2].tolist() == ["", "val"]
    assert rows.group is None
    assert {problem.where: problem.what for problem in rows.problems} == {
        "list_attr_celeba.txt:4": "not a picture and 4 attributes; row left out",
        "img_align_celeba/000001.jpg": "an attribute that is neither 1 nor -1",
        "list_eval_partition.txt:1": "split '7' is not 0, 1 or 2; 2 rows, this is the first",
        "list_eval_partition.txt:3": "not a picture and a number",
    }
    assert rows.notes == [
        "10 pictures are in no split of list_eval_partition.txt",
        "no identity_CelebA.txt: the persons are not known",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"x", "does not start as expected"),
        (b"2\nSmiling Hat\n1.jpg 1 1\n", "without Male"),
        (b"2\nMale\n", "no usable row"),
    ],
)
def test_what_is_no_celeba_is_explained(write_files: Write, text: bytes, message: str) -> None:
    root = write_files(celeba() | {"list_attr_celeba.txt": text})
    with pytest.raises(DataError, match=message):
        open_source(f"celeba:{root}").read()
    with pytest.raises(DataError, match=r"expected: PATH/list_attr_celeba\.txt"):
        open_source(f"celeba:{root}/img_align_celeba").read()
