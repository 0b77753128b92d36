"""A recipe's content before it is a recipe: read from YAML, merged, overridden, validated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from hybridface.errors import UsageError, unknown

Model = TypeVar("Model", bound=BaseModel)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        UsageError: The file is missing, is no YAML, or holds something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: expected a mapping of keys to values, found nothing of the kind")
    return content


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one nested mapping over another; anything but two mappings is replaced."""
    merged = dict(base)
    for key, value in change.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def parse_override(text: str) -> dict[str, Any]:
    """Turn ``a.b=value`` into ``{"a": {"b": value}}``; the value is read as YAML.

    Raises:
        UsageError: There is no ``=`` or the value is no YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"'{text}' is no override: write key=value, as in training.epochs=10")
    try:
        parsed: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"override '{text}': the value is not valid YAML") from error
    for part in reversed(key.strip().split(".")):
        parsed = {part: parsed}
    return dict(parsed)


def validate(model: type[Model], content: Mapping[str, Any], where: str) -> Model:
    """Validate content against a pydantic model with errors that a person can act on.

    Raises:
        UsageError: For the first error found.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            raise unknown(f"key in {where}", key, _sibling_keys(model, first["loc"])) from error
        whole = first["type"] == "missing" or isinstance(first["input"], Mapping)
        given = "" if whole else f" (given: {first['input']!r})"
        place = ": ".join(part for part in (where, key) if part)
        raise UsageError(f"{place}: {message}{given}") from error


def _sibling_keys(model: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    """List the right keys, with their path, beside an unknown one."""
    prefix = ""
    for part in place[:-1]:
        found = model.model_fields.get(str(part))
        if found is None:
            break
        candidates = [found.annotation, *getattr(found.annotation, "__args__", ())]
        inner = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not inner:
            break
        model, prefix = inner[0], f"{prefix}{part}."
    return [f"{prefix}{name}" for name in model.model_fields]


def override(content: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """Lay overrides of the form ``key=value`` over a recipe's content.

    ``tasks.NAME=null`` takes a task out, and so does ``pretrain.tasks.NAME=null``.

    Raises:
        UsageError: See :func:`parse_override`.
    """
    content = name_tasks(content)
    for text in texts:
        content = drop_tasks(merge(content, parse_override(text)))
    return content


def name_tasks(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's content in which a task named without options has none, instead of null."""
    return _change_tasks(content, lambda tasks: {n: {} if o is None else o for n, o in tasks})


def drop_tasks(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's content without the tasks that a change has set to null."""
    return _change_tasks(content, lambda tasks: {n: o for n, o in tasks if o is not None})


def _change_tasks(content: Mapping[str, Any], change: Any) -> dict[str, Any]:
    changed = dict(content)
    if isinstance(tasks := content.get("tasks"), Mapping):
        changed["tasks"] = change(tasks.items())
    if isinstance(first_stage := content.get("pretrain"), Mapping):
        changed["pretrain"] = _change_tasks(first_stage, change)
    return changed
