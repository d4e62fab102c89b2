"""The engine for synchronous code: SessionManager without `await`, safe in any thread.

    from chuk_sessions.sync import SessionManager

    with SessionManager("my-app") as manager:
        session_id = manager.allocate_session(user_id="alice")

All threads of a process share one background event loop, which starts with the first call.
"""

from __future__ import annotations

from .manager import SessionManager

__all__ = ["SessionManager"]
