"""Names of devices, from the User-Agent headers of browsers. They are only hints, because clients can send any text."""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any, Final

USER_AGENT_KEY: Final = "user_agent"
"""The metadata key with the User-Agent of a session."""

MOST_CHARACTERS: Final = 300
"""A longer User-Agent is cut. Parsing a hostile one of this length takes tens of ms."""

UNKNOWN: Final = "Unknown device"
_MOST_IN_NAME: Final = 60


def user_agent_of(scope: MutableMapping[str, Any]) -> str:
    """Return the User-Agent of a request, cut to 300 characters; empty if there is none."""
    for name, value in scope["headers"]:
        if name == b"user-agent":
            return _without_controls(bytes(value).decode("latin-1"))
    return ""


def remember_device(scope: MutableMapping[str, Any], session: MutableMapping[str, Any]) -> None:
    """Store the User-Agent of a request in its session. Call it at login, so that the page can name the device."""
    user_agent = user_agent_of(scope)
    if session.get(USER_AGENT_KEY) != user_agent:
        session[USER_AGENT_KEY] = user_agent


@lru_cache(maxsize=1024)
def device_name(user_agent: str) -> str:
    """Return a name such as `Firefox on Windows`. The first call loads the patterns, which takes about a second."""
    from ua_parser import parse  # noqa: PLC0415  (only the page needs the package)

    parsed = parse(_without_controls(user_agent))
    browser = parsed.user_agent.family if parsed.user_agent else ""
    device = parsed.device.family if parsed.device else ""
    system = parsed.os.family if parsed.os else ""
    if device and device not in {"Other", "Mac", "Spider", "Generic Smartphone", system}:
        system = f"{device} ({system})" if system else device
    name = " on ".join(part for part in (browser, system) if part)
    return name[:_MOST_IN_NAME] or UNKNOWN


def _without_controls(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text[:MOST_CHARACTERS]).strip()
