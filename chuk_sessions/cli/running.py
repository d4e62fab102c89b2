"""Running of one command: errors, Ctrl-C, and closed output become messages on stderr and exit codes."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, cast

from .context import Context
from .exits import ExitCode, code_for


def run_command(context: Context, function: Callable[..., Any], arguments: dict[str, Any]) -> int:
    """Run a command to its end. Returns its exit code; a command that returns None was successful.

    A coroutine is canceled by Ctrl-C, so that it can close its connections, and then the message is printed.
    """
    try:
        work = function(context, **arguments)
        code = asyncio.run(_terminable(work)) if inspect.iscoroutine(work) else work
        # Output that is flushed only at exit would fail there.
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _ended_early(context, "interrupted", ExitCode.INTERRUPTED)
    except asyncio.CancelledError:
        return _ended_early(context, "terminated", ExitCode.TERMINATED)
    except BrokenPipeError:
        _discard_output()
        return _ended_early(context, "", ExitCode.OUTPUT_CLOSED)
    except Exception as error:
        failure = code_for(error)
        if failure is None:
            raise
        return _ended_early(context, f"error: {error}", failure)
    return ExitCode.SUCCESS if code is None else ExitCode(code)


async def _terminable(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine, and cancel it at SIGTERM, so that it can close its connections."""
    task = asyncio.current_task()
    # Elsewhere than in the main thread, and on Windows, SIGTERM keeps its effect.
    with suppress(NotImplementedError, RuntimeError, ValueError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, cast("asyncio.Task[Any]", task).cancel)
    return await work


def _ended_early(context: Context, message: str, code: ExitCode) -> ExitCode:
    """Print the message, and what was done so far. Returns the code."""
    so_far = context.so_far()
    with suppress(BrokenPipeError):  # stderr may be the same pipe as stdout
        context.say("; ".join(part for part in (message, so_far) if part))
    return code


def _discard_output() -> None:
    """Send what remains in the buffer of stdout nowhere, because the flush at exit would fail again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
