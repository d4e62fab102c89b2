"""`list`: live sessions of the sandbox or of a user."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

import typer

from ... import SessionManager
from .. import sessions
from ..app import command
from ..context import Context
from ..exits import ExitCode
from ..sessions import Found, Unreadable


@command("list")
async def list_(
    context: Context,
    user: Annotated[str | None, typer.Option(metavar="U", help="List the sessions of this user, oldest first.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="List at most N sessions.")] = 100,
) -> int:
    """List live sessions of the sandbox, or of a user in it, with their references.

    Values of metadata may be secrets, so the list has only the keys.
    """
    rows: list[dict[str, Any]] = []
    unreadable, is_cut = 0, False
    async with context.manager() as manager, aclosing(_found(manager, user, limit)) as pages:
        with context.progress("sessions") as progress:
            async for found in pages:
                part = found[: limit - progress.done]
                unreadable += sum(isinstance(session, Unreadable) for session in part)
                rows += [sessions.row(manager, session) for session in part]
                if context.output.json:
                    context.output.rows(sessions.COLUMNS, rows)
                    rows = []
                progress.advance(len(part))
                is_cut = len(part) < len(found)
                if is_cut:
                    break
    if not context.output.json and rows:
        context.output.rows(sessions.COLUMNS, rows)
    if is_cut:
        context.say(f"only {limit} sessions are listed; give --limit for more")
    if unreadable:
        context.say(f"{unreadable} of these sessions cannot be read")
    return ExitCode.FINDINGS if unreadable else ExitCode.SUCCESS


async def _found(manager: SessionManager, user: str | None, limit: int) -> AsyncGenerator[list[Found], None]:
    if user is not None:
        yield [*await manager.list_user_sessions(user)]
        return
    async with aclosing(manager.iter_sessions()) as references:
        async for part in sessions.batches(references, min(limit + 1, sessions.BATCH)):
            yield await sessions.read_all(manager, part)
