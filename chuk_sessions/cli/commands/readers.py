"""`readers`: the readers of events, for which the store keeps events."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from ..app import command, group
from ..context import Context
from ..exits import ExitCode

group("readers", "List and remove the readers of events.")

_COLUMNS = ("reader", "sandbox", "lag_events", "lag_seconds", "lost", "processes")


@command("list", group="readers")
async def list_(context: Context) -> None:
    """List the readers of all sandboxes, with the events that they have not acknowledged."""
    context.output.rows(_COLUMNS, await _rows(context))


@command("remove", group="readers")
async def remove(
    context: Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of a reader.")],
    all_sandboxes: Annotated[
        bool, typer.Option("--all-sandboxes", help="The reader that reads all sandboxes, instead of this one.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove. Without this, only print what would be removed.")] = False,
) -> int:
    """Remove a reader, so that the store no longer keeps events for it. Without --yes, nothing is changed."""
    sandbox = None if all_sandboxes else context.sandbox_id()
    found = [row for row in await _rows(context) if (row["reader"], row["sandbox"]) == (name, sandbox)]
    if not found:
        context.say(f"there is no such reader of {'all sandboxes' if sandbox is None else f'the sandbox {sandbox}'}")
        return ExitCode.FINDINGS
    if not yes:
        context.output.rows(_COLUMNS, found)
        context.say("dry run: the reader would be removed; repeat the command with --yes")
        return ExitCode.SUCCESS
    readers = _readers(context)
    try:
        await readers.remove(name, sandbox)
    finally:
        await readers.aclose()
    context.output.line(f"{name} was removed", {"reader": name, "sandbox": sandbox, "removed": True})
    return ExitCode.SUCCESS


async def _rows(context: Context) -> list[dict[str, Any]]:
    readers = _readers(context)
    try:
        found = [asdict(one) for one in await readers.list()]
    finally:
        await readers.aclose()
    return [{"reader": one.pop("reader"), "sandbox": one.pop("sandbox_id"), **one} for one in found]


def _readers(context: Context) -> Any:
    from ...events import EventReaders  # noqa: PLC0415  (other commands do not need it)

    return EventReaders(context.factory())
