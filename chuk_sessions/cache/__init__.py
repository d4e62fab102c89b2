"""A coherent cache of sessions in the memory of this process."""

from __future__ import annotations

from .local_cache import LocalCache

__all__ = ["LocalCache"]
