"""The Django application, which projects may install so that its receiver of logins is the first one."""

from __future__ import annotations

from django.apps import AppConfig


class ChukSessionsConfig(AppConfig):  # type: ignore[misc]
    """The application. It has no models."""

    name = "chuk_sessions.integrations.django"
    label = "chuk_sessions"
