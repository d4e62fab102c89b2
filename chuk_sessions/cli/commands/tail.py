"""`tail`: the events of sessions as they happen."""

from __future__ import annotations

from typing import Annotated

import typer

from ..app import command
from ..context import Context
from ..following import events_of, fields_of, line_of


@command("tail")
async def tail(
    context: Context,
    reader: Annotated[
        str | None, typer.Option(metavar="NAME", help="Keep the progress under this name, and resume there.")
    ] = None,
    oldest: Annotated[bool, typer.Option("--oldest", help="Begin with the oldest stored event.")] = False,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="End after N events.")] = None,
    all_sandboxes: Annotated[bool, typer.Option("--all-sandboxes", help="Follow every sandbox of the store.")] = False,
) -> None:
    """Follow the events of sessions, until Ctrl-C. It continues after outages of the store.

    By default, it begins with the next event. With --reader, a later call continues after the last event that was
    printed; until then, the store keeps the events for it.
    """
    sandbox = None if all_sandboxes else context.sandbox_id()
    number = 0
    again = "" if reader is None else f"; --reader {reader} continues there"
    context.so_far = lambda: f"{number} events were printed{again}"
    async with events_of(context, sandbox, reader=reader, oldest=oldest) as events:
        context.say(f"following the events of {'all sandboxes' if sandbox is None else f'the sandbox {sandbox}'}")
        async for event in events:
            context.output.line(line_of(event), fields_of(event))
            number += 1
            if number == limit:
                await events.acknowledge()
                return
