"""Kinds of data sets, one file a family of layouts; a new file here is a new kind.

``KIND:PATH`` names a data set. ``pkg.module:Class:PATH`` does so with a class from a module of the
user's own. The name of a kind holds no dot and that of such a module holds at least one, so that
what stands before the first colon tells the two apart, whichever kinds and modules there are.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import parse_qsl

from pydantic import ValidationError

from hybridface.data.source import Source, SourceOptions
from hybridface.errors import UsageError, unknown
from hybridface.plugins import load_class

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
_NAMED = re.compile(r"([^/\\:=?+]+)=(.+:.*)")
_NEXT = re.compile(r" \+ (?=[^/\\:=?+]+=)")


@dataclass(frozen=True)
class Spec:
    """The parts of what names a data set.

    Attributes:
        kind: A kind of :func:`source_kinds`, or ``pkg.module:Class``.
        path: What the kind is to read.
        query: Options as ``option=value&option=value``.
        text: The whole.
    """

    kind: str
    path: str
    query: str
    text: str

    @property
    def is_class(self) -> bool:
        """Whether a class of the user's own is named."""
        return _MODULE.fullmatch(self.kind.partition(":")[0]) is not None


def split_spec(text: str) -> Spec:
    """Take apart ``KIND:PATH?option=value`` or ``pkg.module:Class:PATH?option=value``."""
    kind, _, rest = text.partition(":")
    if _MODULE.fullmatch(kind):
        name, _, rest = rest.partition(":")
        kind = f"{kind}:{name}"
    path, _, query = rest.partition("?")
    return Spec(kind, path, query, text)


def kinds_of(specs: Iterable[str]) -> str:
    """Return the kinds of some data sets in one line, each once."""
    return ", ".join(dict.fromkeys(split_spec(spec).kind for spec in specs))


def in_one_line(specs: Mapping[str, str]) -> str:
    """Return several data sets by name as one text, ``a=KIND:PATH + b=KIND:PATH``.

    One that has no name stands by itself, as ``KIND:PATH``. :func:`from_one_line` undoes it.
    """
    return " + ".join(f"{name}={spec}" if name else spec for name, spec in specs.items())


def from_one_line(text: str) -> dict[str, str]:
    """Return data sets by name, where a text names several; else the one, by an empty name."""
    parts = [_NAMED.fullmatch(part) for part in _NEXT.split(text)]
    if not all(parts):
        return {"": text}
    return {part[1]: part[2] for part in parts if part}


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


def open_source(text: str) -> Source:
    """Open a data set by ``KIND:PATH`` or ``KIND:PATH?option=value&option=value``.

    ``pkg.module:Class`` stands for a kind too; the source's :attr:`Source.kind` is then that name.

    Raises:
        UsageError: The kind or an option is unknown, the text has no kind, or the class cannot be
            loaded or is no source.
    """
    spec = split_spec(text)
    chosen = _kind(spec)
    query = spec.query.replace("+", "%2B")  # a plus is one, as in ?root=/data/CK+48
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in chosen.Options.model_fields:
            raise unknown(f"option of data kind '{spec.kind}'", name, chosen.Options.model_fields)
    try:
        source = chosen(spec.path, chosen.Options.model_validate(options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{text}: option '{where}': {message}") from error
    source.kind = spec.kind
    return source


def _kind(spec: Spec) -> type[Source]:
    """Return the class that reads a data set."""
    if spec.is_class:
        if spec.kind.endswith(":"):
            raise UsageError(
                f"{spec.text}: the class is missing: write pkg.module:Class:PATH, or KIND:PATH "
                f"with one of the kinds {', '.join(source_kinds())}"
            )
        needs = {"layout": str, "Options": SourceOptions}
        where = f"data source {spec.text}"
        return load_class(spec.kind, Source, needs, where)  # type: ignore[type-abstract]
    kinds = source_kinds()
    if spec.kind in kinds:
        return kinds[spec.kind]
    if ":" not in spec.text:
        raise UsageError(
            f"'{spec.text}' names no kind of data: write KIND:PATH, as in folder:{spec.text}; "
            f"kinds are: {', '.join(kinds)}"
        )
    raise unknown("kind of data", spec.kind, kinds)
