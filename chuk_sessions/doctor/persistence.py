"""The check of persistence: whether sessions survive a restart of the server."""

from __future__ import annotations

from collections.abc import Iterator

from .case import Case
from .facts import Facts
from .finding import Verdict, ok, problem, warning

_FAILURES = {
    "rdb_last_bgsave_status": "the last snapshot (BGSAVE) failed",
    "aof_last_write_status": "the last write to the append-only file failed",
    "aof_last_bgrewrite_status": "the last rewrite of the append-only file failed",
}


def persistence(server: Facts, _case: Case) -> Iterator[Verdict]:
    """Check that the server saves its data, as often as logins deserve."""
    failures = [text for name, text in _FAILURES.items() if server.has(name) and server.text(name) == "err"]
    if failures:
        yield problem(
            f"{' and '.join(failures)}. The server refuses writes after a failed save (MISCONF), unless "
            "stop-writes-on-bgsave-error is off, and a restart then loses sessions",
            "Look at the server's log. Most often the disk is full, the folder (`CONFIG GET dir`) is missing or not "
            "writable, or the machine has too little memory to fork (set `vm.overcommit_memory = 1`). Then run "
            "`BGSAVE`, or `BGREWRITEAOF`, and the doctor again.",
        )
    if server.number("aof_enabled"):
        yield from _append_only(server)
    else:
        yield _snapshots(server)


def _append_only(server: Facts) -> Iterator[Verdict]:
    fsync = server.setting("appendfsync")
    if fsync == "no":
        yield warning(
            "appendfsync is no: the operating system decides when to write the append-only file, and a crash of the "
            "machine loses about 30 s of logins and, worse, of logouts",
            "Run `CONFIG SET appendfsync everysec` and `CONFIG REWRITE`.",
        )
    else:
        loses = "no write" if fsync == "always" else "at most about a second of writes"
        yield ok(f"the append-only file is on (appendfsync {fsync}): a crash loses {loses}")


def _snapshots(server: Facts) -> Verdict:
    advice = (
        "Run `CONFIG SET appendonly yes` and `CONFIG REWRITE` for a loss of at most a second. (Do not only edit the "
        "file and restart: the server would start with an empty append-only file.) If a restart may log everybody out, "
        "ignore this."
    )
    save = server.setting("save")
    if save:
        return warning(
            f"only snapshots are saved (save {save}): a crash loses the minutes since the last one, so users are "
            "logged out, and sessions that were revoked in these minutes are alive again",
            advice,
        )
    return warning("nothing is saved: a restart of the server logs everybody out", advice)
