"""`revoke`: the deletion of one session, of a user's sessions, or of all sessions of the sandbox."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from ... import CorruptRecordError, SessionManager
from .. import sessions
from ..app import command
from ..context import Context
from ..exits import ExitCode, UsageError
from ..progress import Progress

_SHOWN = 20
"""Sessions that a dry run shows in a table. As JSON, it prints all."""

_MAX_PASSES = 5
"""Most walks over the sandbox: sessions that are rotated or created during one are found by the next."""


@command("revoke")
async def revoke(
    context: Context,
    session: Annotated[
        str | None, typer.Option(metavar="REFERENCE_OR_ID", help="Revoke the session with this reference or id.")
    ] = None,
    user: Annotated[str | None, typer.Option(metavar="U", help="Revoke all sessions of this user.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Revoke all sessions of the sandbox.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Revoke. Without this, only print what would be revoked.")] = False,
) -> int:
    """Revoke one session, those of a user, or all of the sandbox. Without --yes, nothing is changed."""
    if (session is not None) + (user is not None) + everything != 1:
        raise UsageError("give one of --session, --user, and --all")
    async with context.manager() as manager:
        if session is not None:
            return await _session(context, manager, session, yes)
        if user is not None:
            return await (_user(context, manager, user) if yes else _show(context, manager, user))
        return await (_all(context, manager) if yes else _show(context, manager, None))


async def _session(context: Context, manager: SessionManager, text: str, yes: bool) -> int:
    found = await sessions.find(manager, text)
    if found is None:
        context.say(f"there is no such session in the sandbox {manager.sandbox_id}")
        return ExitCode.FINDINGS
    if not yes:
        context.output.rows(sessions.COLUMNS, [sessions.row(manager, found)])
        _say_dry_run(context, 1)
        return ExitCode.SUCCESS
    revoked = await manager.revoke_session(found.reference)
    _print(context, manager, int(revoked), {"reference": found.reference})
    return ExitCode.SUCCESS if revoked else ExitCode.FINDINGS


async def _user(context: Context, manager: SessionManager, user: str) -> int:
    context.so_far = lambda: "sessions of the user may remain: repeat the command"
    revoked = await manager.revoke_user_sessions(user)
    _print(context, manager, revoked, {"user": user})
    return ExitCode.SUCCESS


async def _all(context: Context, manager: SessionManager) -> int:
    """Revoke all sessions, and repeat the walk until it finds none."""
    failed: set[str] = set()
    with context.progress("sessions", await manager.count_sessions()) as progress:
        # Calls that were canceled, or whose replies got lost, may have revoked more.
        context.so_far = lambda: f"at least {progress.done} sessions were revoked"
        for _ in range(_MAX_PASSES):
            before = progress.done
            async for references in sessions.batches(manager.iter_sessions()):
                await asyncio.gather(*[_revoke_one(manager, one, progress, failed) for one in references])
            if progress.done == before:
                break
    _print(context, manager, progress.done, {})
    remaining = await manager.count_sessions()
    if remaining:
        context.say(f"{remaining} sessions remain: {len(failed)} cannot be revoked, the others are new")
    return ExitCode.FINDINGS if remaining else ExitCode.SUCCESS


async def _revoke_one(manager: SessionManager, reference: str, progress: Progress, failed: set[str]) -> None:
    try:
        progress.advance(int(await manager.revoke_session(reference)))
    except CorruptRecordError:
        failed.add(reference)


async def _show(context: Context, manager: SessionManager, user: str | None) -> int:
    """Print what would be revoked."""
    rows: list[dict[str, Any]] = []
    if user is not None:
        found = [sessions.row(manager, one) for one in await manager.list_user_sessions(user)]
        context.output.rows(sessions.COLUMNS, found)
        number = await manager.count_sessions(user)
        if number > len(found):
            context.say(f"{number - len(found)} of the sessions cannot be read, and would be revoked, too")
        _say_dry_run(context, number)
        return ExitCode.SUCCESS
    with context.progress("sessions") as progress:
        async for references in sessions.batches(manager.iter_sessions()):
            progress.advance(len(references))
            if context.output.json or len(rows) < _SHOWN:
                rows += [sessions.row(manager, one) for one in await sessions.read_all(manager, references)]
            if context.output.json:
                context.output.rows(sessions.COLUMNS, rows)
                rows = []
    if rows:
        context.output.rows(sessions.COLUMNS, rows[:_SHOWN])
    if progress.done > _SHOWN and not context.output.json:
        context.say(f"and {progress.done - _SHOWN:,} more")
    _say_dry_run(context, progress.done)
    return ExitCode.SUCCESS


def _say_dry_run(context: Context, number: int) -> None:
    sessions_, them = ("session", "it") if number == 1 else ("sessions", "them")
    context.say(f"dry run: {number:,} {sessions_} would be revoked; repeat the command with --yes to revoke {them}")


def _print(context: Context, manager: SessionManager, number: int, scope: dict[str, str]) -> None:
    fields = {"sandbox": manager.sandbox_id, **scope, "revoked": number}
    context.output.line(f"{number} {'session was' if number == 1 else 'sessions were'} revoked", fields)
