"""`relay`: the process that sweeps, and delivers webhooks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from importlib import import_module
from typing import Annotated, Any

import typer

from ... import SessionError, SessionManager
from ...events.metrics import metrics_served
from .. import logs
from ..app import command
from ..context import Context
from ..exits import ExitCode

logger = logging.getLogger("chuk_sessions.cli")


@command("relay")
async def relay(
    context: Context,
    sweep_seconds: Annotated[float, typer.Option(metavar="S", min=0.1, help="Sweep all sandboxes this often.")] = 10,
    webhooks: Annotated[bool, typer.Option(help="Whether to deliver webhooks, or only to sweep.")] = True,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Host that may have private addresses, and URLs with http. Repeatable."),
    ] = None,
    in_flight: Annotated[int, typer.Option(metavar="N", min=1, help="Most concurrent requests to an endpoint.")] = 10,
    timeout_seconds: Annotated[
        float, typer.Option("--timeout", metavar="S", min=0.1, help="Seconds that an endpoint has.")
    ] = 15,
    lease: Annotated[
        float, typer.Option(metavar="S", min=0.1, help="Seconds until others take over from a killed relay.")
    ] = 10,
    metrics_port: Annotated[
        int | None, typer.Option(metavar="PORT", min=0, max=65535, help="Serve metrics for Prometheus at this port.")
    ] = None,
    metrics_host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address of that port.")] = "0.0.0.0",
    count_sandbox: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Sandbox whose live sessions the metrics count. Repeatable."),
    ] = None,
    log_level: Annotated[str, typer.Option(metavar="LEVEL", help="debug, info, warning, or error.")] = "info",
) -> int:
    """Sweep expired sessions of all sandboxes, and deliver webhooks, until SIGINT or SIGTERM.

    Run it in one process or in several, which share the work.
    """
    logs.report(log_level)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # on Windows, Ctrl-C interrupts the command
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        manager = await stack.enter_async_context(SessionManager("relay", context.factory()))
        await manager.ping()  # a wrong URL or password ends the process at once
        if webhooks:
            settings = {"in_flight": in_flight, "timeout_seconds": timeout_seconds, "lease_seconds": lease}
            await stack.enter_async_context(_webhook_relay(context, allow_hosts=allow_host or [], **settings))
        if metrics_port is not None:
            served = metrics_served(
                context.factory(), host=metrics_host, port=metrics_port, sandboxes=count_sandbox or []
            )
            await stack.enter_async_context(served)
        sweeping = asyncio.create_task(_sweep(manager, sweep_seconds))
        stack.callback(sweeping.cancel)
        # A defect must end the process: otherwise, it would run on without sweeping.
        sweeping.add_done_callback(lambda _: stop.set())
        logger.info("the relay is running")
        await stop.wait()
        if sweeping.done():
            sweeping.result()
        logger.info("the relay is stopping")
    return ExitCode.SUCCESS


def _webhook_relay(context: Context, **settings: Any) -> Any:
    # aiohttp takes long to import, and is missing without the extra `webhooks`.
    events = import_module("....events", __name__)
    return events.WebhookRelay(context.factory(), encryption=context.encryption(), **settings)


async def _sweep(manager: SessionManager, seconds: float) -> None:
    """Sweep all sandboxes again and again. An outage delays the next sweep, and does not end this."""
    while True:
        try:
            swept = await manager.cleanup_expired_sessions(all_sandboxes=True)
            logger.debug("%d expired sessions were removed", swept)
        except SessionError as error:
            logger.warning("expired sessions were not swept: %s", error)
        await asyncio.sleep(seconds)
