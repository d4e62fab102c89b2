"""Sessions for Django. In the settings of a project:

```python
SESSION_ENGINE = "chuk_sessions.integrations.django"
MIDDLEWARE = ["chuk_sessions.integrations.django.ChukSessionMiddleware", ...]  # instead of Django's SessionMiddleware
CHUK_SESSIONS = {"url": "redis://localhost:6379/0", "sandbox_id": "shop"}  # or the environment
```

Further keys of CHUK_SESSIONS are `provider` (`"redis"` or `"memory"`), `session_factory` (an object, or its dotted
path), `serve_without_session`, and the options of `chuk_sessions.SessionManager`. The lifetime of sessions and their
cookies follow Django's settings.
"""

from __future__ import annotations

from .config import get_async_manager, get_manager
from .middleware import ChukSessionMiddleware
from .signals import bind_owner
from .store import SessionStore

__all__ = ["ChukSessionMiddleware", "SessionStore", "bind_owner", "get_async_manager", "get_manager"]
