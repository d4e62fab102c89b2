"""Twin of `lua/validate.lua`."""

from __future__ import annotations

from .include import access

# Not a function that calls `access`: this is the most frequent operation.
run = access
