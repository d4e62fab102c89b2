"""`migrate`: all sessions of a store, to another store, format, or sandbox."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ... import settings
from ...migration import Migration, PublishedSource, SandboxSource, State, Target
from ..app import command
from ..context import Context
from ..exits import UsageError
from ..migrating import exit_code, run_phase
from ..stores import factory_of


class Format(StrEnum):
    """The formats of a source."""

    CURRENT = "current"
    PUBLISHED = "published"


@command("migrate")
async def migrate(
    context: Context,
    source: Annotated[str, typer.Option("--from", metavar="URL", help="The store that has the sessions.")],
    target: Annotated[str, typer.Option("--to", metavar="URL", help="The store that gets them; may be the same.")],
    from_format: Annotated[
        Format, typer.Option(help="`published` is the format of chuk-sessions 0.6, `current` that of this version.")
    ] = Format.CURRENT,
    to_sandbox: Annotated[
        str | None, typer.Option(metavar="NAME", help="The sandbox that gets the sessions. By default, their own.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare every field and time afterwards.")] = False,
    remove_source: Annotated[
        bool, typer.Option("--remove-source", help="Then remove the sessions from the source that are in the target.")
    ] = False,
    state: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep checkpoints here, so that another run goes on from there.")
    ] = None,
    overlap_hours: Annotated[
        float, typer.Option(metavar="H", help="For how long processes may still use the source, at most.")
    ] = settings.DEFAULT_OVERLAP_HOURS,
    yes: Annotated[bool, typer.Option("--yes", help="Migrate. Without this, only compare.")] = False,
) -> int:
    """Copy all sessions to another store, format, or sandbox, with their ids and times.

    It can be interrupted and run again, while both stores are in use. Sessions that have ended in the target stay
    ended. Without --yes, nothing is changed.
    """
    new = _migrations(context, source, target, from_format, to_sandbox, overlap_hours)
    if not yes:
        report = await run_phase(context, "compare", new, Migration.compare)
        context.say("dry run: nothing was changed; --yes migrates")
        return exit_code(report, dry_run=not verify)
    subject = f"{_redacted(source)} {from_format} {context.sandbox} -> {_redacted(target)} {to_sandbox}"
    checkpoints = State(state, subject=subject)
    report = await run_phase(context, "copy", partial(new, state=checkpoints), Migration.copy)
    if verify:
        report = await run_phase(context, "compare", new, Migration.compare)
    if remove_source:
        report = await run_phase(context, "remove", new, lambda migration: migration.compare(remove=True))
    return exit_code(report)


def _migrations(
    context: Context, source: str, target: str, from_format: Format, to_sandbox: str | None, overlap_hours: float
) -> Callable[..., Migration]:
    """Return a function that creates the migration."""
    encryption, found = context.encryption(), _source(context, source, from_format)
    if from_format is Format.CURRENT and source == target and to_sandbox in (None, context.sandbox_id()):
        raise UsageError("source and target are the same: give another --to, or --to-sandbox")
    copy = Target(factory_of(target), sandbox_id=to_sandbox, encryption=encryption, overlap_hours=overlap_hours)
    return partial(Migration, found, copy)


def _source(context: Context, url: str, from_format: Format) -> Any:
    factory = factory_of(url)
    if from_format is Format.CURRENT:
        return SandboxSource(factory, context.sandbox_id(), context.encryption())
    # A sandbox of the environment is that of the target's application. The old one often had random names.
    return PublishedSource(factory, sandboxes=None if context.sandbox is None else (context.sandbox,))


def _redacted(url: str) -> str:
    """Return a URL without user and passwords. Other settings remain, such as the number of a database."""
    scheme, separator, rest = url.partition("://")
    address, _, query = rest.rpartition("@")[2].partition("?")
    settings_ = [one for one in query.split("&") if one and "password" not in one.partition("=")[0]]
    return f"{scheme}{separator}{address}{'?' if settings_ else ''}{'&'.join(settings_)}"
