"""The commands, one module each."""

from __future__ import annotations

from typing import Final

MODULES: Final = ("count",)
"""The modules in the order of the help. Each registers its command with `app.command` when it is imported."""
