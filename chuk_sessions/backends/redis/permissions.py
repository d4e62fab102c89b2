"""The ACL rule that a user lacks, derived from the server's error reply.

Redis 7.2 and Valkey name the refused command. Older servers do not if a script runs it, but they report the line of the
script, which names the command.
"""

from __future__ import annotations

import re

from .scripts import scripts

_COMMAND = re.compile(r"no permissions to run the '([^']+)' command")
_IN_SCRIPT = "The user executing the script can't run this command"
_KEY = re.compile(r"^(NOPERM|ERR) .*(No permissions to access a key|(permissions to|can't) access .*\bkeys\b)", re.I)
_LINE = re.compile(r"@user_script: ?(\d+)")
_CALLED = re.compile(r"redis\.p?call\('([A-Z]+)'")


def missing_permission(message: str, name: str) -> str | None:
    """Return the end of the sentence "this user may not", with the ACL rule that is missing; None for other errors.

    `message` is the text of an error reply, and `name` the name of the operation or command that was refused.
    """
    if _KEY.search(message):
        return "access a key: its ACL needs ~chuk1:* for sessions, and a pattern for keys of the provider API"
    command = _refused_command(message, name)
    if command is not None:
        return f"run the '{command}' command: its ACL lacks +{command}"
    if _IN_SCRIPT in message:
        return "run a command that the scripts need: its ACL lacks +time or another rule in docs/production.md"
    return None


def _refused_command(message: str, name: str) -> str | None:
    reported = _COMMAND.search(message)
    if reported:
        return reported[1]
    line = _LINE.search(message) if _IN_SCRIPT in message else None
    script = scripts().get(name)
    if line is None or script is None:
        return None
    called = _CALLED.findall(_line_of(script.text.decode(), int(line[1])))
    return called[0].lower() if len(called) == 1 else None


def _line_of(text: str, number: int) -> str:
    lines = text.splitlines()
    return lines[number - 1] if 0 < number <= len(lines) else ""
