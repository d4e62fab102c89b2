"""The commands, one module each."""

from __future__ import annotations

from typing import Final

MODULES: Final = (
    "list_", "show", "count", "revoke", "sweep", "relay", "tail", "top", "readers", "keys", "webhooks",
    "migrate", "export", "import_", "bench", "doctor",
)  # fmt: skip
"""The modules in the order of the help. Each registers its command with `app.command` when it is imported."""
