"""A pytest plugin for the tests of Flask: applications have this library's sessions, except those with their own."""

from __future__ import annotations

from typing import Any

import flask
import flask.sessions

from chuk_sessions.integrations.flask import ChukSessionInterface, ChukSessions

_FLASKS = flask.Flask.session_interface
_init = flask.Flask.__init__


def _init_with_sessions(self: flask.Flask, *args: Any, **options: Any) -> None:
    _init(self, *args, **options)
    if self.session_interface is _FLASKS:
        ChukSessions(self)


flask.Flask.__init__ = _init_with_sessions  # type: ignore[method-assign]
# The tests derive an interface from it.
flask.sessions.SecureCookieSessionInterface = ChukSessionInterface  # type: ignore[assignment,misc]
