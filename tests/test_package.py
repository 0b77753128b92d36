from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import hybridface


@pytest.mark.parametrize("name", [name for name in hybridface.__all__ if name != "__version__"])
def test_names_are_themselves_whatever_was_imported_before(name: str) -> None:
    first = getattr(hybridface, name)
    assert callable(first)
    assert getattr(hybridface, name) is first
    assert name not in [module.name for module in pkgutil.iter_modules(hybridface.__path__)]


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = hybridface.trian


def test_the_package_itself_loads_nothing() -> None:
    code = "import sys, hybridface; print(*[n for n in ('torch', 'numpy') if n in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""
