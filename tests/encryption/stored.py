"""Access to records as they are stored, for tests of encryption."""

from __future__ import annotations

from chuk_sessions.core import data_operations, operations, statuses
from chuk_sessions.core.keys import session_keys
from chuk_sessions.core.record import fields_of
from chuk_sessions.encryption import Encryption

KEYS = {"old": b"o" * 32, "new": b"n" * 32, "index": b"i" * 32}


def encryption(primary: str | None = "new", only: tuple[str, ...] = ("old", "new"), **options) -> Encryption:
    """Return an encryption with some of the keys."""
    return Encryption({key_id: KEYS[key_id] for key_id in (*only, "index")}, primary=primary, **options)


async def stored(world, session_id, sandbox="test"):
    """Return the fields of a record."""
    reply = await world.backend.run(operations.fetch(session_keys(sandbox, session_id)))
    return fields_of(reply[1])


async def store(world, session_id, fields, sandbox="test"):
    """Write fields as they are, the salt included."""
    salt = fields.pop(b"s", None)
    target = session_keys(sandbox, session_id)
    if salt is not None:
        removal = data_operations.merge(target, pairs=[], removals=[b"s"])
        assert await world.backend.run(removal) == [statuses.OK]
        fields = {b"s": salt, **fields}
    pairs = [part for pair in fields.items() for part in pair]
    assert await world.backend.run(data_operations.merge(target, pairs=pairs)) == [statuses.OK]
