"""The phases of the commands `migrate` and `import`, with their progress and reports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ..migration import Migration, Outcome, Report
from .context import Context
from .exits import ExitCode

_SHOWN = 20
"""Problems that are printed for people. As JSON, up to 1,000 are printed."""


async def run_phase(
    context: Context, name: str, new: Callable[..., Migration], run: Callable[[Migration], Awaitable[Report]]
) -> Report:
    """Run one phase of a migration with its progress, and print its report."""
    with context.progress("sessions") as progress:
        context.so_far = lambda: f"{name}: {progress.figures()}; run it again to go on"
        report = await run(new(on_progress=progress.advance))
        figures = progress.figures()
    context.so_far = lambda: ""
    context.say(f"{name}: {figures}")
    print_report(context, name, report)
    return report


def print_report(context: Context, phase: str, report: Report) -> None:
    """Print how many sessions had each outcome, and those that need attention."""
    counts: dict[str, Any] = {outcome.value: report.counts[outcome] for outcome in Outcome if report.counts[outcome]}
    text = ", ".join(f"{number:,} {outcome}" for outcome, number in counts.items()) or "no sessions"
    context.output.line(f"{phase}: {text}", {"phase": phase, "sessions": report.total, **counts})
    shown = report.problems if context.output.json else report.problems[:_SHOWN]
    for problem in shown:
        reason = f": {problem.reason}" if problem.reason else ""
        fields = {"phase": phase, "reference": problem.reference, "outcome": problem.outcome.value}
        context.output.line(
            f"  {problem.reference} {problem.outcome.value}{reason}", {**fields, "reason": problem.reason}
        )
    if len(report.problems) > len(shown):
        context.say(f"{report.findings - len(shown):,} more need attention; --json prints up to 1,000")


def exit_code(report: Report, *, dry_run: bool = False) -> ExitCode:
    """Return the exit code for a report. In a dry run, missing copies are what is to be done, and no findings."""
    findings = report.findings - (report.counts[Outcome.MISSING] if dry_run else 0)
    return ExitCode.FINDINGS if findings else ExitCode.SUCCESS
