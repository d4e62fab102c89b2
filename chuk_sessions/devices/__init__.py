"""The page on which signed-in users see where they are signed in, and sign out other devices.

`DevicesApp` is a small ASGI application that a service mounts. It needs `chuk-sessions[devices]`.
"""

from .app import DevicesApp, current_session
from .names import remember_device

__all__ = ["DevicesApp", "current_session", "remember_device"]
