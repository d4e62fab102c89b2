"""The command `chuk-sessions`: administration of sessions from a shell. docs/command_line.md describes it.

It needs the extra `cli`. Each command is a module in `commands/`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .exits import ExitCode

_PACKAGES = ("typer", "rich", "click", "shellingham")


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line, by default that of the process. Returns the exit code."""
    try:
        from .app import run  # noqa: PLC0415  (without the extra, the message below is better than a traceback)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _PACKAGES:
            raise
        sys.stderr.write("chuk-sessions needs more packages: pip install 'chuk-sessions[cli,redis]'\n")
        return ExitCode.USAGE
    return run(sys.argv[1:] if words is None else words)
