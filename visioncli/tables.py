"""Import strings to objects: registries are tables of strings, resolved late."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from visioncli.errors import UsageError


def look_up(table: Mapping[str, str], name: str, kind: str) -> Any:
    """Return the object that `table[name]` ("package.module:attribute") points to.

    Raises UsageError naming the known ones when `name` is absent.
    """
    if name not in table:
        raise UsageError(f"unknown {kind} {name!r}; known: {', '.join(sorted(table))}")
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
