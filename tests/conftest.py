"""Fixtures for all tests: a cache of one's own, small pictures, and the real data sets."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings
from PIL import Image

if TYPE_CHECKING:
    from hybridface.training.train import TrainedRun

# Shared machines are slow now and then; how long an example takes says nothing.
settings.register_profile("hybridface", deadline=None)
settings.load_profile("hybridface")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def only_tests_warn_of_encodings() -> None:
    """Keep what tests start from warning of encodings; the Makefile asks for it."""
    os.environ.pop("PYTHONWARNDEFAULTENCODING", None)


@pytest.fixture(scope="session")
def drawn_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache folder for the whole session, so that a face is drawn once."""
    return tmp_path_factory.mktemp("drawn-cache")


@pytest.fixture
def drawn_cache(drawn_pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the package cache in the session's folder."""
    monkeypatch.setenv("HYBRIDFACE_CACHE", str(drawn_pictures))
    return drawn_pictures


@pytest.fixture(scope="session")
def tiny_run(drawn_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """Return one finished run of :func:`tiny_runs.tiny_recipe`; not to be changed."""
    from hybridface.training.train import train
    from tiny_runs import tiny_recipe

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDFACE_CACHE", str(drawn_pictures))
        return train(tiny_recipe(tmp_path_factory.mktemp("tiny") / "run"))


@pytest.fixture(scope="session")
def broken_run(drawn_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run on a folder of pictures that ended after the first of its two epochs.

    Not to be changed; :func:`tiny_runs.copy_run` gives a copy.
    """
    from hybridface.training.callbacks import RunKeeper
    from hybridface.training.train import train
    from tiny_runs import CLASSES, tiny_recipe

    place = tmp_path_factory.mktemp("broken")
    for number in range(40):
        path = place / "faces" / CLASSES[number % 3] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture_pixels(number, 32)).save(path)
    recipe = tiny_recipe(
        place / "run",
        data={"source": f"folder:{place / 'faces'}"},
        tasks={"puzzle": None, "inpaint": None},
        training={"epochs": 2},
    )
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setenv("HYBRIDFACE_CACHE", str(drawn_pictures))
        note = RunKeeper._note

        def once(keeper: RunKeeper, *arguments: Any) -> None:
            if keeper.lines:
                raise ZeroDivisionError
            note(keeper, *arguments)

        patch.setattr(RunKeeper, "_note", once)
        train(recipe)
    return place / "run"


@pytest.fixture
def quick_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the export, which takes longer than these trainings."""
    monkeypatch.setattr("hybridface.training.finish.export_onnx", lambda *_, **__: 0.0)


@pytest.fixture
def hybridface_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the package cache in a folder of the test's own, which is not there yet."""
    place = tmp_path / "hybridface-cache"
    monkeypatch.setenv("HYBRIDFACE_CACHE", str(place))
    return place


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Return a function (name, options of mount) that mounts a folder, which only root may."""
    mounted: list[Path] = []

    def at(name: str, *options: str) -> Path:
        place = tmp_path / name
        place.mkdir(exist_ok=True)
        done = subprocess.run(["mount", *options, str(place)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("only root may mount a disk")
        mounted.append(place)
        return place

    yield at
    for place in reversed(mounted):
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def picture_pixels(seed: int, size: int = 24) -> np.ndarray:
    """Return (size, size, 3) smooth random pixels, different for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BILINEAR))


def write_rafdb(
    root: Path, write_picture: Callable[..., Path], lines: Sequence[tuple[str, str]]
) -> Path:
    """Write a data set in RAF-DB's layout: (name, label) a picture, as in ('test_0001', '5')."""
    for seed, (name, _) in enumerate(lines):
        write_picture(root / "Image" / "aligned" / f"{name}_aligned.jpg", seed=seed)
    (root / "EmoLabel").mkdir()
    text = "".join(f"{name}.jpg {label}\n" for name, label in lines)
    (root / "EmoLabel" / "list_patition_label.txt").write_text(text)
    return root


@pytest.fixture
def write_files(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Return a function that writes files by their names below a folder, which it returns."""

    def write(files: dict[str, bytes]) -> Path:
        for name, content in files.items():
            (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "data" / name).write_bytes(content)
        return tmp_path / "data"

    return write


@pytest.fixture
def picture_bytes() -> Callable[..., bytes]:
    """Return a function (seed, size, format) that encodes a small picture."""

    def encode(seed: int = 0, size: int = 24, format: str = "PNG") -> bytes:
        out = io.BytesIO()
        Image.fromarray(picture_pixels(seed, size)).save(out, format)
        return out.getvalue()

    return encode


@pytest.fixture
def write_picture() -> Callable[..., Path]:
    """Return a function (path, seed, size) that writes a small picture, folders included."""

    def write(path: Path, seed: int = 0, size: int = 24) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture_pixels(seed, size)).save(path)
        return path

    return write


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str, str], Path]:
    """Return a function (archive, folder) that gives a real data set's folder, unpacked once.

    It lies in ``$HYBRIDFACE_TEST_DATA``, else ``~/.cache/hybridface/data``. The test is skipped
    where neither the folder nor the archive is there.
    """
    default = Path.home() / ".cache" / "hybridface" / "data"
    place = Path(os.environ.get("HYBRIDFACE_TEST_DATA") or default)

    def unpacked(archive: str, folder: str) -> Path:
        if (place / folder).is_dir():
            return place / folder
        if not (SHARED / archive).is_file():
            pytest.skip(f"no real data: neither {place / folder} nor {SHARED / archive} is there")
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / f".{archive}.lock"):
            if (place / folder).is_dir():
                return place / folder
            building = Path(tempfile.mkdtemp(dir=place, prefix=".unpacking-"))
            try:
                with zipfile.ZipFile(SHARED / archive) as content:
                    content.extractall(building)
                (building / folder).rename(place / folder)
            finally:
                shutil.rmtree(building)
        return place / folder

    return unpacked


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheel and the source archive, built with what is installed."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    done = subprocess.run(
        command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder
