from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hybridface import images
from hybridface.errors import UsageError
from hybridface.inference import photos as photos_module
from hybridface.inference.detection.base import Detections, Detector
from hybridface.inference.inputs import find_inputs
from hybridface.inference.photos import FaceReader
from hybridface.inference.runtime import FaceModel
from tiny_models import COLOURS, EXPRESSIONS, SIZE, expected, metadata_of, weights_of, write_model
from tiny_models import write_colour_model as colour_model

Write = Callable[..., Path]
TASKS = {"expression": EXPRESSIONS}


class Patches(Detector):
    """Finds each of the pure colours that a picture's patches have."""

    def detect(self, pictures):  # type: ignore[no-untyped-def]
        found = []
        for picture in pictures:
            boxes = []
            for colour in 220 * np.eye(3, dtype=int):
                rows, columns = np.nonzero((picture == colour).all(2))
                if len(rows):
                    boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
            count = len(boxes)
            shaped = np.array(boxes, np.float32).reshape(-1, 4)
            landmarks = np.full((count, 5, 2), np.nan, np.float32)
            found.append(Detections(shaped, np.full(count, 0.75, np.float32), landmarks))
        return found


def scene(*names: str) -> np.ndarray:
    """Return a black picture with a patch of each colour, one below the other."""
    picture = np.zeros((20 + 60 * len(names), 90, 3), np.uint8)
    for number, name in enumerate(names):
        picture[20 + 60 * number : 50 + 60 * number, 10:40] = 220 * np.eye(3)[COLOURS.index(name)]
    return picture


@pytest.fixture
def colours(tmp_path: Path) -> FaceModel:
    return FaceModel.load(colour_model(tmp_path / "colours.onnx"))


@pytest.mark.parametrize("batch_size", [1, 2, 50])
def test_each_face_is_read_in_its_own_picture(colours: FaceModel, batch_size: int) -> None:
    reader = FaceReader(colours, Patches(), batch_size)
    shown = [scene("red", "blue"), scene(), scene("green"), scene("blue", "green", "red")]
    photos = reader.read(shown, list("abcd"))
    said = [{face.readings["colour"]["label"] for face in photo.faces} for photo in photos]
    assert said == [{"red", "blue"}, set(), {"green"}, {"red", "green", "blue"}]
    assert [photo.name for photo in photos] == list("abcd")
    assert photos[2].faces[0].box == (10, 20, 40, 50)
    assert photos[2].faces[0].score == 0.75
    assert photos[2].faces[0].landmarks == ()
    assert photos[2].size == (90, 80)


def test_the_model_is_shown_the_crop_that_it_asks_for(tmp_path: Path) -> None:
    metadata = metadata_of(TASKS, crop={"scale": 0.5, "shift": [0, 0]})
    path = write_model(tmp_path / "model.onnx", TASKS, metadata=metadata)
    picture = scene("red")
    picture[28:42, 18:32] = (10, 200, 30)
    picture[34, 24] = (220, 0, 0)
    (photo,) = FaceReader(path, Patches()).read([picture])
    cut = images.resize(picture[28:42, 18:32], SIZE)  # 15 pixels around the centre, rounded
    wanted = expected(cut, weights_of(len(EXPRESSIONS)))
    found = list(photo.faces[0].readings["expression"]["probabilities"].values())
    np.testing.assert_allclose(found, wanted, atol=0.05)


def test_without_a_detector_a_picture_is_one_face(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.onnx", TASKS)
    picture = np.random.default_rng(0).integers(0, 256, (33, 21, 3), dtype=np.uint8)
    (photo,) = FaceReader(path, None).read([picture])
    (face,) = photo.faces
    assert (face.box, face.score) == ((0, 0, 21, 33), None)
    wanted = expected(images.resize(picture, SIZE), weights_of(len(EXPRESSIONS)))
    found = list(face.readings["expression"]["probabilities"].values())
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_model_that_diverged_gives_errors_not_numbers(tmp_path: Path) -> None:
    weights = {"expression": np.full((3, len(EXPRESSIONS)), np.nan, np.float32)}
    path = write_model(tmp_path / "model.onnx", TASKS, weights)
    (empty, photo) = FaceReader(path, Patches()).read([scene(), scene("red")])
    assert empty.error is None
    assert photo.error == "the model gives no numbers (NaN) for task 'expression'"
    assert photo.faces == ()


def test_wrong_use_is_refused(colours: FaceModel) -> None:
    with pytest.raises(UsageError, match="batch_size: expected at least 1"):
        FaceReader(colours, batch_size=0)
    with pytest.raises(UsageError, match=r"picture 1: expected uint8 \(H, W, 3\)"):
        FaceReader(colours).read([scene(), scene()[:, :, 0]])


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_files_come_in_order_broken_ones_in_their_place(
    tmp_path: Path, colours: FaceModel, batch_size: int
) -> None:
    names = [("red",), ("green", "blue"), (), ("blue",), ("red", "green"), ("green",), ()]
    folder = tmp_path / "in"
    folder.mkdir()
    for number, shown in enumerate(names):
        Image.fromarray(scene(*shown)).save(folder / f"{number}.png")
    (folder / "3.png").write_bytes(b"broken")
    reader = FaceReader(colours, Patches(), batch_size)
    photos = list(reader.read_files(find_inputs([folder, folder / "absent.png"])))
    assert [Path(each.name).name for each in photos] == [
        *(f"{number}.png" for number in range(7)), "absent.png",
    ]  # fmt: skip
    for number, (photo, shown) in enumerate(zip(photos[:7], names, strict=True)):
        if number == 3:
            assert photo.error == "not a picture that can be read" and photo.pixels is None
        else:
            assert {each.readings["colour"]["label"] for each in photo.faces} == set(shown)
    assert photos[7].error == "cannot be read (No such file or directory)"


def test_what_is_decoded_ahead_is_bounded_in_pixels(
    tmp_path: Path, colours: FaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        Image.fromarray(scene("red")).save(tmp_path / f"{number}.png")
    (tmp_path / "4.png").write_bytes(b"broken")
    size = scene("red").size // 3
    held = most = 0

    def load(path: Path) -> np.ndarray | str:
        nonlocal held, most
        held += 1
        most = max(most, held)
        return "broken" if path.name == "4.png" else images.read(path)

    def read(reader: FaceReader, loaded: list[tuple[str, np.ndarray]]) -> list[str]:
        nonlocal held
        held -= len(loaded)
        return [name for name, _ in loaded]

    monkeypatch.setattr(photos_module, "_load", load)
    monkeypatch.setattr(FaceReader, "_read_loaded", read)
    for pixels, wanted in ((2 * size, 4), (size // 2, 2), (100 * size, 8)):
        held = most = 0
        monkeypatch.setattr(photos_module, "MOST_HELD", pixels)
        names = list(FaceReader(colours, None, 5).read_files(find_inputs([tmp_path])))
        assert [Path(name).name for name in names] == [f"{number}.png" for number in range(8)]
        assert most <= wanted


def test_pixels_are_counted_from_the_head(tmp_path: Path) -> None:
    Image.new("L", (30, 20)).save(tmp_path / "1.png")
    assert images.count_pixels(tmp_path / "1.png") == 600
    (tmp_path / "2.png").write_bytes(b"broken")
    for nothing in (tmp_path / "2.png", tmp_path / "3.png", tmp_path):
        assert images.count_pixels(nothing) == 0


def written(picture: Image.Image, path: Path, kind: str) -> Path:
    """Write the picture as a kind of file that cameras and scanners leave behind."""
    options: dict[str, object] = {}
    if kind == "turned":
        picture = picture.transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[0x0112] = 6  # to be shown turned by 90 degrees to the right
        options = {"exif": exif}
    elif kind == "16-bit":
        wide = np.asarray(picture.convert("L")).astype(np.uint16) * 257
        picture = Image.fromarray(wide)
    elif kind in ("L", "LA", "RGBA", "CMYK", "P"):
        picture = picture.convert(kind)
    suffix = {"CMYK": ".tif", "turned": ".jpg"}.get(kind, ".png")
    place = path.with_suffix(suffix)
    picture.save(place, **options)
    return place


@pytest.mark.parametrize("kind", ["RGB", "turned", "L", "LA", "RGBA", "P", "16-bit", "CMYK"])
def test_a_face_is_found_in_every_kind_of_file(tmp_path: Path, kind: str) -> None:
    astronaut = pytest.importorskip("skimage.data").astronaut()
    place = written(Image.fromarray(astronaut[:300, 50:450]), tmp_path / "photo", kind)
    model = write_model(tmp_path / "model.onnx", TASKS)
    (photo,) = FaceReader(model).read_files(find_inputs([place]))
    assert photo.error is None
    assert photo.size == (400, 300)
    (face,) = photo.faces
    np.testing.assert_allclose(face.box, (132, 58, 220, 178), atol=12)
