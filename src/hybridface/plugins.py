"""Classes from modules of a user's own, named as ``pkg.module:Class``; nothing is registered."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from hybridface.errors import UsageError, unknown

Base = TypeVar("Base")
_WORD = r"[^\W\d]\w*"
_NAME = re.compile(rf"({_WORD}(?:\.{_WORD})*):({_WORD})")


def load_class(name: str, base: type[Base], needs: Mapping[str, type], where: str) -> type[Base]:
    """Import a class by its name.

    The module is looked for where Python looks for modules, and last in the working folder. To
    import a module runs its code, so only names from a person are to come here, or from a file
    that the person trusts.

    Args:
        name: ``pkg.module:Class``.
        base: What the class must be a subclass of.
        needs: Attributes that the class must have, with the type of each; a class where a
            subclass of one is needed.
        where: What asks for the class, for errors.

    Raises:
        UsageError: The name is of another form, the module is not there or cannot be imported,
            or it has no such class; says which, and what was expected.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise UsageError(
            f"{where}: '{name}' names no class: write pkg.module:Class, the module with dots as in "
            "an import, one colon, the class"
        )
    module, word = _import(match[1], where), match[2]
    wanted = f"a subclass of {base.__module__}.{base.__qualname__}"
    if not hasattr(module, word):
        fitting = [each for each, value in vars(module).items() if _is_one(value, base)]
        raise unknown(f"class in module '{match[1]}' ({where})", word, fitting)
    found = getattr(module, word)
    if not isinstance(found, type):
        raise UsageError(
            f"{where}: {name} is no class but of type {type(found).__name__}; expected {wanted}"
        )
    if not issubclass(found, base) or found is base:
        raise UsageError(f"{where}: the class {name} is not {wanted}")
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise UsageError(f"{where}: the class {name} does not define {', '.join(missing)}")
    for attribute, kind in needs.items():
        value = getattr(found, attribute, None)
        if not isinstance(value, kind) and not (
            isinstance(value, type) and issubclass(value, kind)
        ):
            raise UsageError(
                f"{where}: the class {name} needs an attribute '{attribute}', a {kind.__name__}; "
                f"found {'none' if value is None else repr(value)}"
            )
    return found


def _import(name: str, where: str) -> ModuleType:
    here = str(Path.cwd())
    if not {"", here} & set(sys.path):
        sys.path.append(here)
    importlib.invalidate_caches()  # the file may have been written a moment ago
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise UsageError(
                f"{where}: there is no module '{error.name}', looked for in {here} and where "
                "Python looks for modules: check the name, or set PYTHONPATH to the folder that "
                f"it lies in (expected {name.replace('.', '/')}.py there)"
            ) from error
        raise _failed(name, where, error) from error
    except (Exception, SystemExit) as error:  # whatever a module of another's does
        raise _failed(name, where, error) from error


def _failed(name: str, where: str, error: BaseException) -> UsageError:
    """Say what an import raised, and in which line of which file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" in {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f" in {error.filename}:{error.lineno}"
    said = error.msg if isinstance(error, SyntaxError) else error
    return UsageError(
        f"{where}: importing '{name}' failed: {type(error).__name__}: {said}{place}; "
        f"mend the module until python -c 'import {name}' works"
    )


def _is_one(value: object, base: type) -> bool:
    whole = isinstance(value, type) and issubclass(value, base) and value is not base
    return whole and not inspect.isabstract(value)
