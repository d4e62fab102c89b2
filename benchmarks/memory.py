"""Server memory per session, with all indexes, beside the published package's (which has none), on the same server.

    python benchmarks/memory.py [--server PATH] [--sessions 50000]

Prints bytes per session for four short metadata values, and for the same with a User-Agent of 111 bytes under
`hash-max-listpack-value 1024`, the server setting that the README recommends. The published package runs in an
environment of its own, made under `benchmarks/.peers`.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from chuk_sessions import SessionManager  # noqa: E402
from chuk_sessions.providers import redis  # noqa: E402
from tests.servers import Server, running, valkey_binary, version_of  # noqa: E402

PUBLISHED = "0.6.3"
SHORT = {"role": "admin", "department": "engineering", "plan": "pro", "logins": 3}
USER_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
)
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


async def allocate(server: Server, sessions: int, metadata: dict[str, object]) -> None:
    """Make sessions, each of a user of its own."""
    async with SessionManager("my-app", redis.factory(server.url)) as manager:
        for first in range(0, sessions, 100):
            numbers = range(first, min(first + 100, sessions))
            await asyncio.gather(
                *(manager.allocate_session(user_id=f"user{n:06d}", custom_metadata=metadata) for n in numbers)
            )


def published(server: Server, sessions: int, metadata: dict[str, object]) -> None:
    """The same with the published package, over one shared client so that it is done in reasonable time."""
    import json  # noqa: PLC0415

    command = [str(peer()), "-W", "ignore", "-c", PUBLISHED_CODE, server.url, str(sessions), json.dumps(metadata)]
    subprocess.run(command, check=True, cwd=HERE / ".peers")


def peer() -> Path:
    """The Python of an environment that has the published package."""
    home = HERE / ".peers" / f"chuk-sessions-{PUBLISHED}"
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
        packages = [f"chuk-sessions=={PUBLISHED}", "redis>=8.1,<9", "hiredis"]
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
    return python


def used(server: Server) -> int:
    """Bytes that the server has allocated, once lazy frees are done."""
    with server.client() as client:
        while client.info("memory").get("lazyfree_pending_objects", 0):
            time.sleep(0.01)
        return int(client.info("memory")["used_memory"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=str(valkey_binary()), help="path of a server binary")
    parser.add_argument("--sessions", type=int, default=50_000)
    options = parser.parse_args()
    with running(options.server) as server:
        print(f"{version_of(server)}, {options.sessions} sessions, one a user")
        for title, listpack, metadata in (
            ("short values", 64, SHORT),
            ("with a User-Agent", 1024, {**SHORT, "user_agent": USER_AGENT}),
        ):
            with server.client() as client:
                client.config_set("hash-max-listpack-value", listpack)
            figures = []
            for fill in (published, lambda *args: asyncio.run(allocate(*args))):
                with server.client() as client:
                    client.flushall(asynchronous=False)
                before = used(server)
                fill(server, options.sessions, metadata)
                figures.append((used(server) - before) / options.sessions)
            theirs, ours = figures
            print(f"{title}: published {PUBLISHED} {theirs:.0f} B, here {ours:.0f} B, ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
