"""Which file is meant where a model is named: one of the user's, or one that ships. No torch here.

The models that ship lie in the package, in ``hybridface/models``, and go by the names of their
files: ``default`` is the one for use, ``default-with-ssl`` the same with its self-supervised heads.
"""

from __future__ import annotations

from pathlib import Path

from hybridface.errors import DataError, UsageError
from hybridface.files import at_home, read_json_object

FOLDER = Path(__file__).parent.parent / "models"
DEFAULT = "default"
WITH_SSL = "default-with-ssl"
NAMES = (DEFAULT, WITH_SSL)
MODEL_FILE = "model.onnx"
MODEL_SUFFIX = ".onnx"


def shipped_model() -> Path:
    """Return the file of the model that ships, ``default``.

    Raises:
        UsageError: It is not in this install, as in a source tree without it.
    """
    return _shipped(DEFAULT)


def shipped_ssl_model() -> Path:
    """Return the file of the same model with its self-supervised heads, ``default-with-ssl``.

    Raises:
        UsageError: It is not in this install.
    """
    return _shipped(WITH_SSL)


def find_model(place: str | Path | None = None) -> Path:
    """Return the ONNX file that a user means.

    Args:
        place: An ONNX file, a run folder that holds ``model.onnx``, or the name of a model that
            ships. A file or folder of such a name wins where it lies in the working directory;
            None is always the model that ships.

    Raises:
        UsageError: There is no such file, no model in the folder, or no model of that name in
            this install.
    """
    if place is None:
        return shipped_model()
    path = at_home(place)
    try:
        is_folder = path.is_dir()
        file = path / MODEL_FILE if is_folder else path
        if file.is_file():
            if file.suffix == ".safetensors":
                raise UsageError(
                    f"{file}: weights of a training, not a model; name the run's folder, or what "
                    "'hybridface export' makes of it"
                )
            return file
    except OSError as error:  # too long a name, a folder that may not be entered
        raise UsageError(f"{path}: cannot be opened ({error.strerror})") from error
    by_name = is_shipped(path)
    if is_folder:
        if why := why_not_exported(path):
            raise UsageError(
                f"{path}: this run has ended, but holds no {MODEL_FILE}: {why}; its weights are "
                "there: try again by 'hybridface train --resume', with newer versions of torch and "
                "timm, or train another backbone"
            )
        instead = "; this folder hides the model of that name that ships" if by_name else ""
        raise UsageError(
            f"{path}: holds no {MODEL_FILE}, which a run writes at its end; if this is a run's "
            "folder, let the run finish or resume it, else name a run's folder or a .onnx file"
            + instead
        )
    if by_name:
        return _shipped(str(path))
    raise UsageError(
        f"{path}: does not exist; expected a .onnx file, the folder of a run, or '{DEFAULT}' for "
        "the model that ships"
    )


def why_not_exported(run: Path) -> str | None:
    """Return why a finished run could not write its model, as its result says; None otherwise."""
    try:
        return str(read_json_object(run / "result.json")["not_exported"])
    except (DataError, KeyError):
        return None


def is_shipped(place: str | Path) -> bool:
    """Say whether this is the name of a model that ships, whatever lies on disk."""
    return str(place) in NAMES


def _shipped(name: str) -> Path:
    file = FOLDER / f"{name}.onnx"
    if not file.is_file():
        raise UsageError(
            f"the model '{name}' is not in this install ({file} is missing): install hybridface "
            "from a wheel that holds it, or name a model of yours, a run's folder or a .onnx file "
            "that hybridface exported (hybridface predict takes it by --model)"
        )
    return file
