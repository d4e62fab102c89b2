"""Commands: `python -m chuk_sessions.events relay --url URL` delivers webhooks until it is interrupted."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

from .. import capabilities, settings
from ..exceptions import SessionError
from .metrics import metrics_served

logger = logging.getLogger("chuk_sessions.events")


def main(words: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit status: 0, or 1 if the relay could not be started."""
    options = _parser().parse_args(words)
    logging.basicConfig(level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    try:
        asyncio.run(_relay(options))
    except (SessionError, ValueError, ImportError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chuk_sessions.events", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    relay = commands.add_parser("relay", help="deliver events to the endpoints of webhooks, until SIGINT or SIGTERM")
    relay.add_argument("--url", help="of the store; by default SESSION_REDIS_URL, then REDIS_URL")
    relay.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME",
        help="host that may have private addresses, and URLs with http; may be repeated",
    )  # fmt: skip
    relay.add_argument("--in-flight", type=int, default=10, metavar="N", help="most concurrent requests to an endpoint")
    relay.add_argument("--timeout", type=float, default=15, metavar="S", help="seconds that an endpoint has to respond")
    relay.add_argument(
        "--lease", type=float, default=10, metavar="S", help="seconds after which others take over from a killed relay"
    )
    relay.add_argument("--metrics-port", type=int, metavar="PORT", help="serve metrics for Prometheus at this port")
    relay.add_argument("--metrics-host", default="0.0.0.0", metavar="ADDRESS", help="address of that port")
    relay.add_argument(
        "--count-sandbox", action="append", default=[], metavar="NAME",
        help="sandbox whose live sessions the metrics count; may be repeated",
    )  # fmt: skip
    relay.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    return parser


async def _relay(options: argparse.Namespace) -> None:
    from . import WebhookRelay  # noqa: PLC0415  (the other parts do not need aiohttp)

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    env = settings.from_env()
    source = options.url or env.redis_url
    relay = WebhookRelay(
        source,
        encryption=capabilities.encryption(env),
        allow_hosts=options.allow_host,
        in_flight=options.in_flight,
        timeout_seconds=options.timeout,
        lease_seconds=options.lease,
    )
    async with relay, AsyncExitStack() as stack:
        if options.metrics_port is not None:
            served = metrics_served(
                source, host=options.metrics_host, port=options.metrics_port, sandboxes=options.count_sandbox
            )
            port = await stack.enter_async_context(served)
            logger.info("metrics are served at port %d", port)
        logger.info("the relay is running")
        await stop.wait()
        logger.info("the relay is stopping")


if __name__ == "__main__":
    sys.exit(main())
