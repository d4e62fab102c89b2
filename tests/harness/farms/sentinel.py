"""A primary with two replicas, monitored by three sentinels."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import redis

from tests.harness.ports import free_port
from tests.harness.servers import Server, launch

from .certificates import Certificates
from .member import Member, add, wait_for
from .proxy import Proxy

SERVICE = "mymaster"
QUORUM = 2


@dataclass
class SentinelFarm:
    """A running Sentinel farm. It can replace a `Server` where a test only needs a URL and an empty database.

    Attributes:
        members: the data nodes, the first primary first.
        sentinels: the sentinels that monitor them.
        password: of the data nodes.
        sentinel_password: of the sentinels.

    """

    members: list[Member]
    sentinels: list[Member]
    password: str = ""
    sentinel_password: str = ""
    certificates: Certificates | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The URL of all sentinels and the service, with all passwords."""
        scheme = "rediss" if self.certificates else "redis"
        login = f":{quote(self.password, safe='')}@" if self.password else ""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        query = [f"sentinel_password={quote(self.sentinel_password, safe='')}"] if self.sentinel_password else []
        query += [self.certificates.query] if self.certificates else []
        return f"{scheme}://{login}{hosts}/{SERVICE}" + (f"?{'&'.join(query)}" if query else "")

    def named(self, sentinel: Member) -> Member:
        """Return the primary that this sentinel names."""
        _, port = sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(member for member in self.members if member.port == int(port))

    def primary(self) -> Member:
        """Return the primary that most sentinels name.

        Raises:
            redis.ConnectionError: that server is not a primary yet.

        """
        named = [self.named(sentinel) for sentinel in self.sentinels]
        primary = max(self.members, key=lambda member: sum(member is other for other in named))
        if primary.info("replication")["role"] != "master":
            raise redis.ConnectionError("not a primary yet")
        return primary

    def settle(self) -> Member:
        """Wait until all sentinels see the same primary with all of its replicas. Return it."""
        wait_for(self._is_settled, "a settled Sentinel farm")
        return self.primary()

    def client(self) -> redis.Redis:
        """Return a client of the primary."""
        return self.primary().server.client()

    def empty(self) -> None:
        """Delete all keys."""
        with self.client() as client:
            client.flushdb()

    def _is_settled(self) -> bool:
        primary = self.primary()
        connected = int(primary.info("replication")["connected_slaves"]) == len(self.members) - 1
        return connected and all(self._is_informed(sentinel, primary) for sentinel in self.sentinels)

    def _is_informed(self, sentinel: Member, primary: Member) -> bool:
        words = sentinel.command("SENTINEL", "MASTER", SERVICE)
        state = words if isinstance(words, dict) else dict(zip(words[::2], words[1::2], strict=True))
        facts = {_text(name): _text(value) for name, value in state.items()}
        return (
            self.named(sentinel) is primary
            and int(facts["num-slaves"]) >= len(self.members) - 1
            and int(facts["num-other-sentinels"]) == len(self.sentinels) - 1
        )


@contextmanager
def sentinel_farm(
    binary: str | Path,
    *,
    password: str = "",
    sentinel_password: str = "",
    down_after_ms: int = 500,
    certificates: Certificates | None = None,
) -> Iterator[SentinelFarm]:
    """Start a farm, and wait until its sentinels know each other and all nodes.

    With certificates, clients reach all of them through proxies with TLS. Traffic among nodes and sentinels has no TLS,
    because servers from wheels do not support it. So a data node's proxy accepts both, and a sentinel's only TLS.
    """
    with ExitStack() as stack:
        options = ["--repl-diskless-sync-delay", "0", *(["--masterauth", password] if password else [])]
        members: list[Member] = []
        for _ in range(3):
            replication = ["--replicaof", "127.0.0.1", str(members[0].port)] if members else []
            member = add(
                stack,
                binary,
                *options,
                *replication,
                password=password,
                certificates=certificates,
                announce="--replica-announce-port",
            )
            members.append(member)
        farm = SentinelFarm(members, [], password, sentinel_password, certificates)
        wait_for(lambda: members[0].info("replication")["connected_slaves"] == 2, "two replicas")
        for _ in range(3):
            farm.sentinels.append(add_sentinel(stack, binary, farm, down_after_ms))
        farm.settle()
        yield farm


@contextmanager
def one_sentinel_over(binary: str | Path, member: Member) -> Iterator[SentinelFarm]:
    """Run one sentinel that monitors this server, and so names it as the primary, whatever its role is."""
    with ExitStack() as stack:
        farm = SentinelFarm([member], [])
        farm.sentinels.append(add_sentinel(stack, binary, farm, 60_000))
        yield farm


def add_sentinel(stack: ExitStack, binary: str | Path, farm: SentinelFarm, down_after_ms: int) -> Member:
    """Start a sentinel that monitors the first primary, from which it discovers the other servers."""
    folder = Path(tempfile.mkdtemp(prefix="chuk-test-"))
    port = free_port()
    (folder / "sentinel.conf").write_text("\n".join(_config(farm, port, folder, down_after_ms)) + "\n")
    command = [str(binary), str(folder / "sentinel.conf"), "--sentinel"]
    login = f":{quote(farm.sentinel_password, safe='')}@" if farm.sentinel_password else ""
    server = launch(Server(f"redis://{login}127.0.0.1:{port}", port, folder, command=command))
    proxy = stack.enter_context(Proxy(port, tls=farm.certificates.context)) if farm.certificates else None
    member = Member(server, proxy.port if proxy else port, proxy)
    stack.callback(member.discard)
    return member


def _config(farm: SentinelFarm, port: int, folder: Path, down_after_ms: int) -> list[str]:
    lines = [f"port {port}", "bind 127.0.0.1", f"dir {folder}", f"logfile {folder / 'log'}", "protected-mode no"]
    lines += [f"sentinel monitor {SERVICE} 127.0.0.1 {farm.members[0].port} {QUORUM}"]
    lines += [f"sentinel down-after-milliseconds {SERVICE} {down_after_ms}"]
    lines += [f"sentinel failover-timeout {SERVICE} 6000"]
    lines += [f'sentinel auth-pass {SERVICE} "{farm.password}"'] if farm.password else []
    secret = farm.sentinel_password
    return lines + ([f'requirepass "{secret}"', f'sentinel sentinel-pass "{secret}"'] if secret else [])


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
