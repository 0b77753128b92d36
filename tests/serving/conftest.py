"""A model of every kind of task in two files, a photo with a face, and a server in a process."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from served import write_models


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the same model without and with its self-supervised heads."""
    return write_models(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def astronaut() -> bytes:
    """Return a photo with one face as a JPEG."""
    photo = Image.fromarray(pytest.importorskip("skimage.data").astronaut())
    content = io.BytesIO()
    photo.save(content, "JPEG", quality=90)
    return content.getvalue()
