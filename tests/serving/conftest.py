"""A model of every kind of task and a photo with a face."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from served import write_served


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of every kind of task, its self-supervised heads included."""
    return write_served(tmp_path_factory.mktemp("served") / "default-with-ssl.onnx")


@pytest.fixture(scope="session")
def astronaut() -> bytes:
    """Return a photo with one face as a JPEG."""
    photo = Image.fromarray(pytest.importorskip("skimage.data").astronaut())
    content = io.BytesIO()
    photo.save(content, "JPEG", quality=90)
    return content.getvalue()
