"""The tree of the error classes, as pages and docstrings draw it and as the classes define it."""

from __future__ import annotations

import re

from chuk_sessions import exceptions


def drawn_tree(text: str) -> dict[str, str]:
    """Return the parent of each error in a drawing with branches of four columns."""
    parents: list[str] = []
    found = {}
    for indent, name in re.findall(r"^((?:[│ ]   )*(?:[├└]── )?)(\w*Error)\b", text, re.M):
        depth = len(indent) // 4
        found[name] = parents[depth - 1] if depth else "Exception"
        parents[depth:] = [name]
    return found


def defined_tree() -> dict[str, str]:
    """Return the parent of each error that the library defines."""
    return {name: getattr(exceptions, name).__bases__[0].__name__ for name in exceptions.__all__}
