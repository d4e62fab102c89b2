"""Protection against cross-site request forgery: tokens bound to the session, and the origin of requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chuk_sessions.integrations import csrf
from chuk_sessions.integrations.asgi import SessionMiddleware
from chuk_sessions.integrations.session import Session
from tests.fuzz.cases import FUZZ
from tests.integrations.asgi_client import Client, WebSocket
from tests.integrations.test_asgi import respond


def test_each_token_is_new_and_all_are_valid():
    session = Session()
    tokens = {csrf.token(session) for _ in range(50)}
    assert len(tokens) == 50
    assert all(csrf.is_valid(session, token) for token in tokens)
    assert all(len(token) == 86 and token.replace("-", "").replace("_", "").isalnum() for token in tokens)


def test_tokens_of_another_session_are_invalid():
    session, other = Session(), Session()
    csrf.token(session)
    assert not csrf.is_valid(session, csrf.token(other))
    assert not csrf.is_valid(Session(), csrf.token(other))


SESSION = Session()
TOKEN = csrf.token(SESSION)


@FUZZ
@given(
    st.one_of(
        st.none(),
        st.text(),
        st.binary(),
        st.integers(),
        st.text(st.sampled_from("AQgwz09-_=+/é\n"), min_size=84, max_size=88),
        st.tuples(st.integers(0, 85), st.sampled_from("AQgwz09-_=")).map(
            lambda change: TOKEN[: change[0]] + change[1] + TOKEN[change[0] + 1 :]
        ),
    )
)
def test_other_values_are_invalid(value):
    # The last character of a token has bits that mean nothing.
    same = isinstance(value, str) and value[:85] == TOKEN[:85] and len(value) == 86 and value[85] not in "=é\n+/"
    assert csrf.is_valid(SESSION, value) in ((True, False) if same else (False,))


@pytest.mark.parametrize("secret", [None, 7, "", "zz", "é", "00" * 31, ["00" * 32]])
def test_a_damaged_secret_is_replaced(secret):
    session = Session({"_csrf": secret})
    assert not csrf.is_valid(session, "A" * 86)
    assert csrf.is_valid(session, csrf.token(session))


async def test_a_login_replaces_the_secret(single):
    session = Session(manager=single.manager())
    token = csrf.token(session)
    await session.save()
    await session.login("alice")
    assert not csrf.is_valid(session, token)


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        return await send({"type": "websocket.accept"})
    if scope["type"] == "lifespan":
        return None
    return await respond(send, csrf.token(scope["session"]) if scope["path"] == "/form" else "done")


def client_of(manager, **options):
    return Client(SessionMiddleware(csrf.CsrfMiddleware(app, **options), manager=manager))


TRUSTED = {"trusted_origins": ["https://www.example.com"]}


@pytest.mark.parametrize(
    ("options", "headers", "status"),
    [
        ({}, {}, 200),
        ({}, {"sec-fetch-site": "same-origin"}, 200),
        ({}, {"sec-fetch-site": "none"}, 200),
        ({}, {"sec-fetch-site": "same-site"}, 403),
        ({}, {"sec-fetch-site": "cross-site"}, 403),
        ({}, {"sec-fetch-site": "cross-site", "origin": "https://testserver"}, 403),
        ({}, {"origin": "https://testserver"}, 200),
        ({}, {"origin": "http://testserver"}, 200),
        ({}, {"origin": "https://testserver:443"}, 200),
        ({}, {"origin": "https://testserver:8443"}, 403),
        ({}, {"origin": "https://testserver.evil.example"}, 403),
        ({}, {"origin": "https://evil.example", "host": "testserver"}, 403),
        ({}, {"origin": "null"}, 403),
        ({}, {"origin": ""}, 403),
        ({}, {"origin": "https://[::1"}, 403),
        ({}, {"origin": "file://"}, 403),
        (TRUSTED, {"origin": "https://www.example.com", "sec-fetch-site": "cross-site"}, 200),
        (TRUSTED, {"origin": "http://www.example.com", "sec-fetch-site": "cross-site"}, 403),
        (TRUSTED, {"origin": "https://www.example.com.evil.example"}, 403),
    ],
)
async def test_pages_of_other_sites_may_not_post(world, options, headers, status):
    client = client_of(world.manager(), **options)
    assert (await client.post("/", headers=headers)).status == status
    assert (await client.get("/", headers=headers)).status == 200
    if status == 403:
        refused = await WebSocket(client, "/", **headers).receive()
        assert (refused["type"], refused["code"]) == ("websocket.close", 1008)
    else:
        assert (await WebSocket(client, "/", **headers).receive())["type"] == "websocket.accept"


async def test_requests_with_a_session_can_need_a_token(single):
    client = client_of(single.manager(), check_token=True)
    assert (await client.post("/")).status == 200
    token = (await client.get("/form")).json
    assert client.session_id is not None
    for headers in ({}, {"x-csrf-token": "A" * 86}, {"x-csrf-token": token[:-2]}):
        response = await client.post("/", headers=headers)
        assert response.status == 403
        assert response.body == b"The CSRF token is missing or invalid.\n"
    assert (await client.post("/", headers={"x-csrf-token": token})).status == 200
    # The token of an attacker's own session is of no use.
    other = client_of(single.manager(), check_token=True)
    stolen = (await other.get("/form")).json
    assert (await client.post("/", headers={"x-csrf-token": stolen})).status == 403


async def test_paths_can_be_exempt(single):
    client = client_of(single.manager(), exempt=lambda scope: scope["path"] == "/webhook")
    headers = {"sec-fetch-site": "cross-site"}
    assert (await client.post("/webhook", headers=headers)).status == 200
    assert (await client.post("/", headers=headers)).status == 403


@pytest.mark.parametrize("bad", ["https://a.example", ["a.example"], ["https://a.example/"], ["null"], ["https://"]])
def test_malformed_origins_are_refused(bad):
    with pytest.raises(ValueError, match="origin"):
        csrf.CsrfMiddleware(app, trusted_origins=bad)


async def test_other_scopes_pass_through():
    await csrf.CsrfMiddleware(app)({"type": "lifespan"}, None, None)
