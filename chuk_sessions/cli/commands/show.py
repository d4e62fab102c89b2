"""`show`: one session."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from .. import sessions
from ..app import command
from ..context import Context
from ..exits import ExitCode
from ..sessions import Unreadable


@command("show")
async def show(
    context: Context,
    session: Annotated[str, typer.Argument(metavar="REFERENCE_OR_ID", help="A reference from a list, or an id.")],
    metadata: Annotated[bool, typer.Option("--metadata", help="Also print the values of the metadata.")] = False,
) -> int:
    """Show a live session. Its id is never printed. Values of metadata may be secrets, and are printed on request."""
    async with context.manager() as manager:
        found = await sessions.find(manager, session)
        if found is None:
            context.say(f"there is no such session in the sandbox {manager.sandbox_id}")
            return ExitCode.FINDINGS
        fields = sessions.row(manager, found)
        if isinstance(found, Unreadable):
            context.output.fields(fields)
            return ExitCode.FINDINGS
        fields["bytes"] = sum(len(json.dumps(pair)) for pair in found.custom_metadata.items())
        if metadata:
            fields["metadata"] = found.custom_metadata
        context.output.fields(fields)
        return ExitCode.SUCCESS
