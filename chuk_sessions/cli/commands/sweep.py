"""`sweep`: the removal of expired sessions."""

from __future__ import annotations

from typing import Annotated

import typer

from ... import SessionManager
from ..app import command
from ..context import Context


@command("sweep")
async def sweep(
    context: Context,
    all_sandboxes: Annotated[bool, typer.Option("--all-sandboxes", help="Sweep every sandbox of the store.")] = False,
) -> None:
    """Remove expired sessions, with their index entries. Their events are emitted.

    The store itself expires only the records. Run this every few minutes, unless a relay runs.
    """
    sandbox = "all" if all_sandboxes else context.sandbox_id()
    async with SessionManager(sandbox, context.factory()) as manager:
        swept = await manager.cleanup_expired_sessions(all_sandboxes=all_sandboxes)
    text = f"{swept} expired {'session was' if swept == 1 else 'sessions were'} removed"
    context.output.line(text, {"sandbox": None if all_sandboxes else sandbox, "removed": swept})
