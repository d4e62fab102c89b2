"""Events for commands that follow them, by a reader that is kept under a name, or forgotten at the end."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from .. import SessionError
from ..models import iso_from_ms
from .context import Context


@asynccontextmanager
async def events_of(
    context: Context, sandbox: str | None, *, reader: str | None = None, oldest: bool = False
) -> AsyncIterator[Any]:
    """Open a reader of the events of a sandbox, or of all, and yield it.

    The store keeps the progress of a reader with a name. One without a name is removed at the end. A new reader begins
    with the next event, or with the oldest stored one.
    """
    from ..events import EventReaders, SessionEvents  # noqa: PLC0415  (most commands read no events)

    factory = context.factory()
    name = reader or f"chuk-sessions-{secrets.token_hex(6)}"
    events = SessionEvents(factory, reader=name, sandbox_id=sandbox, newest=not oldest, encryption=context.encryption())
    async with AsyncExitStack() as stack:
        readers = EventReaders(factory)
        stack.push_async_callback(readers.aclose)
        await stack.enter_async_context(events)
        try:
            yield events
        finally:
            await events.aclose()
            if reader is None:
                await _remove(context, readers, name, sandbox)


async def _remove(context: Context, readers: Any, name: str, sandbox: str | None) -> None:
    try:
        await readers.remove(name, sandbox)
    except SessionError:
        context.say(f"the store still keeps events for the reader {name}, because it could not be reached")


def fields_of(event: Any) -> dict[str, Any]:
    """Return an event for JSON, with times as texts."""
    return {
        "id": event.id,
        "type": event.type,
        "reason": event.reason,
        "sandbox": event.sandbox_id,
        "reference": event.session_hash,
        "replaced_by": event.replaced_by,
        "user": event.user_id,
        "user_known": event.owner_known,
        "occurred_at": iso_from_ms(event.occurred_at),
        "expires_at": iso_from_ms(event.expires_at),
        "version": event.version,
    }


def line_of(event: Any) -> str:
    """Return an event as a line for people."""
    kind = event.type.removeprefix("session.")
    words = [iso_from_ms(event.occurred_at), f"{kind} ({event.reason})" if event.reason else kind, event.session_hash]
    words += [f"-> {event.replaced_by}"] if event.replaced_by else []
    words += [f"user {event.user_id}"] if event.user_id is not None else []
    return "  ".join([*words, f"sandbox {event.sandbox_id}"])
