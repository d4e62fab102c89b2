"""The contract holds over every way to a server: by default a part of it over the one that differs most, else all."""

from __future__ import annotations

import pytest

from tests.harness.contract_run import run_contract
from tests.harness.farms import Certificates, Proxy
from tests.harness.servers import Server
from tests.redis.tools import LONG


def test_the_contract_holds(any_server: Server, certificates: Certificates):
    if any_server.folder is None:
        pytest.skip("a server given by URL has one way only")
    with Proxy(any_server.port, tls=certificates.context) as proxy:
        plain = f"redis://127.0.0.1:{any_server.port}/1?protocol="
        socket = f"unix://{any_server.folder}/socket?protocol="
        secure = f"rediss://localhost:{proxy.port}?{certificates.query}&protocol="
        ways = [f"{way}{protocol}" for way in (plain, socket, secure) for protocol in (2, 3)]
        # Plain with RESP3 is what the contract suite itself runs on.
        done = run_contract(*ways) if LONG else run_contract(f"{secure}2", tests="tests/contract/test_merge.py")
        assert " passed" in done
        assert not proxy.plainly
        assert proxy.connections
