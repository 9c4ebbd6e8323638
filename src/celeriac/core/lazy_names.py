"""Public names of a package that are imported at their first use, so that a process loads only what it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package. `homes` are its modules, each with the names that it has."""
    home_of = {name: home for home, names in homes.items() for name in names}

    def find(name: str) -> Any:
        """
        Raises:
            AttributeError: the package has no such name.
        """
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{home_of[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return find
