"""A store and sessions for Litestar.

from chuk_sessions.integrations.litestar import ChukStore
from litestar import Litestar
from litestar.stores.registry import StoreRegistry

app = Litestar(stores=StoreRegistry(default_factory=ChukStore().with_namespace))
"""

from __future__ import annotations

from .store import ChukStore

__all__ = ["ChukStore"]
