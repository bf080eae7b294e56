"""Finds classes that rows name, without importing a module or running its code."""

from __future__ import annotations

import sys
from inspect import getattr_static
from typing import Any


def find_imported_class(path: str) -> type | None:
    """Return the class at a dotted path, or None if no imported module has one there.

    A row may name any path. Importing it would let anyone who can write a row run a module.
    """
    names = path.split(".")
    for length in range(len(names) - 1, 0, -1):
        module = sys.modules.get(".".join(names[:length]))
        if module is not None:
            return _class_in(module, names[length:])
    return None


def _class_in(module: Any, names: list[str]) -> type | None:
    value = module
    for name in names:
        value = getattr_static(value, name, None)
    return value if isinstance(value, type) else None
