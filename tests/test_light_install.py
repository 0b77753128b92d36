"""The plain install: what it can do without training libraries, and what it says of the rest."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from PIL import Image

from hybridface.inference import shipped
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
DATA = ("--data", "drawn:9")
TRAINING = [
    ("train", "configs/drawn.yaml"),
    ("evaluate", "MODEL", *DATA),
    ("compare", "MODEL", "MODEL", *DATA),
    ("study", "configs/studies/rafdb-20.yaml"),
    ("report", "runs/none"),
    ("demo",),
    ("tasks",),
    ("config", "configs/drawn.yaml"),
    ("export", "runs/none", "out.onnx"),
    ("calibrate", "MODEL", "out.onnx"),
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


def said_by(command: list[str], code: int, place: Path = ROOT) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
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
    """Return the bytes of what is installed."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files)


@pytest.fixture(scope="module")
def light(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh venv with the wheel and what it asks for, from the package index that pip knows."""
    place = tmp_path_factory.mktemp("light") / "venv"
    venv.create(place)
    (wheel,) = built.glob("*.whl")
    install = [sys.executable, "-m", "pip", "--python", str(place), "install", "--quiet"]
    done = subprocess.run(
        [*install, "--disable-pip-version-check", str(wheel)],
        cwd=place, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.fail(
            f"{wheel.name} could not be installed into a fresh venv, so nothing is known of the "
            "light install; this test needs pip and the package index that pip is set up for. "
            f"pip said:\n{done.stdout}{done.stderr}",
            pytrace=False,
        )
    return place


@pytest.mark.slow
def test_the_light_install_is_light(light: Path) -> None:
    assert size_of(light) < LARGEST
    code = (
        "import importlib.util as u, sys; print([n for n in sys.argv[1:] if u.find_spec(n)],"
        " bool(u.find_spec('hybridface')))"
    )
    done = said_by([str(light / "bin" / "python"), "-I", "-c", code, *LEFT_OUT], code=0)
    assert done.stdout == "[] True\n"


@pytest.mark.slow
@pytest.mark.parametrize("which", ["ships", "named"])
def test_the_light_install_reads_a_photo_offline(
    light: Path, model: Path, photo: Path, which: str
) -> None:
    if which == "ships" and not (shipped.FOLDER / "default.onnx").is_file():
        pytest.skip("the model that ships is not in this tree")
    named = [] if which == "ships" else ["--model", str(model)]
    given = [*alone(), str(light / "bin" / "hybridface"), "predict", photo.name, *named]
    done = said_by([*given, "--json"], code=0, place=photo.parent)
    (face,) = json.loads(done.stdout)["faces"]
    left, top, right, bottom = face["box"]
    assert 150 < left < 224 < right < 300 and 40 < top < 110 < bottom < 200  # the astronaut's nose
    assert face["expression"]["label"] in EXPRESSIONS
    (photo.parent / "more").mkdir()
    done = said_by([*given, "--draw", "more"], code=0, place=photo.parent)
    assert "1 faces in 1 pictures" in done.stderr
    assert list((photo.parent / "more").iterdir())


@pytest.mark.slow
def test_the_light_install_says_what_training_needs(light: Path, tmp_path: Path) -> None:
    command = [*alone(), str(light / "bin" / "hybridface")]
    for given in (("train", str(ROOT / "configs" / "drawn.yaml")), ("evaluate", "default", *DATA)):
        done = said_by([*command, *given], code=2, place=tmp_path)
        assert 'pip install "hybridface[train]"' in done.stderr
        assert done.stdout == ""
    assert not list(tmp_path.iterdir())


def alone() -> list[str]:
    """Return what runs a command away from this source tree and, where it can be, offline."""
    away, cut = ["env", "-u", "PYTHONPATH"], ["unshare", "--net", "--map-root-user"]
    done = subprocess.run([*cut, "true"], capture_output=True, check=False)
    return [*away, *cut] if done.returncode == 0 else away
