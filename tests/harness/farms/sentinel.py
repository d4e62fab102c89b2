"""A primary with two replicas, watched by three sentinels."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import redis

from tests.harness.servers import Server, launch

from .certificates import Certificates
from .member import Member, add, free_port, wait_for
from .proxy import Proxy

SERVICE = "mymaster"
QUORUM = 2


@dataclass
class SentinelFarm:
    """The farm. Stands in for a `Server` where a test only wants a URL and an empty database.

    Attributes:
        members: the data nodes, the first primary first.
        sentinels: those who watch them.
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
        """All sentinels and the service's name, with all passwords."""
        scheme = "rediss" if self.certificates else "redis"
        login = f":{quote(self.password, safe='')}@" if self.password else ""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        query = [f"sentinel_password={quote(self.sentinel_password, safe='')}"] if self.sentinel_password else []
        query += [self.certificates.query] if self.certificates else []
        return f"{scheme}://{login}{hosts}/{SERVICE}" + (f"?{'&'.join(query)}" if query else "")

    def named(self, sentinel: Member) -> Member:
        """The primary that this sentinel names."""
        _, port = sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(member for member in self.members if member.port == int(port))

    def primary(self) -> Member:
        """The primary that most sentinels name and that is one."""
        named = [self.named(sentinel) for sentinel in self.sentinels]
        primary = max(self.members, key=lambda member: sum(member is other for other in named))
        if primary.info("replication")["role"] != "master":
            raise redis.ConnectionError("not a primary yet")
        return primary

    def settle(self) -> Member:
        """Wait until one primary with two replicas is what all see. Returns it."""
        wait_for(self._is_settled, "a settled Sentinel farm")
        return self.primary()

    def client(self) -> redis.Redis:
        """A client of the primary."""
        return self.primary().server.client()

    def empty(self) -> None:
        """Drop all keys."""
        with self.client() as client:
            client.flushdb()

    def _is_settled(self) -> bool:
        primary = self.primary()
        linked = int(primary.info("replication")["connected_slaves"]) == len(self.members) - 1
        return linked and all(self._is_informed(sentinel, primary) for sentinel in self.sentinels)

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
    """Start a farm and wait until its sentinels know each other and all nodes.

    With certificates clients reach all of them through proxies with TLS. What nodes and sentinels say among themselves
    goes without, since servers from wheels have no TLS. So a data node's proxy takes both, a sentinel's TLS only.
    """
    with ExitStack() as stack:
        options = ["--repl-diskless-sync-delay", "0", *(["--masterauth", password] if password else [])]
        members: list[Member] = []
        for _ in range(3):
            behind = ["--replicaof", "127.0.0.1", str(members[0].port)] if members else []
            member = add(
                stack,
                binary,
                *options,
                *behind,
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
    """A sentinel that was told to watch this server, whatever it is: it names it as long as nobody outvotes it."""
    with ExitStack() as stack:
        farm = SentinelFarm([member], [])
        farm.sentinels.append(add_sentinel(stack, binary, farm, 60_000))
        yield farm


def add_sentinel(stack: ExitStack, binary: str | Path, farm: SentinelFarm, down_after_ms: int) -> Member:
    """Start one that watches the first primary, and learns from that who else there is."""
    folder = Path(tempfile.mkdtemp(prefix="chuk-test-"))
    port = free_port()
    (folder / "sentinel.conf").write_text("\n".join(_lines(farm, port, folder, down_after_ms)) + "\n")
    command = [str(binary), str(folder / "sentinel.conf"), "--sentinel"]
    login = f":{quote(farm.sentinel_password, safe='')}@" if farm.sentinel_password else ""
    server = launch(Server(f"redis://{login}127.0.0.1:{port}", port, folder, command=command))
    proxy = stack.enter_context(Proxy(port, tls=farm.certificates.context)) if farm.certificates else None
    member = Member(server, proxy.port if proxy else port, proxy)
    stack.callback(member.discard)
    return member


def _lines(farm: SentinelFarm, port: int, folder: Path, down_after_ms: int) -> list[str]:
    lines = [f"port {port}", "bind 127.0.0.1", f"dir {folder}", f"logfile {folder / 'log'}", "protected-mode no"]
    lines += [f"sentinel monitor {SERVICE} 127.0.0.1 {farm.members[0].port} {QUORUM}"]
    lines += [f"sentinel down-after-milliseconds {SERVICE} {down_after_ms}"]
    lines += [f"sentinel failover-timeout {SERVICE} 6000"]
    lines += [f'sentinel auth-pass {SERVICE} "{farm.password}"'] if farm.password else []
    secret = farm.sentinel_password
    return lines + ([f'requirepass "{secret}"', f'sentinel sentinel-pass "{secret}"'] if secret else [])


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
