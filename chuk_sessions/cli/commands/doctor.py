"""The command `doctor`: checks the store, and says what to do."""

from __future__ import annotations

import shutil
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from ...doctor import NAMES, SAMPLE, Finding, Level, Progress, examine
from ..app import command
from ..context import Context
from ..exits import ExitCode, UsageError

_MIN_WIDTH, _MAX_WIDTH = 20, 100
_SETTINGS = ("maxmemory", "appendfsync")
"""Names of settings at the beginning of a text. They do not get a capital letter, nor does a name with a hyphen."""
_ORDER = (Level.PROBLEM, Level.WARNING, Level.UNKNOWN)
_WORDS = {Level.PROBLEM: "problem", Level.WARNING: "warning"}


@command("doctor")
async def doctor(
    context: Context,
    everything: Annotated[bool, typer.Option("--all", help="Examine all keys, and not only a sample.")] = False,
    sample: Annotated[int, typer.Option(metavar="N", min=1, help="Examine about N keys.")] = SAMPLE,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Do not create the trial session, so that nothing at all is written.")
    ] = False,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="CHECK", help="Leave out a check. May be repeated.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Also explain the checks that found nothing.")] = False,
) -> int:
    """Check the store: settings of the servers, and damaged, orphaned, and undecryptable records.

    Each finding says what to do. With --sandbox, only records of that sandbox are examined. Nothing is written but a
    trial session in a sandbox of its own. Exits with 1 if there are warnings or problems.
    """
    ignored = set(ignore or ())
    if unknown := ignored - set(NAMES):
        raise UsageError(f"there is no check {min(unknown)!r}; the checks are {', '.join(NAMES)}")
    with context.progress("keys") as bar:

        def advance(progress: Progress) -> None:
            bar.total = progress.total or None
            bar.advance(progress.done - bar.done)

        findings = await examine(
            context.factory(),
            sandbox_id=context.sandbox,
            encryption=context.encryption(),
            sample=None if everything else sample,
            writes=not read_only,
            on_progress=advance,
        )
    findings = [finding for finding in findings if finding.check not in ignored]
    if context.output.json:
        context.output.rows((), [finding.to_dict() for finding in findings])
    else:
        _print(context, findings, verbose=verbose)
    return ExitCode.FINDINGS if any(finding.needs_action for finding in findings) else ExitCode.SUCCESS


def _print(context: Context, findings: Sequence[Finding], *, verbose: bool) -> None:
    """Print a section for each finding, the worst first, and a summary."""

    def line(text: str = "") -> None:
        context.output.line(text, {})

    for level in (*_ORDER, *((Level.OK,) if verbose else ())):
        for finding in findings:
            if finding.level is level:
                for text in _section(finding):
                    line(text)
                line()
    fine = dict.fromkeys(finding.check for finding in findings if finding.level is Level.OK)
    if fine and not verbose:
        line(f"ok: {', '.join(fine)}")
    line(_summary(findings))


def _section(finding: Finding) -> list[str]:
    where = f" on {finding.server}" if finding.server else ""
    width = max(_MIN_WIDTH, min(_MAX_WIDTH, shutil.get_terminal_size((_MAX_WIDTH, 0)).columns))
    texts = [_sentence(finding.found), *([f"What to do: {_sentence(finding.advice)}"] if finding.advice else [])]
    wrapped = [part for text in texts for part in textwrap.wrap(text, width - 2, break_on_hyphens=False)]
    return [f"{finding.level.upper()} {finding.check}{where}", *(f"  {part}" for part in wrapped)]


def _sentence(text: str) -> str:
    first = text.partition(" ")[0]
    is_name = "-" in first or ":" in first or first in _SETTINGS
    start = first if is_name else first[0].upper() + first[1:]
    return f"{start}{text[len(first) :]}{'' if text.endswith('.') else '.'}"


def _summary(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.level for finding in findings)
    parts = [f"{counts[level]} {word}{'' if counts[level] == 1 else 's'}" for level, word in _WORDS.items()]
    return f"{', '.join(parts)}, {counts[Level.UNKNOWN]} unknown, {counts[Level.OK]} ok"
