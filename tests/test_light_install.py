"""The plain install: what it can do without training libraries, and what it says of the rest."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from PIL import Image

from hybridface.inference.runtime import DEFAULT_MODEL
from tiny_models import EXPRESSIONS, write_model

ROOT = Path(__file__).parent.parent
LARGEST = 400 * 1024 * 1024
LEFT_OUT = (
    "torch", "torchvision", "scipy", "pandas", "pyarrow", "timm", "pytorch_lightning",
    "torchmetrics", "safetensors", "onnx", "matplotlib", "jinja2", "filelock", "tensorboard",
)  # fmt: skip
# As in an environment that does not have them.
WITHOUT = f"""
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {LEFT_OUT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Without())
from hybridface.cli import main
main()
"""
TRAINING = [
    ("train", "configs/drawn.yaml"),
    ("evaluate", "MODEL", "--data", "drawn:9"),
    ("compare", "MODEL", "MODEL", "--data", "drawn:9"),
    ("study", "configs/studies/rafdb-20.yaml"),
    ("report", "runs/none"),
    ("demo",),
    ("tasks",),
    ("config", "configs/drawn.yaml"),
    ("export", "runs/none", "out.onnx"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("model") / "model.onnx"
    return write_model(place, {"expression": EXPRESSIONS})


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    astronaut = pytest.importorskip("skimage.data").astronaut()
    Image.fromarray(astronaut).save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


def said_by(command: list[str], code: int) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, (command, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr and "unexpectedly" not in done.stderr
    return done


@pytest.mark.parametrize("command", TRAINING, ids=lambda command: command[0])
def test_what_needs_training_libraries_says_so(command: tuple[str, ...], model: Path) -> None:
    given = [str(model) if each == "MODEL" else each for each in command]
    done = said_by([sys.executable, "-c", WITHOUT, *given], code=2)
    assert 'pip install "hybridface[train]"' in done.stderr
    assert done.stdout == ""


def test_predict_needs_none_of_them(model: Path, photo: Path) -> None:
    given = ["predict", str(photo), "--model", str(model), "--json"]
    done = said_by([sys.executable, "-c", WITHOUT, *given], code=0)
    assert len(json.loads(done.stdout)["faces"]) == 1
    out = str(photo.with_name("faces.parquet"))
    done = said_by([sys.executable, "-c", WITHOUT, *given[:-1], "--out", out], code=2)
    assert 'pip install "hybridface[parquet]"' in done.stderr


def size_of(folder: Path) -> int:
    """Return the bytes of what is installed, without pip, which a venv brings itself."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(
        path.stat().st_size
        for path in files
        if not path.relative_to(folder).parts[0].startswith(("pip", "setuptools"))
    )


@pytest.mark.slow
def test_the_wheel_works_at_once_in_a_fresh_venv(
    built: Path, tmp_path: Path, model: Path, photo: Path
) -> None:
    place = tmp_path / "venv"
    venv.create(place, with_pip=True)
    python, command = str(place / "bin" / "python"), str(place / "bin" / "hybridface")
    (wheel,) = built.glob("*.whl")
    said_by([python, "-m", "pip", "install", "--quiet", str(wheel)], code=0)
    (packages,) = place.glob("lib/python*/site-packages")
    assert size_of(packages) < LARGEST
    for name in LEFT_OUT:
        assert not (packages / name).exists(), name
    given = [] if DEFAULT_MODEL.is_file() else ["--model", str(model)]
    done = said_by([*offline(), command, "predict", str(photo), "--json", *given], code=0)
    assert len(json.loads(done.stdout)["faces"]) == 1
    done = said_by([command, "train", "configs/drawn.yaml"], code=2)
    assert 'pip install "hybridface[train]"' in done.stderr


def offline() -> list[str]:
    """Return what runs a command without any network, where the system lets us."""
    cut = ["unshare", "--net", "--map-root-user"]
    done = subprocess.run([*cut, "true"], capture_output=True, check=False)
    return cut if done.returncode == 0 else []
