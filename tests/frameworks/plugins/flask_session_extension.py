"""A pytest plugin for the tests of Flask-Session: its extension is this library's."""

from __future__ import annotations

import sys
from types import ModuleType

from chuk_sessions.integrations.flask import ChukSessions

_module = ModuleType("flask_session")
_module.Session = ChukSessions  # type: ignore[attr-defined]
sys.modules["flask_session"] = _module
