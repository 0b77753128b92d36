"""What the plain install leaves out, said to whoever asks for it."""

from __future__ import annotations

from typing import Any

from hybridface.errors import UsageError


class _Extra:
    """Turns a missing library of an extra into an error that says what to install."""

    name: str
    libraries: str

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Replace an ImportError of another package's library.

        Raises:
            UsageError: In its place.
        """
        if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("hybridface"):
            raise UsageError(
                f"this needs the {self.libraries} libraries ({error.name} is missing): "
                f'pip install "hybridface[{self.name}]"'
            ) from error


class training_extra(_Extra):  # noqa: N801
    """Turns a missing training library into an error that says what to install."""

    name, libraries = "train", "training"


class serving_extra(_Extra):  # noqa: N801
    """The same of the libraries of a web server."""

    name, libraries = "serve", "web server"
