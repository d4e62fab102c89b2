"""The application: global options, and the decorator with which a module of `commands/` registers its command."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any, TypeVar

import typer

from .. import __version__
from . import logs
from .commands import MODULES
from .context import Context
from .output import set_up_streams
from .parsing import DiscreetCommand, DiscreetGroup
from .running import run_command

PROGRAM = "chuk-sessions"
_HELP = """Administer the sessions of a store.

The global options may also follow the command. Exit codes: 0 success, 1 findings or partial, 2 usage error, 3 store
unavailable.
"""

F = TypeVar("F", bound=Callable[..., Any])

# Typer's own tracebacks would show the values of variables, with passwords among them.
app = typer.Typer(
    cls=DiscreetGroup, help=_HELP, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True
)
_groups: dict[str, typer.Typer] = {}


def command(name: str, *, group: str | None = None) -> Callable[[F], F]:
    """Register a function as the command `name`, or as a command of a group such as `keys`.

    Its first argument is the Context, and Typer reads the others. It may be a coroutine function, and returns an exit
    code, or None for success. Its docstring is the help.
    """

    def register(function: F) -> F:
        target = app if group is None else _groups[group]
        target.command(name, cls=DiscreetCommand, help=inspect.getdoc(function))(_adapted(function))
        return function

    return register


def group(name: str, description: str) -> None:
    """Register a group of commands."""
    _groups[name] = typer.Typer(cls=DiscreetGroup, help=description, rich_markup_mode=None, no_args_is_help=True)
    app.add_typer(_groups[name], name=name)


def run(words: Sequence[str]) -> int:
    """Run a command line, and return its exit code."""
    set_up_streams()
    logs.set_up()
    load_commands()
    try:
        app(_with_global_options_first(words), prog_name=PROGRAM)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    return 0


def load_commands() -> None:
    """Register all commands."""
    for name in MODULES:
        import_module(f".commands.{name}", __package__)


def _adapted(function: Callable[..., Any]) -> Callable[..., None]:
    """Return a function for Typer, whose first parameter is Typer's context."""
    signature = inspect.signature(function, eval_str=True)
    first, *others = signature.parameters.values()

    @functools.wraps(function)
    def adapted(**arguments: Any) -> None:
        context = arguments.pop(first.name).obj
        raise typer.Exit(run_command(context, function, arguments))

    parameters = [first.replace(annotation=typer.Context), *others]
    adapted.__signature__ = signature.replace(parameters=parameters, return_annotation=None)  # type: ignore[attr-defined]
    adapted.__annotations__ = {one.name: one.annotation for one in parameters}
    return adapted


def _print_version(on: bool) -> None:
    if on:
        sys.stdout.write(f"{PROGRAM} {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The store. By default, SESSION_REDIS_URL, then REDIS_URL, then localhost."),
    ] = None,
    sandbox: Annotated[
        str | None, typer.Option(metavar="NAME", help="The sandbox. By default, CHUK_SANDBOX_ID.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    context.obj = Context(url, sandbox, as_json=json)


def _with_global_options_first(words: Sequence[str]) -> list[str]:
    """Return the words with `--url`, `--sandbox`, and `--json` before the command, where Typer expects them."""
    first: list[str] = []
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            others += [word, *rest]
        elif word in ("--url", "--sandbox"):
            value = next(rest, None)
            if value is None:
                return [word]  # Typer then says that it needs a value
            first += [word, value]
        elif word == "--json" or word.startswith(("--url=", "--sandbox=")):
            first.append(word)
        else:
            others.append(word)
    return [*first, *others]
