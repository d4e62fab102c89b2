"""The contract holds over every transport. By default, only a part runs, over TLS with RESP2."""

from __future__ import annotations

import pytest

from tests.harness.contract_run import run_contract
from tests.harness.farms import Certificates, Proxy
from tests.harness.servers import Server
from tests.redis.tools import LONG


def test_the_contract_holds(any_server: Server, certificates: Certificates):
    if any_server.folder is None:
        pytest.skip("a server given by URL has one transport only")
    with Proxy(any_server.port, tls=certificates.context) as proxy:
        plain = f"redis://127.0.0.1:{any_server.port}/1?protocol="
        socket = f"unix://{any_server.folder}/socket?protocol="
        secure = f"rediss://localhost:{proxy.port}?{certificates.query}&protocol="
        urls = [f"{url}{protocol}" for url in (plain, socket, secure) for protocol in (2, 3)]
        # The contract suite itself runs without TLS, with RESP3.
        output = run_contract(*urls) if LONG else run_contract(f"{secure}2", tests="tests/contract/test_merge.py")
        assert " passed" in output
        assert not proxy.plainly
        assert proxy.connections
