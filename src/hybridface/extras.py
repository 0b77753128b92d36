"""What the plain install leaves out, said to whoever asks for it."""

from __future__ import annotations

from typing import Any

from hybridface.errors import UsageError


class training_extra:  # noqa: N801
    """Turns a missing training library into an error that says what to install."""

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Replace an ImportError of a training library.

        Raises:
            UsageError: In its place.
        """
        if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("hybridface"):
            raise UsageError(
                f"this needs the training libraries ({error.name} is missing): "
                'pip install "hybridface[train]"'
            ) from error
