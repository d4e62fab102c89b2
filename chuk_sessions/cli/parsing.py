"""Parsing of command lines, with messages that never repeat a stray word: it may be a session id or a URL."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from typer.core import TyperCommand, TyperGroup


class DiscreetCommand(TyperCommand):
    """A command that does not name the arguments it has no use for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments of the command."""
        ctx.allow_extra_args = True  # otherwise, the message would have the words
        extra = super().parse_args(ctx, args)
        if extra and not ctx.resilient_parsing:
            ctx.fail(f"Got {len(extra)} unexpected {'argument' if len(extra) == 1 else 'arguments'}")
        return extra


class DiscreetGroup(TyperGroup):
    """A group of commands that does not name a command it does not have."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the first word names."""
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            similar = get_close_matches(args[0], self.list_commands(ctx), 1)
            ctx.fail(f"No such command. Did you mean {similar[0]!r}?" if similar else "No such command")
        return super().resolve_command(ctx, args)
