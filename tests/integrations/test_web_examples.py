"""The examples of web applications: short, and they do what the documentation says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.integrations.asgi_client import Client

EXAMPLES = Path(__file__).parents[2] / "examples" / "web"


def loaded(name):
    """Import an example, which takes its settings from the environment."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["memory", "redis"])
def provider(request, monkeypatch):
    """Set the environment that a reader would set."""
    monkeypatch.setenv("SESSION_PROVIDER", request.param)
    if request.param == "redis":
        monkeypatch.setenv("SESSION_REDIS_URL", request.getfixturevalue("server").url)


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.stem)
def test_examples_are_short(path):
    assert path.read_text().count("\n") < 60


@pytest.mark.usefixtures("provider")
async def test_fastapi_app():
    app = loaded("fastapi_app").app
    laptop, phone = Client(app), Client(app)
    assert (await laptop.get("/search")).status == 401
    assert (await laptop.get("/")).json == {"user": None, "cart": []}
    await laptop.post("/cart/book")
    wrong = {"name": "alice", "password": "guess"}
    assert (await laptop.post("/login", wrong)).status == 403
    for client in (laptop, phone):
        assert (await client.post("/login", {"name": "alice", "password": "wonderland"})).status == 200
    await laptop.post("/cart/lamp")
    assert (await laptop.get("/")).json == {"user": "alice", "cart": ["book", "lamp"]}
    assert [(await laptop.get("/search")).status for _ in range(6)] == [200] * 5 + [429]
    limited = await laptop.get("/search")
    assert 0 < int(limited.header("retry-after")) <= 12
    assert (await laptop.post("/logout-others")).json == 1
    assert (await phone.get("/")).json["user"] is None
    assert (await laptop.post("/logout", headers={"sec-fetch-site": "cross-site"})).status == 403
    await laptop.post("/logout")
    assert (await laptop.get("/")).json == {"user": None, "cart": []}
    assert laptop.session_id is None
