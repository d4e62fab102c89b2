"""The replies of a server to INFO and similar commands: lines with a name, a colon, and a value."""

from __future__ import annotations


def parse(reply: bytes) -> dict[str, str]:
    """Return the values by their names. Titles of sections are left out."""
    lines = reply.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def parse_replica(value: str) -> dict[str, str]:
    """Return the facts about a replica, such as `ip=10.0.0.2,port=6379,state=online,offset=1,lag=0`, by their names."""
    return dict(part.split("=", 1) for part in value.split(",") if "=" in part)
