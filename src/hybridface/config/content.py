"""A recipe's content before it is a recipe: read from YAML, merged, overridden, validated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from yaml.composer import ComposerError

from hybridface.errors import UsageError, unknown

Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping, of which YAML would take the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                said = f"the key '{key.value}' stands twice"
                raise ComposerError(None, None, said, key.start_mark)
            seen.add(key.value)
        return node


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        UsageError: The file is missing, is no YAML, says a key twice, or holds something else.
    """
    try:
        content = _Loader(path.read_text(encoding="utf-8")).get_single_data()
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
    found: Any = model
    for part in place[:-1]:
        if get_origin(found) in (dict, list, tuple):  # the part is a name or a number in it
            found = [each for each in get_args(found) if each is not ...][-1]
        elif (section := _section(found)) is None or part not in section.model_fields:
            return []
        else:
            found = section.model_fields[str(part)].annotation
    prefix = "".join(f"{part}." for part in place[:-1])
    section = _section(found)
    return [] if section is None else [f"{prefix}{name}" for name in section.model_fields]


def _section(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a key of this type holds, if any."""
    kinds = (annotation, *get_args(annotation))
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)


def override(content: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """Lay overrides of the form ``key=value`` over a recipe's content.

    ``tasks.NAME=null`` takes a task out, and so does ``pretrain.tasks.NAME=null``.

    Raises:
        UsageError: See :func:`parse_override`; or a task that is not there is taken out.
    """
    content = name_tasks(content)
    for text in texts:
        change = parse_override(text)
        _refuse_absent_tasks(content, change)
        content = drop_tasks(merge(content, change))
    return content


def _refuse_absent_tasks(content: Mapping[str, Any], change: Mapping[str, Any]) -> None:
    """Refuse to take out a task that is not there: a misspelt one would stay without a word."""
    there, changed = content.get("tasks") or {}, change.get("tasks")
    if isinstance(there, Mapping) and isinstance(changed, Mapping):
        for name in (name for name, options in changed.items() if options is None):
            if name not in there:
                raise unknown("task to be taken out", str(name), map(str, there))
    before, after = content.get("pretrain") or {}, change.get("pretrain")
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        _refuse_absent_tasks(before, after)


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
