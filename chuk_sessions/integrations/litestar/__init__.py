"""Sessions and a store for Litestar.

```python
from chuk_sessions.integrations.litestar import ChukSessionConfig, ChukStore, session_of
from litestar import Litestar, Request, post
from litestar.stores.registry import StoreRegistry


@post("/login")
async def login(request: Request) -> None:
    await session_of(request).login("alice")


stores = StoreRegistry(default_factory=ChukStore().with_namespace)
app = Litestar([login], on_app_init=[ChukSessionConfig().on_app_init], stores=stores)
```

Install it with `chuk-sessions[redis,litestar]`. Provider, URL and sandbox come from the environment (SESSION_PROVIDER,
SESSION_REDIS_URL, CHUK_SANDBOX_ID). Sessions are in that sandbox, and the values of the store in `SANDBOX.litestar`.

Prefer `ChukSessionConfig` to Litestar's `ServerSideSessionConfig` with a `ChukStore`: it saves only the keys that have
changed, so concurrent requests do not overwrite each other's changes, and a revoked session stays revoked.
"""

from __future__ import annotations

from .sessions import ChukSessionBackend, ChukSessionConfig, ChukSessionMiddleware, session_of
from .store import ChukStore

__all__ = ["ChukSessionBackend", "ChukSessionConfig", "ChukSessionMiddleware", "ChukStore", "session_of"]
