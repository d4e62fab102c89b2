"""The context of a command: its store and sandbox, its output, and what it has done so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import SessionManager, capabilities
from .output import Output, say
from .progress import Progress
from .stores import factory_of, sandbox_of


class Context:
    """Context of a command, its first argument.

    Attributes:
        url: the URL that was given, or None for the store of the environment.
        sandbox: the sandbox that was given, or None for that of the environment.
        output: prints results.
        so_far: returns a sentence on what was done so far. It is printed if the command ends early: after Ctrl-C, an
            error of the store, or if the output is closed. Set it before work that changes something.

    """

    def __init__(self, url: str | None = None, sandbox: str | None = None, *, as_json: bool = False) -> None:
        self.url = url
        self.sandbox = sandbox
        self.output = Output(as_json=as_json)
        self.so_far: Callable[[], str] = lambda: ""

    def factory(self) -> Any:
        """Return the session factory of the store. Nothing is sent."""
        return factory_of(self.url)

    def sandbox_id(self) -> str:
        """Return the name of the sandbox. Raises UsageError if neither option nor environment has one."""
        return sandbox_of(self.sandbox)

    def encryption(self) -> Any:
        """Return the encryption of the environment, or None."""
        return capabilities.encryption()

    def manager(self, **settings: Any) -> SessionManager:
        """Return a manager of the sandbox on the store: `async with context.manager() as manager`."""
        return SessionManager(self.sandbox_id(), self.factory(), **settings)

    def progress(self, unit: str, total: int | None = None) -> Progress:
        """Return a progress to advance: `with context.progress("sessions") as progress`."""
        # A bar between the lines of JSON would be in the way.
        return Progress(unit, total, is_shown=not (self.output.json and self.output.is_terminal))

    def say(self, text: str) -> None:
        """Print a message for people on stderr."""
        say(text)
