"""The suite memory: server memory per session, with all indexes, compared with the published package, which has none.

    python benchmarks/suites/memory.py [--server PATH] [--sessions 50000]

Prints bytes per session for four short metadata values, and for the same with a User-Agent of 111 bytes under
`hash-max-listpack-value 1024`, the server setting that the documentation recommends. Both packages use the same server.
The published one runs in an environment of its own, created under `benchmarks/.peers`.
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
"""A function that creates that many sessions with that metadata."""
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


async def allocate_ours(server: Server, sessions: int, metadata: dict[str, Any]) -> None:
    """Create sessions, each of a different user."""
    async with SessionManager("my-app", redis.factory(server.url)) as manager:
        for first in range(0, sessions, 100):
            numbers = range(first, min(first + 100, sessions))
            await asyncio.gather(
                *(manager.allocate_session(user_id=f"user{n:06d}", custom_metadata=metadata) for n in numbers)
            )


def allocate_published(server: Server, sessions: int, metadata: dict[str, Any]) -> None:
    """Create the same sessions with the published package, over one shared client to save time."""
    python = environments.interpreter(f"chuk-sessions-{PUBLISHED}")
    command = [str(python), "-W", "ignore", "-c", PUBLISHED_CODE, server.url, str(sessions), json.dumps(metadata)]
    subprocess.run(command, check=True, cwd=environments.PEERS, env=environments.environment_variables(None))


def used_memory(server: Server) -> int:
    """Return the bytes that the server has allocated, after it has finished lazy frees."""
    with server.client() as client:
        while client.info("memory").get("lazyfree_pending_objects", 0):
            time.sleep(0.01)
        return int(client.info("memory")["used_memory"])


def bytes_per_session(server: Server, sessions: int) -> Iterator[tuple[str, float, float]]:
    """Yield the kind of metadata, and the bytes per session of this package and of the published one."""
    for title, listpack, metadata in (
        ("short values", 64, SHORT),
        ("with a User-Agent", 1024, {**SHORT, "user_agent": USER_AGENT}),
    ):
        with server.client() as client:
            client.config_set("hash-max-listpack-value", listpack)
        theirs = measure(server, sessions, metadata, allocate_published)
        ours = measure(server, sessions, metadata, lambda *args: asyncio.run(allocate_ours(*args)))
        yield title, ours, theirs


def measure(server: Server, sessions: int, metadata: dict[str, Any], fill: Fill) -> float:
    """Return the bytes per session that `fill` creates on an empty server."""
    with server.client() as client:
        client.flushall(asynchronous=False)
    before = used_memory(server)
    fill(server, sessions, metadata)
    return (used_memory(server) - before) / sessions


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=str(valkey_binary()), help="path of a server binary")
    parser.add_argument("--sessions", type=int, default=50_000)
    options = parser.parse_args()
    with running(options.server) as server:
        print(f"{version_of(server)}, {options.sessions} sessions, one per user")
        for title, ours, theirs in bytes_per_session(server, options.sessions):
            print(f"{title}: published {PUBLISHED} {theirs:.0f} B, here {ours:.0f} B, ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
