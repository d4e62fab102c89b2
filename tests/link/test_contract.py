"""The contract holds over every way to a server, with both protocols."""

from __future__ import annotations

import pytest

from tests.contract_run import run_contract
from tests.farm import Certificates, Proxy
from tests.servers import Server


def test_the_contract_holds(any_server: Server, certificates: Certificates):
    if any_server.folder is None:
        pytest.skip("a server given by URL has one way only")
    with Proxy(any_server.port, tls=certificates.context) as proxy:
        ways = [
            f"redis://127.0.0.1:{any_server.port}/1?",
            f"unix://{any_server.folder}/socket?",
            f"rediss://localhost:{proxy.port}?{certificates.query}&",
        ]
        assert " passed" in run_contract(*(f"{way}protocol={protocol}" for way in ways for protocol in (2, 3)))
        assert not proxy.plainly
        assert proxy.connections
