"""Names the ACL rule that a user lacks, from the server's refusal.

Redis 7.2 and Valkey name the command. Older servers do not when a script runs it: then the line of the script does,
which they report.
"""

from __future__ import annotations

import re

from .scripts import scripts

_COMMAND = re.compile(r"no permissions to run the '([^']+)' command")
_IN_SCRIPT = "The user executing the script can't run this command"
_KEY = re.compile(r"^(NOPERM|ERR) .*(No permissions to access a key|(permissions to|can't) access .*\bkeys\b)", re.I)
_LINE = re.compile(r"@user_script: ?(\d+)")
_CALLED = re.compile(r"redis\.p?call\('([A-Z]+)'")


def missing_permission(message: str, what: str) -> str | None:
    """Return what the user may not do and the rule that allows it, as a part of a sentence; None for other errors.

    `message` is that of an error reply, `what` the operation or command that was refused.
    """
    if _KEY.search(message):
        return "access a key: its ACL needs ~chuk1:* for sessions, and a pattern for keys of the provider API"
    command = _refused_command(message, what)
    if command is not None:
        return f"run the '{command}' command: its ACL lacks +{command}"
    if _IN_SCRIPT in message:
        return "run a command that the scripts need: its ACL lacks +time or a rule of the recipe in the README"
    return None


def _refused_command(message: str, what: str) -> str | None:
    named = _COMMAND.search(message)
    if named:
        return named[1]
    line = _LINE.search(message) if _IN_SCRIPT in message else None
    script = scripts().get(what)
    if line is None or script is None:
        return None
    called = _CALLED.findall(_line_of(script.text.decode(), int(line[1])))
    return called[0].lower() if len(called) == 1 else None


def _line_of(text: str, number: int) -> str:
    lines = text.splitlines()
    return lines[number - 1] if 0 < number <= len(lines) else ""
