"""The doctor finds missing and excessive rights, connections without TLS, and certificates that expire."""

from __future__ import annotations

import re
import ssl
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from chuk_sessions.backends.redis import scripts
from chuk_sessions.backends.sharing import backend_of
from chuk_sessions.core.inspection import Inspectable, InspectedServer, UnansweredError
from chuk_sessions.doctor import Level, examine
from chuk_sessions.doctor.rights import COMMANDS
from tests.conftest import bundled
from tests.doctor.tools import HEALTHY, address_of_this_machine, finding, findings, manager_on, user
from tests.harness.farms import Certificates
from tests.harness.farms.proxy import Proxy
from tests.harness.servers import Server, running
from tests.redis.test_rights import recipe


def url_of(server: Server, login: str) -> str:
    return f"redis://{login}127.0.0.1:{server.port}"


async def test_what_the_application_may_not_see_is_unknown(patient: Server):
    """A user with the rights of the production checklist may not run CONFIG. That is no failure."""
    with patient.client() as client, user(client, *recipe().split()) as login:
        found = await findings(url_of(patient, login))
    assert {each.level for each in found} == {Level.UNKNOWN}
    assert {each.check for each in found} == {"encoding", "persistence", "timeouts"}
    assert all("this user may not run CONFIG GET" in each.found for each in found)
    assert all("+config|get" in each.advice for each in found)


@pytest.mark.parametrize("refused", ["-info", "-config", "-acl", "-role", "-info -config -acl -role -time -eval"])
async def test_blocked_commands_are_unknown(any_server: Server, refused: str):
    with any_server.client() as client, user(client, "~*", "+@all", *refused.split()) as login:
        found = await examine(url_of(any_server, login), writes=False)
    assert not any("INFO" in each.found for each in found if each.needs_action)
    if refused == "-info":
        assert {each.check for each in found if each.level is Level.UNKNOWN} >= {"eviction", "memory", "role", "rights"}


@pytest.mark.parametrize("missing", ["zadd", "time", "hset", "evalsha"])
async def test_a_missing_right_is_named(any_server: Server, missing: str):
    with any_server.client() as client, user(client, *recipe().split(), f"-{missing}") as login:
        found = {each.check: each for each in await findings(url_of(any_server, login))}
        has_check = client.eval("return redis.acl_check_cmd and 1 or 0", 0)
        if has_check:
            [command] = re.findall(r"`(ACL SETUSER [^`]+)`", found["rights"].advice)
            client.execute_command(*command.split())
            assert {each.level for each in await findings(url_of(any_server, login))} <= {Level.UNKNOWN, Level.WARNING}
    assert found["scripts"].level is Level.PROBLEM
    if has_check:
        assert found["rights"].level is Level.PROBLEM
        assert f"may not run {missing.upper()} " in found["rights"].found
        assert f"`ACL SETUSER tester +{missing}`" in found["rights"].advice
    else:
        assert found["rights"].level is Level.UNKNOWN


@pytest.mark.parametrize("missing", ["scan", "hgetall"])
async def test_records_that_may_not_be_read_are_unknown(patient: Server, missing: str):
    async with manager_on(patient) as manager:
        await manager.allocate_session(user_id="alice")
    with patient.client() as client, user(client, "~*", "+@all", f"-{missing}") as login:
        found = await examine(url_of(patient, login), writes=False)
    if missing == "scan":
        assert {each.check for each in found if each.level is Level.UNKNOWN} == {"corrupt", "orphans", "undecryptable"}
    else:
        assert any(each.check == "rights" and "HGETALL" in each.found for each in found)


async def test_a_user_without_our_keys_is_named(patient: Server):
    with patient.client() as client, user(client, "+@all", "~other:*") as login:
        found = {each.check: each for each in await findings(url_of(patient, login))}
        assert found["rights"].level is Level.PROBLEM
        assert "`ACL SETUSER tester ~chuk1:*`" in found["rights"].advice


async def test_the_advice_about_a_right_fits_a_user_with_all_keys(patient: Server):
    """The server refuses a rule that adds keys to all keys."""
    with patient.client() as client, user(client, "~*", "+@all", "-zadd", "-xadd") as login:
        seen = await finding(url_of(patient, login), "rights")
        [command] = re.findall(r"`(ACL SETUSER [^`]+)`", seen.advice)
        assert command == "ACL SETUSER tester +xadd +zadd"
        client.execute_command(*command.split())
        assert await findings(url_of(patient, login)) == []


async def test_a_client_certificate_is_a_login(patient: Server, certificates: Certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.chain, certificates.key)
    query = certificates.query
    for demanded, is_open in ((ssl.CERT_NONE, True), (ssl.CERT_REQUIRED, False)):
        context.verify_mode = demanded
        context.load_verify_locations(certificates.authority)
        with Proxy(patient.port, tls=context) as proxy:
            own = f"ssl_certfile={certificates.chain}&ssl_keyfile={certificates.key}"
            async with manager_on(f"rediss://127.0.0.1:{proxy.port}?{query}&{own}") as manager:
                backend = backend_of(manager.session_factory)
                assert isinstance(backend, Inspectable)
                inspection = await backend.inspect()
                try:
                    [server] = inspection.primaries
                    assert await server.query("PING") == b"PONG"
                    assert await admits_anyone(server) is is_open
                finally:
                    await inspection.aclose()


async def admits_anyone(server: InspectedServer) -> bool:
    try:
        return await server.admits_anyone()
    except UnansweredError:
        return False


def test_the_table_of_rights_has_every_command_of_the_scripts():
    texts = "".join(script.text.decode() for script in scripts.scripts().values())
    assert set(re.findall(r"redis\.p?call\(\s*'([A-Z]+)'", texts)) <= set(COMMANDS)


async def test_a_certificate_that_expires_soon_is_noticed(patient: Server, tmp_path):
    def clock(later: float) -> float:
        return time.time() + later

    certificates = Certificates.make(tmp_path, datetime.now(UTC) + timedelta(days=200, minutes=5))
    levels = {}
    with Proxy(patient.port, tls=certificates.context) as proxy:
        url = f"rediss://127.0.0.1:{proxy.port}?{certificates.query}"
        for days in (3, 20, 200):
            found = await examine(url, writes=False, clock=partial(clock, (200 - days) * 86_400.0))
            [levels[days]] = [each for each in found if each.check == "tls"]
    assert [each.level for each in levels.values()] == [Level.PROBLEM, Level.WARNING, Level.OK]
    assert "expires in 3 days" in levels[3].found
    assert "Renew the certificate" in levels[20].advice
    assert "valid for 200 more days" in levels[200].found


async def test_certificates_that_are_not_checked_are_a_problem(patient: Server, certificates: Certificates):
    with Proxy(patient.port, tls=certificates.context) as proxy:
        query = "ssl_cert_reqs=none&ssl_check_hostname=false"
        seen = await finding(f"rediss://127.0.0.1:{proxy.port}?{query}", "tls")
    assert seen.level is Level.PROBLEM
    assert "REDIS_TLS_INSECURE" in seen.advice


@pytest.fixture(scope="module")
def address() -> str:
    found = address_of_this_machine()
    if not found:
        pytest.skip("this machine has no address but the loopback")
    return found


async def test_a_server_that_is_open_to_the_network_is_a_problem(address: str):
    with running(bundled(), *HEALTHY, "--bind", "127.0.0.1", address, "--protected-mode", "no") as server:
        found = {each.check: each for each in await findings(f"redis://{address}:{server.port}")}
        assert set(found) == {"tls", "exposure"}
        assert found["tls"].level is found["exposure"].level is Level.PROBLEM
        assert "is not encrypted" in found["tls"].found
        assert "rediss://" in found["tls"].advice
        assert "takes commands without a login" in found["exposure"].found
        assert "requirepass" in found["exposure"].advice
        # The doctor sees that from the machine itself, too.
        local = await finding(server.url, "exposure")
        assert f"listens on 127.0.0.1 {address} with protected-mode off" in local.found


async def test_the_default_user_has_too_many_rights_for_an_application(address: str):
    options = (*HEALTHY, "--bind", "127.0.0.1", address)
    with running(bundled(), *options, password="s3cret") as server, server.client() as client:
        seen = await finding(f"redis://:s3cret@{address}:{server.port}", "exposure")
        assert seen.level is Level.WARNING
        assert "FLUSHALL, CONFIG SET, SHUTDOWN" in seen.found
        assert "docs/production.md" in seen.advice
        with user(client, *recipe().split()) as login:
            checks = {each.check for each in await findings(f"redis://{login}{address}:{server.port}")}
        assert "exposure" not in checks
        with user(client, "~*", "+@all", name="admin") as login:
            shown = await examine(f"redis://{login}{address}:{server.port}")
        [seen] = [each for each in shown if each.check == "exposure"]
        assert seen.level is Level.OK
        assert "too much for the application" in seen.found
        assert not any("s3cret" in f"{each.found} {each.advice}" for each in shown)
