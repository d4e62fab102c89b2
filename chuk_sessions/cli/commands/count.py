"""`count`: the number of live sessions."""

from __future__ import annotations

from typing import Annotated

import typer

from ..app import command
from ..context import Context


@command("count")
async def count(
    context: Context,
    user: Annotated[str | None, typer.Option(metavar="U", help="Count the sessions of this user only.")] = None,
) -> None:
    """Count the live sessions of the sandbox, or of a user in it."""
    async with context.manager() as manager:
        number = await manager.count_sessions(user)
        # The manager adds the sandbox, because it may come from the environment.
        context.output.line(f"{number}", {"sandbox": manager.sandbox_id, "user": user, "sessions": number})
