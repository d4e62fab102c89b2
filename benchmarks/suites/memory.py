"""Server memory per session, with all indexes, beside the published package's (which has none), on the same server.

    python benchmarks/suites/memory.py [--server PATH] [--sessions 50000]

Prints bytes per session for four short metadata values, and for the same with a User-Agent of 111 bytes under
`hash-max-listpack-value 1024`, the server setting that the README recommends. The published package runs in an
environment of its own, made under `benchmarks/.peers`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.harness import environments
from benchmarks.harness.environments import PUBLISHED
from chuk_sessions import SessionManager
from chuk_sessions.providers import redis
from tests.harness.servers import Server, running, valkey_binary, version_of

SHORT = {"role": "admin", "department": "engineering", "plan": "pro", "logins": 3}
USER_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
)
Fill = Callable[[Server, int, dict[str, Any]], None]
PUBLISHED_CODE = """
import asyncio, json, sys
from chuk_sessions import SessionManager
from chuk_sessions.providers import redis
url, sessions, metadata = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
client = redis._create_redis_client(url)
class Shared:
    async def __aenter__(self):
        return client
    async def __aexit__(self, *exc_info):
        pass
async def main():
    manager = SessionManager("my-app", Shared)
    for first in range(0, sessions, 100):
        await asyncio.gather(*(
            manager.allocate_session(user_id=f"user{number:06d}", custom_metadata=metadata)
            for number in range(first, min(first + 100, sessions))
        ))
    await client.aclose()
asyncio.run(main())
"""


async def allocate(server: Server, sessions: int, metadata: dict[str, Any]) -> None:
    """Make sessions, each of a user of its own."""
    async with SessionManager("my-app", redis.factory(server.url)) as manager:
        for first in range(0, sessions, 100):
            numbers = range(first, min(first + 100, sessions))
            await asyncio.gather(
                *(manager.allocate_session(user_id=f"user{n:06d}", custom_metadata=metadata) for n in numbers)
            )


def published(server: Server, sessions: int, metadata: dict[str, Any]) -> None:
    """The same with the published package, over one shared client so that it is done in reasonable time."""
    python = environments.python(f"chuk-sessions-{PUBLISHED}")
    command = [str(python), "-W", "ignore", "-c", PUBLISHED_CODE, server.url, str(sessions), json.dumps(metadata)]
    subprocess.run(command, check=True, cwd=environments.PEERS)


def used(server: Server) -> int:
    """Bytes that the server has allocated, once lazy frees are done."""
    with server.client() as client:
        while client.info("memory").get("lazyfree_pending_objects", 0):
            time.sleep(0.01)
        return int(client.info("memory")["used_memory"])


def figures(server: Server, sessions: int) -> Iterator[tuple[str, float, float]]:
    """What was stored, and bytes for each session: of this one, and of the published one."""
    for title, listpack, metadata in (
        ("short values", 64, SHORT),
        ("with a User-Agent", 1024, {**SHORT, "user_agent": USER_AGENT}),
    ):
        with server.client() as client:
            client.config_set("hash-max-listpack-value", listpack)
        theirs = filled(server, sessions, metadata, published)
        ours = filled(server, sessions, metadata, lambda *args: asyncio.run(allocate(*args)))
        yield title, ours, theirs


def filled(server: Server, sessions: int, metadata: dict[str, Any], fill: Fill) -> float:
    """Bytes for each of the sessions that `fill` makes on an empty server."""
    with server.client() as client:
        client.flushall(asynchronous=False)
    before = used(server)
    fill(server, sessions, metadata)
    return (used(server) - before) / sessions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=str(valkey_binary()), help="path of a server binary")
    parser.add_argument("--sessions", type=int, default=50_000)
    options = parser.parse_args()
    with running(options.server) as server:
        print(f"{version_of(server)}, {options.sessions} sessions, one a user")
        for title, ours, theirs in figures(server, options.sessions):
            print(f"{title}: published {PUBLISHED} {theirs:.0f} B, here {ours:.0f} B, ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
