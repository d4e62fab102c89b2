"""Sessions outside of their user's home bucket, and the notes about them."""

from __future__ import annotations

from collections.abc import Iterable

from chuk_sessions.core import ids, keys, note_operations
from chuk_sessions.core.keys import IndexKeys

from .worlds import World

USER = "alice"
HOME = ids.home_bucket("test", USER)


def bucket_of(session_id: str) -> int:
    """Return the bucket of a session."""
    return keys.session_keys("test", session_id).index_keys.bucket


def id_in(bucket: int, user_id: str | None = None) -> str:
    """Return an id of the generated form in that bucket."""
    return ids.new_id(user_id, bucket)


def ids_in(buckets: Iterable[int]) -> list[str]:
    """Return an id of the generated form in each of these buckets."""
    return [id_in(bucket) for bucket in buckets]


def stray_ids() -> dict[str, str]:
    """Return ids of several kinds that are not in the home bucket of USER."""
    elsewhere = (HOME + 1) % ids.BUCKETS
    chosen = next(name for name in (f"chosen-{n}" for n in range(10)) if bucket_of(name) != HOME)
    return {
        "chosen": chosen,
        "generated form": id_in(elsewhere, USER),
        "form of another user": id_in(elsewhere, "bob"),
    }


def home_index(user_id: str = USER) -> IndexKeys:
    """Return the index of a user's home bucket."""
    return keys.index("test", ids.home_bucket("test", user_id))


async def notes_of(world: World, user_id: str = USER) -> dict[int, int]:
    """Return the noted buckets of a user, with the times (ms) of their latest refresh."""
    reply = await world.backend.run(note_operations.notes(home_index(user_id), ids.user_hash(user_id)))
    return note_operations.refreshed_of(reply)


async def note(world: World, bucket: int, user_id: str = USER) -> None:
    """Write or refresh a note."""
    await world.backend.run(note_operations.note(home_index(user_id), "test", ids.user_hash(user_id), bucket))


async def forget(world: World, *old: tuple[int, int], user_id: str = USER) -> None:
    """Remove notes, given with the times (ms) of their latest refresh."""
    await world.backend.run(note_operations.forget(home_index(user_id), "test", ids.user_hash(user_id), old))
