"""Kinds of data sets, one file a family of layouts; a new file here is a new kind."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from urllib.parse import parse_qsl

from pydantic import ValidationError

from hybridface.data.source import Source
from hybridface.errors import UsageError, unknown


@cache
def source_kinds() -> dict[str, type[Source]]:
    """Return every kind of data set by name, found by looking through this folder."""
    kinds: dict[str, type[Source]] = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        for value in vars(module).values():
            if not isinstance(value, type) or not issubclass(value, Source):
                continue
            if hasattr(value, "kind") and not inspect.isabstract(value):
                kinds[value.kind] = value
    return dict(sorted(kinds.items()))


def open_source(spec: str) -> Source:
    """Open a data set by ``KIND:PATH`` or ``KIND:PATH?option=value&option=value``.

    Raises:
        UsageError: The kind or an option is unknown, or the text has no kind.
    """
    kind, colon, rest = spec.partition(":")
    kinds = source_kinds()
    if kind not in kinds:
        if not colon:
            raise UsageError(
                f"'{spec}' names no kind of data: write KIND:PATH, as in folder:{spec}; "
                f"kinds are: {', '.join(kinds)}"
            )
        raise unknown("kind of data", kind, kinds)
    path, _, query = rest.partition("?")
    chosen = kinds[kind]
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in chosen.Options.model_fields:
            raise unknown(f"option of data kind '{kind}'", name, chosen.Options.model_fields)
    try:
        return chosen(path, chosen.Options.model_validate(options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{spec}: option '{where}': {first['msg']}") from error
