"""The face of a folder: its public names, each imported when it is first used."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from ketameta.errors import did_you_mean

#: ``from module import ...`` of a stub, and ``own as public`` in it.
_IMPORT = re.compile(r"^from (\S+) import (\([^)]*\)|.*)$", re.MULTILINE)
_NAME = re.compile(r"(\w+) as (\w+)")


def face(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a folder.

    The names, and the modules they live in, are those that the folder's ``__init__.pyi`` imports:
    one list for the interpreter, type checkers and editors.

    Parameters
    ----------
    package : str
        Full name of the folder: ``__name__`` of its ``__init__.py``.
    """
    stub = Path(sys.modules[package].__file__ or "").with_suffix(".pyi")
    homes = {
        public: (module, own)
        for module, names in _IMPORT.findall(stub.read_text(encoding="utf-8"))
        for own, public in _NAME.findall(names)
    }

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}{did_you_mean(name, homes)}"
            )
        module, own = homes[name]
        if module == package:  # a folder of its own
            return import_module(f"{package}.{own}")
        return getattr(import_module(module), own)

    return get, lambda: sorted(homes), sorted(homes)
