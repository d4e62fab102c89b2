"""Two sandboxes with a store each, in processes of their own: grants are exchanged, used, and revoked over HTTP."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import urllib.error
import urllib.request
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chuk_sessions import SessionManager, session_hash
from chuk_sessions.federation import Federation, generate_signing_key, keys_text, public_keys_text
from chuk_sessions.providers.redis import factory
from tests.conftest import bundled
from tests.federation.other_side import Client, proof, thumbprint, verified_grant
from tests.harness import children
from tests.harness.ports import free_port
from tests.harness.servers import running

A, B = "sandbox-a", "sandbox-b"


class Sites:
    """The processes of both sandboxes, and the manager with which the test gives grants of sandbox A."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = {name: generate_signing_key() for name in (A, B)}
        self.urls = {name: f"http://127.0.0.1:{free_port()}" for name in (A, B)}
        self.store_of_a = ""

    def trust(self, name: str) -> str:
        other = B if name == A else A
        return f"{other}={public_keys_text({'k1': self.keys[other]})}"

    def manager(self) -> SessionManager:
        federation = Federation(keys_text({"k1": self.keys[A]}), self.trust(A))
        return SessionManager(A, factory(self.store_of_a), federation=federation)

    def artifact(self, session_id: str, name: str, text: str) -> str:
        path = f"grid/{A}/{session_hash(session_id)}/{name}"
        (self.folder / urlsafe_b64encode(path.encode()).decode()).write_text(text)
        return path

    def read(self, token: str, path: str, at: str = B, **headers: str) -> tuple[int, str]:
        url = f"{self.urls[at]}/files/{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}", **headers})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    @property
    def client(self) -> Client:
        return Client(f"{self.urls[A]}/federation", B, A, self.keys[B])


@contextmanager
def node(sites: Sites, name: str, store: str, **remotes: str) -> Iterator[children.Child]:
    port = sites.urls[name].rpartition(":")[2]
    variables = {
        "CHUK_SANDBOX_ID": name,
        "SESSION_PROVIDER": "redis",
        "SESSION_REDIS_URL": store,
        "SESSION_FEDERATION_KEYS": keys_text({"k1": sites.keys[name]}),
        "SESSION_FEDERATION_TRUST": sites.trust(name),
        "NODE_URL": sites.urls[name],
        "NODE_FOLDER": str(sites.folder),
        "NODE_REMOTES": json.dumps(remotes),
    }
    command = [sys.executable, "-m", "uvicorn", "tests.federation.node:app", "--port", port, "--no-access-log"]
    with children.running(*command, **variables) as child:
        yield child
        child.process.terminate()
        assert child.wait() in (0, -signal.SIGTERM), child.printed()
        printed = child.printed()
    assert "eyJ" not in printed
    assert "Unclosed" not in printed


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    pytest.importorskip("uvicorn")
    found = Sites(tmp_path_factory.mktemp("artifacts"))
    with running(bundled()) as first, running(bundled()) as second:
        found.store_of_a = first.url
        remote = f"{found.urls[A]}/federation"
        with node(found, A, first.url) as one, node(found, B, second.url, **{A: remote}) as other:
            for child in (one, other):
                child.wait_for("Uvicorn running")
            yield found


async def grant_of(manager: SessionManager, session_id: str, path: str = "reports/", **more: Any) -> str:
    token = await manager.grant_session(session_id, to=B, path=path, **more)
    assert token is not None
    return token


async def test_a_grant_is_used_and_refused_the_moment_its_session_is_deleted(sites):
    async with sites.manager() as manager:
        session_id = await manager.allocate_session(user_id="alice")
        report = sites.artifact(session_id, "reports/q1", "profit")
        secret = sites.artifact(session_id, "reports2/q1", "secret")
        token = await grant_of(manager, session_id)
        assert sites.read(token, report) == (200, "alice profit")
        assert sites.read(token, secret)[0] == 403
        assert sites.read(token, f"grid/{A}/{session_hash('sess-2')}/reports/q1")[0] == 403
        assert sites.read(token, report, at=A)[0] == 403
        await manager.delete_session(session_id)
        assert sites.read(token, report) == (403, "refused")


async def test_each_way_to_end_a_grant_counts_at_once(sites):
    async with sites.manager() as manager:
        session_id = await manager.allocate_session(user_id="alice")
        report = sites.artifact(session_id, "reports/q1", "profit")
        one, other, third = [await grant_of(manager, session_id) for _ in range(3)]
        assert await manager.revoke_grant(one)
        assert [sites.read(token, report)[0] for token in (one, other)] == [403, 200]
        assert await manager.revoke_grants(session_id) == 2
        assert [sites.read(token, report)[0] for token in (other, third)] == [403, 403]
        kept = await grant_of(manager, session_id)
        rotated = await manager.rotate_session(session_id)
        assert sites.read(kept, report)[0] == 200
        assert await manager.rotate_session(rotated, user_id="bob")
        assert sites.read(kept, report)[0] == 403
        session_id = await manager.allocate_session(user_id="carol")
        token, report = await grant_of(manager, session_id), sites.artifact(session_id, "reports/q1", "profit")
        assert sites.read(token, report)[0] == 200
        await manager.revoke_user_sessions("carol")
        assert sites.read(token, report)[0] == 403


async def test_a_grant_expires_with_its_session(sites):
    async with sites.manager() as manager:
        session_id = await manager.allocate_session()
        token, report = await grant_of(manager, session_id), sites.artifact(session_id, "reports/q1", "profit")
        assert sites.read(token, report)[0] == 200
        await manager.set_session_ttl(session_id, 1e-6)
        while await manager.validate_session(session_id):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert sites.read(token, report)[0] == 403


async def test_another_jwt_library_exchanges_and_introspects_a_grant(sites):
    async with sites.manager() as manager:
        session_id = await manager.allocate_session(user_id="alice")
        token, reference = await grant_of(manager, session_id, actions=("read", "list")), session_hash(session_id)
        report = sites.artifact(session_id, "reports/q1", "profit")
        keys = sites.client.public_keys()
        claims = verified_grant(token, A, B, keys)
        assert (claims["sub"], claims["path"], claims["scope"]) == (reference, "reports", "read list")
        found = sites.client.introspect(token)
        assert found.pop("username") == "alice"
        assert found == {"active": True, "token_type": "Bearer", **claims}
        status, content = sites.client.exchange(token, resource=f"grid://{A}/{reference}/reports/q1", scope="read")
        assert (status, content["token_type"], content["scope"]) == (200, "Bearer", "read")
        assert 0 < content["expires_in"] <= 60
        access = content["access_token"]
        assert sites.read(access, report, at=A) == (200, "alice profit")
        assert sites.read(access, report, at=B)[0] == 403
        assert sites.read(access, sites.artifact(session_id, "reports/q2", "loss"), at=A)[0] == 403
        assert sites.client.exchange(access)[0] == 400
        assert sites.client.introspect(access) == {"active": False}
        await manager.revoke_grant(token)
        assert sites.client.introspect(token) == {"active": False}
        assert sites.read(access, report, at=A)[0] == 403
        assert sites.client.exchange(token)[0] == 400


async def test_a_bound_grant_needs_its_key_and_a_new_proof_for_each_request(sites):
    key, thief = generate_signing_key(), generate_signing_key()
    async with sites.manager() as manager:
        session_id = await manager.allocate_session()
        token = await grant_of(manager, session_id, jkt=thumbprint(key))
        report = sites.artifact(session_id, "reports/q1", "profit")
        url = f"{sites.urls[B]}/files/{report}"
        proven = proof(key, "GET", url, token)
        assert sites.read(token, report, DPoP=proven) == (200, "None profit")
        assert sites.read(token, report, DPoP=proven)[0] == 403
        assert sites.read(token, report)[0] == 403
        assert sites.read(token, report, DPoP=proof(thief, "GET", url, token))[0] == 403
        assert sites.client.introspect(token)["cnf"] == {"jkt": thumbprint(key)}
        endpoint = f"{sites.urls[A]}/federation/token"
        assert sites.client.exchange(token)[1]["error"] == "invalid_dpop_proof"
        status, content = sites.client.exchange(token, proof(key, "POST", endpoint))
        assert (status, content["token_type"]) == (200, "DPoP")
        access, url = content["access_token"], f"{sites.urls[A]}/files/{report}"
        assert sites.read(access, report, at=A)[0] == 403
        assert sites.read(access, report, at=A, DPoP=proof(key, "GET", url, access))[0] == 200
