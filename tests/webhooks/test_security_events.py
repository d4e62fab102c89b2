"""Security Event Tokens, verified by another library."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import jwt
import pytest
from joserfc.jwk import ECKey, OctKey

from chuk_sessions import session_hash
from chuk_sessions.core import queue_operations
from chuk_sessions.events.security_events import SecurityEventStreams, SigningKeys, poll_app
from tests.harness.receiver import receiving, response
from tests.harness.webhooks import Webhooks

ISSUER, AUDIENCE = "https://shop.example", "https://receiver.example"
REVOKED = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
KEYS = SigningKeys.generate()


def verified(token, jwks, algorithms=("ES256",)):
    """Verify a token as a receiver does, with the published keys only."""
    header = jwt.get_unverified_header(token)
    assert header["typ"] == "secevent+jwt"
    key = jwt.PyJWKSet.from_dict(jwks)[header["kid"]]
    claims = jwt.decode(
        token, key, algorithms=list(algorithms), audience=AUDIENCE, issuer=ISSUER,
        options={"require": ["iss", "iat", "jti", "aud", "events", "sub_id"]},
    )  # fmt: skip
    assert not {"sub", "exp"} & claims.keys()
    return claims


class Receiver:
    """A receiver that polls an ASGI application."""

    def __init__(self, app, stream):
        self._app = app
        self._stream = stream

    async def request(self, method, path, body=b"", headers=()):
        sent = []
        scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}

        async def receive():
            return {"type": "http.request", "body": body}

        async def send(message):
            sent.append(message)

        await self._app(scope, receive, send)
        self.headers = dict(sent[0]["headers"])
        return sent[0]["status"], json.loads(sent[1]["body"])

    async def poll(self, token=None, **content):
        headers = [(b"authorization", f"Bearer {token or self._stream.token}".encode())]
        body = json.dumps({"returnImmediately": True, **content}).encode()
        return await self.request("POST", f"/streams/{self._stream.id}", body, headers)


@asynccontextmanager
async def streaming(world, keys=KEYS, **options):
    webhooks = Webhooks(world)
    streams = SecurityEventStreams(world.factory, issuer=ISSUER, keys=keys)
    async with streams, webhooks.relay(formats=streams.formats, **options):
        yield webhooks, streams


async def test_an_end_is_pushed_as_session_revoked(world):
    async with receiving() as receiver, streaming(world) as (webhooks, streams):
        receiver.respond = lambda _: response(202)
        await streams.add_push(receiver.url, audience=AUDIENCE, authorization="Bearer x", allow_private=True)
        (session_id,) = await webhooks.end_sessions(1)
        await receiver.wait_for(1)
        jwks = streams.jwks()
    (request,) = receiver.requests
    assert request.headers["content-type"] == "application/secevent+jwt"
    assert request.headers["authorization"] == "Bearer x"
    claims = verified(request.body.decode(), jwks)
    assert claims["sub_id"] == {
        "format": "complex",
        "session": {"format": "opaque", "id": session_hash(session_id)},
        "user": {"format": "iss_sub", "iss": ISSUER, "sub": "alice"},
    }
    details = claims["events"][REVOKED]
    assert details["initiating_entity"] == "user"
    assert isinstance(details["event_timestamp"], int)
    assert session_id not in request.raw.decode()


async def test_expired_sessions_are_reported_on_request_only(world):
    async with receiving() as receiver, streaming(world) as (webhooks, streams):
        await streams.add_push(receiver.url, audience=AUDIENCE, reasons=["expired"], allow_private=True)
        await webhooks.end_sessions(1)
        await world.manager(events=True).allocate_session(user_id="bob", ttl_hours=0.01)
        await world.advance(seconds=60)
        await receiver.wait_for(1)
        claims = verified(receiver.requests[0].body.decode(), streams.jwks())
    assert claims["sub_id"]["user"]["sub"] == "bob"
    assert len(receiver.requests) == 1


async def test_a_poll_returns_tokens_until_they_are_acknowledged(world):
    async with streaming(world) as (webhooks, streams):
        stream = await streams.add_poll(audience=AUDIENCE)
        receiver = Receiver(poll_app(streams, base_url="https://shop.example/ssf"), stream)
        ids = await webhooks.end_sessions(3)
        found = {}
        async with asyncio.timeout(30):
            while len(found) < 3:
                _, reply = await receiver.poll(maxEvents=2)
                assert len(reply["sets"]) <= 2
                await asyncio.sleep(0.02)
                found |= reply["sets"]
        hashes = {verified(token, streams.jwks())["sub_id"]["session"]["id"] for token in found.values()}
        assert hashes == set(map(session_hash, ids))
        assert all(verified(token, streams.jwks())["jti"] == token_id for token_id, token in found.items())
        first, *others = found
        assert (await receiver.poll(ack=[first]))[1] == {"sets": {}, "moreAvailable": False}
        await world.advance(seconds=60)
        _, reply = await receiver.poll()
        assert sorted(reply["sets"]) == sorted(others)
        errors = {others[0]: {"err": "invalid_key", "description": "unknown key"}}
        assert (await receiver.poll(maxEvents=0, ack=others[1:], setErrs=errors))[1] == {"sets": {}}
        await world.advance(hours=1)
        assert (await receiver.poll())[1]["sets"] == {}


async def test_a_poll_can_wait_for_an_event(world):
    async with streaming(world) as (webhooks, streams):
        stream = await streams.add_poll(audience=AUDIENCE)
        receiver = Receiver(poll_app(streams, base_url="https://shop.example"), stream)
        waiting = asyncio.create_task(receiver.poll(returnImmediately=False))
        await webhooks.end_sessions(1)
        status, reply = await asyncio.wait_for(waiting, 30)
        assert (status, len(reply["sets"])) == (200, 1)
        assert receiver.headers[b"cache-control"] == b"no-store"


async def test_only_the_token_of_the_stream_is_accepted(world):
    async with streaming(world) as (_, streams):
        stream, other = [await streams.add_poll(audience=AUDIENCE) for _ in range(2)]
        receiver = Receiver(poll_app(streams, base_url="https://shop.example"), stream)
        for token in (other.token, "", "x", stream.token[:-1], "\u00e9"):
            assert (await receiver.poll(token or " "))[0] == 401
        assert (await receiver.request("POST", f"/streams/{stream.id}"))[0] == 401
        missing = Receiver(poll_app(streams, base_url="https://shop.example"), stream._replace(id="ep_other"))
        assert (await missing.poll())[0] == 401
        assert (await receiver.poll())[0] == 200
    stored = repr(await world.backend.run(queue_operations.endpoints()))
    assert stream.token not in stored


BAD_POLLS = [
    {"maxEvents": -1}, {"maxEvents": True}, {"maxEvents": "2"}, {"ack": "x"}, {"ack": [1]}, {"ack": [""]},
    {"setErrs": []}, {"returnImmediately": 1}, {"ack": ["\ud800"]}, {"setErrs": {"\ud800": {}}},
]  # fmt: skip


async def test_malformed_polls_are_refused(world):
    async with streaming(world) as (_, streams):
        stream = await streams.add_poll(audience=AUDIENCE)
        receiver = Receiver(poll_app(streams, base_url="https://shop.example"), stream)
        for content in BAD_POLLS:
            assert (await receiver.poll(**content))[0] == 400
        headers = [(b"authorization", f"Bearer {stream.token}".encode())]
        for body, status in [(b"[]", 400), (b"{", 400), (b"[" * 100_000, 400), (b"x" * 2_000_000, 413)]:
            assert (await receiver.request("POST", f"/streams/{stream.id}", body, headers))[0] == status
        assert (await receiver.request("GET", "/other"))[0] == 404


async def test_ids_from_receivers_cannot_forge_lines_of_the_log(world, caplog):
    async with streaming(world) as (_, streams):
        stream = await streams.add_poll(audience=AUDIENCE)
        receiver = Receiver(poll_app(streams, base_url="https://shop.example"), stream)
        assert (await receiver.poll(setErrs={"x\nroot logged in" + 10_000 * "x": {"err": "a\nb"}}))[0] == 200
    (message,) = [record.getMessage() for record in caplog.records if "refused the token" in record.getMessage()]
    assert "\n" not in message
    assert len(message) < 1000


async def test_a_new_stream_can_be_printed_without_its_token(world):
    async with SecurityEventStreams(world.factory, issuer=ISSUER, keys=KEYS) as streams:
        stream = await streams.add_poll(audience=AUDIENCE)
    assert stream.token not in repr(stream)
    assert stream.token not in f"{stream}"
    assert stream.id in repr(stream)


async def test_the_times_of_an_application_are_checked(world):
    async with SecurityEventStreams(world.factory, issuer=ISSUER, keys=KEYS) as streams:
        for options in ({"lease_seconds": 0}, {"lease_seconds": float("nan")}, {"wait_seconds": -1}):
            with pytest.raises(ValueError, match="_seconds"):
                poll_app(streams, base_url="https://shop.example", **options)


async def test_a_token_that_cannot_be_signed_is_tried_again_and_given_up(world):
    def unavailable():
        raise RuntimeError("no key")

    async with receiving() as receiver, streaming(world, keys=unavailable) as (webhooks, streams):
        endpoint = await streams.add_push(receiver.url, audience=AUDIENCE, allow_private=True)
        await webhooks.end_sessions(1)
        async with asyncio.timeout(30):
            while not (letters := await webhooks.endpoints.dead_letters(endpoint.id)):
                await world.advance(hours=23)
                await asyncio.sleep(0.03)
    assert "RuntimeError" in letters[0].last_error
    assert receiver.requests == []


async def test_keys_and_metadata_are_public(world):
    async with streaming(world) as (_, streams):
        receiver = Receiver(poll_app(streams, base_url="https://shop.example/ssf/"), None)
        status, jwks = await receiver.request("GET", "/jwks.json")
        assert status == 200
        assert [key["kid"] for key in jwks["keys"]] == list(KEYS.ids)
        assert not any("d" in key for key in jwks["keys"])
        assert receiver.headers[b"cache-control"] == b"public, max-age=300"
        _, metadata = await receiver.request("GET", "/.well-known/ssf-configuration")
        assert metadata["jwks_uri"] == "https://shop.example/ssf/jwks.json"
        assert metadata["issuer"] == ISSUER


async def test_keys_are_rotated_without_an_interruption(world):
    keys = SigningKeys.generate()
    async with receiving() as receiver, streaming(world, keys=lambda: keys) as (webhooks, streams):
        await streams.add_push(receiver.url, audience=AUDIENCE, allow_private=True)
        fetched = streams.jwks()
        await webhooks.end_sessions(1)
        await receiver.wait_for(1)
        old = keys.signing
        keys = keys.with_new_key("RS256")
        assert keys.signing == old
        fetched = streams.jwks()
        keys = keys.signing_with(keys.ids[-1])
        await webhooks.end_sessions(1)
        await receiver.wait_for(2)
        first, second = [request.body.decode() for request in receiver.requests]
        assert verified(first, fetched)
        assert verified(second, fetched, ["RS256"])
        keys = keys.without(old)
        assert len(streams.jwks()["keys"]) == 1


def test_keys_survive_being_stored():
    keys = SigningKeys.generate().with_new_key()
    again = SigningKeys.from_json(keys.to_json())
    assert (again.ids, again.signing, again.jwks()) == (keys.ids, keys.signing, keys.jwks())
    assert json.loads(keys.to_json())["keys"][0]["d"] not in repr(keys)


PUBLIC = KEYS.jwks()["keys"]
BAD_KEYS = ["", "[]", "{}", '{"keys": []}', '{"keys": [1]}', '{"keys": [{"kty": "EC"}]}', json.dumps({"keys": PUBLIC})]


@pytest.mark.parametrize("text", BAD_KEYS, ids=range(len(BAD_KEYS)))
def test_malformed_keys_are_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011
        SigningKeys.from_json(text)


@pytest.mark.parametrize(
    "key",
    [
        ECKey.generate_key("P-384", {"alg": "ES256", "kid": "a"}),
        OctKey.generate_key(256, {"alg": "ES256", "kid": "a"}),
        ECKey.generate_key("P-256", {"alg": "RS256", "kid": "a"}),
        ECKey.generate_key("P-256", {"alg": "ES256", "kid": "a", "use": "enc"}),
    ],
)
def test_keys_that_cannot_sign_with_their_algorithm_are_refused(key):
    with pytest.raises(ValueError, match="key"):
        SigningKeys([key.as_dict(private=True)])


def test_the_signing_key_cannot_be_removed():
    with pytest.raises(ValueError, match="cannot be removed"):
        KEYS.without(KEYS.signing)
    with pytest.raises(ValueError, match="no key"):
        KEYS.signing_with("other")
    with pytest.raises(ValueError, match="algorithm"):
        SigningKeys.generate("none")


async def test_malformed_settings_are_refused(world):
    async with SecurityEventStreams(world.factory, issuer=ISSUER, keys=KEYS) as streams:
        with pytest.raises(ValueError, match="reasons"):
            await streams.add_poll(audience=AUDIENCE, reasons=["bored"])
        with pytest.raises(ValueError, match="audience"):
            await streams.add_poll(audience="")
        with pytest.raises(ValueError, match="https"):
            await streams.add_push("http://hooks.example/", audience=AUDIENCE)
        with pytest.raises(ValueError, match="authorization"):
            await streams.add_push("https://hooks.example/", audience=AUDIENCE, authorization="a\r\nb")
    with pytest.raises(ValueError, match="issuer"):
        SecurityEventStreams(world.factory, issuer="", keys=KEYS)
