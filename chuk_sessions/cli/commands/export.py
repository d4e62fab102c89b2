"""`export`: the sessions of the sandbox as JSON lines."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ...migration import SandboxSource, export_lines
from ..app import command
from ..context import Context
from ..exits import ExitCode


@command("export")
async def export(
    context: Context,
    as_stored: Annotated[
        bool, typer.Option("--as-stored", help="Leave values encrypted. By default, they are decrypted.")
    ] = False,
) -> int:
    """Print the sessions of the sandbox as JSON lines, with their times, for `import`. They contain no id."""
    source = SandboxSource(context.factory(), context.sandbox_id(), context.encryption())
    unreadable = 0
    with context.progress("sessions") as progress:
        async for line in export_lines(source, as_stored=as_stored):
            context.output.line(json.dumps(line), line)
            unreadable += "unreadable" in line
            progress.advance()
        context.say(progress.figures())
    if unreadable:
        context.say(f"{unreadable:,} sessions cannot be read")
    return ExitCode.FINDINGS if unreadable else ExitCode.SUCCESS
