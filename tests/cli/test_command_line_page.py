"""docs/command_line.md: its table has all commands with their options, and its codes are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from chuk_sessions.cli.app import app, load_commands
from chuk_sessions.cli.exits import ExitCode

PAGE = (Path(__file__).parents[2] / "docs/command_line.md").read_text(encoding="utf-8")


def section(heading):
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def commands():
    """Return the options and arguments of each command."""
    load_commands()
    found, unread = {}, [("", typer.main.get_command(app))]
    while unread:
        name, command = unread.pop()
        if hasattr(command, "commands"):
            unread += [(f"{name} {child}".strip(), one) for child, one in command.commands.items()]
        else:
            words = [part for one in command.params for part in (*one.opts, *one.secondary_opts) if part[:2] == "--"]
            arguments = [one.metavar for one in command.params if one.param_type_name == "argument"]
            found[name] = {*words, *arguments} - {"--help"}
    return found


def test_the_table_has_all_commands_with_their_options():
    rows = re.findall(r"^\| `([^`]+)` \|", section("Commands"), re.M)
    documented = {}
    for row in rows:
        name = re.match(r"[a-z ]+[a-z]", row)[0]
        arguments = re.findall(r"[A-Z_]+", re.sub(r"\[[^]]*\]|--[a-z-]+ [A-Z_]+", "", row))
        documented[name] = {*re.findall(r"--[a-z-]+", row), *arguments}
    assert documented == commands()


def test_the_table_of_exit_codes_is_complete():
    rows = re.findall(r"^\| (\d+) \|", section("Exit codes"), re.M)
    assert sorted(map(int, rows)) == sorted(ExitCode)


def test_every_command_has_help():
    found = typer.main.get_command(app)
    assert all(command.help for command in found.commands.values())
