"""Reference pages from the code itself: every command, every key of a recipe and of a study."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typer.models import ArgumentInfo

from hybridface import config
from hybridface.cli import app
from hybridface.data.sources import source_kinds
from hybridface.study import config as study
from hybridface.tasks import task_types

BOUNDS = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}"}
ATTRIBUTE = re.compile(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", re.MULTILINE | re.DOTALL)


def describe_type(annotation: Any) -> str:
    """Return a type as a writer of YAML would say it."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation is NoneType:
        return "null"
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, UnionType):
        return " or ".join(describe_type(one) for one in inner)
    if origin in (tuple, list):
        if len(inner) == 2 and inner[1] is not Ellipsis:
            return " and ".join(describe_type(one) for one in inner)
        return f"list of {describe_type(inner[0])}"
    if origin is dict:
        return "mapping of names to " + describe_type(inner[1])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    if origin is Annotated:
        return describe_type(inner[0])
    names = {str: "text", int: "whole number", float: "number", bool: "`true`, `false`"}
    return names.get(annotation, {Path: "path"}.get(annotation, "anything"))


def describe_bounds(field: FieldInfo) -> str:
    """Return a field's limits in words."""
    said = []
    for limit in field.metadata:
        for name, words in BOUNDS.items():
            if (value := getattr(limit, name, None)) is not None:
                said.append(words.format(f"2^{value.bit_length() - 1}" if value > 10**9 else value))
        if (least := getattr(limit, "min_length", None)) is not None:
            said.append(f"{least} or more")
        if pattern := getattr(limit, "pattern", None):
            said.append(f"`{pattern}`")
    return ", ".join(said)


def describe_default(field: FieldInfo) -> str:
    """Return a field's default as YAML would have it; nothing for one that must be given."""
    value = field.default_factory() if field.default_factory else field.default  # type: ignore[call-arg]
    if value is PydanticUndefined:
        return "must be given"
    if isinstance(value, BaseModel):
        return "its defaults"
    if value is None or isinstance(value, bool):
        return {None: "`null`", True: "`true`", False: "`false`"}[value]
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`" if value else "`none`"
    return f"`{value}`" if str(value) else "empty"


def attribute_texts(model: type[BaseModel]) -> dict[str, str]:
    """Return what a model's docstring, and those it inherits from, say of each field."""
    texts: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        section = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2]
        texts |= {name: " ".join(text.split()) for name, text in ATTRIBUTE.findall(section)}
    return {name: plain(text) for name, text in texts.items()}


def plain(text: str) -> str:
    """Return a docstring's text as Markdown for a table cell."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")
    return text.replace("|", "\\|")


def model_table(model: type[BaseModel]) -> Iterator[str]:
    """Give a model's fields as a table."""
    texts = attribute_texts(model)
    yield "| key | value | default | what it does |"
    yield "|---|---|---|---|"
    for name, field in model.model_fields.items():
        kind, bounds = describe_type(field.annotation), describe_bounds(field)
        value = f"{kind}, {bounds}" if bounds else kind
        yield f"| `{name}` | {value} | {describe_default(field)} | {texts.get(name, '')} |"
    yield ""


def first_line(thing: Any) -> str:
    """Return the summary of a docstring."""
    return plain(inspect.cleandoc(thing.__doc__ or "").split("\n\n")[0].replace("\n", " "))


def models_page(models: Iterable[type[BaseModel]]) -> Iterator[str]:
    """Give a heading, a summary and a table for each model."""
    for model in models:
        yield f"### {model.__name__} {{ #{model.__name__.lower()} }}\n"
        yield f"{first_line(model)}\n"
        yield from model_table(model)


def with_inner(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Give a model and those that its fields hold, at any depth."""
    yield model
    for field in model.model_fields.values():
        for kind in kinds_in(field.annotation):
            yield from with_inner(kind)


def kinds_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Give the models that a type names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from kinds_in(inner)


def configuration_page() -> str:
    """Return every key of a recipe, of each task, of each kind of data, and of a study."""
    lines = [
        "# Configuration\n",
        "Made from the code by `tools/reference.py`. Unknown keys are refused with the nearest "
        "right name. On the command line a key is written with dots, as in "
        "`training.epochs=10`; `tasks.NAME=null` takes a task out. "
        "`hybridface config RECIPE` prints a recipe with every default filled in.\n",
        "## Recipe\n",
        *models_page(dict.fromkeys(with_inner(config.Recipe))),
        "## Tasks\n",
    ]
    for name, kind in task_types().items():
        nature = "supervised" if kind.supervised else "self-supervised, dropped at inference"
        lines += [f"### {name} {{ #task-{name} }}\n", f"{kind.summary} ({nature}).\n"]
        lines += model_table(kind.Config)
        lines += models_page(list(with_inner(kind.Config))[1:])
    lines += ["## Kinds of data\n", "Written `KIND:PATH?key=value&key=value`.\n"]
    for name, source in source_kinds().items():
        layout = source.layout.replace("*", "\\*")
        lines += [f"### {name} {{ #data-{name} }}\n", f"{layout}.\n"]
        if source.Options.model_fields:
            lines += model_table(source.Options)
    lines += ["## Study\n", *models_page(dict.fromkeys(with_inner(study.StudyConfig)))]
    return "\n".join(lines)


def parameter_rows(function: Callable[..., Any]) -> Iterator[str]:
    """Give a command's arguments and options as rows of a table."""
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        annotation, info = get_args(hints[name])[:2]
        flag = annotation is bool
        if isinstance(info, ArgumentInfo):
            shown = info.metavar or name.upper()
        else:  # typer holds the first name as the default where the true one is behind "="
            names = [one for one in (info.default, *(info.param_decls or ())) if one is not ...]
            shown = ", ".join(names or [f"--{name.replace('_', '-')}"])
        value = "" if flag else describe_type(annotation).removesuffix(" or null")
        for bound, words in ((info.min, "at least"), (info.max, "at most")):
            value += "" if bound is None else f", {words} {bound}"
        default = parameter.default
        if default is inspect.Parameter.empty:
            said = "must be given"
        else:
            said = "" if default is None or flag else f"`{default}`"
        yield f"| `{shown}` | {value} | {said} | {plain(info.help or '')} |"


def commands(group: typer.Typer, path: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Give every command of a group, and of the groups in it, with the words that call it."""
    for command in group.registered_commands:
        assert command.callback is not None
        yield f"{path} {command.name or command.callback.__name__}", command.callback
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from commands(inner.typer_instance, f"{path} {inner.name}")


def commands_page() -> str:
    """Return every command with its arguments and options."""
    head = ["| name | value | default | what it does |", "|---|---|---|---|"]
    lines = [
        "# Command line\n",
        "Made from the code by `tools/reference.py`. Every command has `--help`; "
        "`python -m hybridface` is the same as `hybridface`.\n",
        "An error that you can act on is one message on standard error and no traceback. The exit "
        "code is 0 where all went well, 1 where something failed, 2 where what was asked for "
        "cannot be done as asked, 130 where it was stopped from the keyboard, and 143 where a "
        "training was stopped by SIGTERM. "
        "`HYBRIDFACE_DEBUG=1` shows where an unexpected error came from; `HYBRIDFACE_CACHE` is the "
        "folder for decoded pictures (by default `~/.cache/hybridface`).\n",
        "`hybridface --version` prints the version. `hybridface --install-completion` lets the "
        "shell complete commands and options (bash, zsh, fish, PowerShell) from the next shell on; "
        "`hybridface --show-completion` prints what that would install.\n",
    ]
    for words, function in commands(app, "hybridface"):
        lines += [f"## {words}\n", f"{first_line(function)}\n"]
        if rows := list(parameter_rows(function)):
            lines += [*head, *rows, ""]
    return "\n".join(lines)
