"""Tokens that are forged, malformed, expired, or for somebody else are no grants."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chuk_sessions.core import grants
from chuk_sessions.core.keys import find
from chuk_sessions.core.operation_ids import operation_id
from chuk_sessions.federation import Federation, Grant, SigningKeys, paths, tokens
from chuk_sessions.federation.keys import trust_map
from tests.federation.forging import AUDIENCE, ISSUER, KEY, REFERENCE, TYPE, claims, encoded, hs256, raw, signed

OTHER = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key()
TRUST = trust_map({ISSUER: {"k1": PUBLIC, "k2": OTHER.public_key()}, "sandbox-c": {"k1": OTHER.public_key()}})
HEADER = {"alg": "EdDSA", "typ": TYPE, "kid": "k1"}
P256 = ec.generate_private_key(ec.SECP256R1())


def resolved(token: Any, **changes: Any) -> Grant | None:
    return tokens.verify(token, **{"audience": AUDIENCE, "trust": TRUST, **changes})


def test_pyjwt_mints_a_grant():
    grant = resolved(signed())
    assert grant is not None
    assert (grant.issuer, grant.audience, grant.session_hash, grant.path) == (ISSUER, AUDIENCE, REFERENCE, "doc1")
    assert grant.actions == ("read",)


def test_pyjwt_verifies_a_grant():
    now = int(time.time())
    grant = Grant(ISSUER, AUDIENCE, REFERENCE, "doc1/é", ("read", "write"), "id", now, now + 60, jkt="A" * 43)
    keys = SigningKeys({"k1": KEY})
    token = tokens.mint(grant, keys.signing_key, keys.signing)
    found = jwt.decode(token, PUBLIC, ["EdDSA"], audience=AUDIENCE, issuer=ISSUER, options={"require": ["exp", "jti"]})
    assert (found["sub"], found["path"], found["scope"]) == (REFERENCE, "doc1/é", "read write")
    assert found["cnf"] == {"jkt": "A" * 43}
    assert jwt.get_unverified_header(token) == HEADER
    assert resolved(token) == grant


def _pem(key: Any) -> bytes:
    found: bytes = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return found


def swapped(header: dict[str, Any]) -> str:
    """Return a correct token with another header."""
    return ".".join([encoded(header), *signed().split(".")[1:]])


def repeated(name: str, value: str) -> bytes:
    """Return the JSON text of correct claims, in which a name occurs a second time."""
    return encode_json(claims())[:-1] + f', "{name}": {value}}}'.encode()


def encode_json(value: Any) -> bytes:
    return json.dumps(value).encode()


# Tokens have times, and much time may pass between the collection of tests and this one: each test makes its own.
FORGED: dict[str, Callable[[], Any]] = {
    "alg none": lambda: f"{encoded({**HEADER, 'alg': 'none'})}.{encoded(claims())}.",
    "alg none with a signature": lambda: raw({**HEADER, "alg": "none"}, claims()),
    "alg None": lambda: raw({**HEADER, "alg": None}, claims()),
    "alg eddsa in lower case": lambda: raw({**HEADER, "alg": "eddsa"}, claims()),
    "alg Ed25519": lambda: raw({**HEADER, "alg": "Ed25519"}, claims()),
    "alg list": lambda: raw({**HEADER, "alg": ["EdDSA"]}, claims()),
    "no alg": lambda: raw({"typ": TYPE, "kid": "k1"}, claims()),
    "HS256 with the public key": lambda: hs256(PUBLIC.public_bytes_raw()),
    "HS256 with the public key as PEM": lambda: hs256(_pem(PUBLIC)),
    "HS256 that claims EdDSA": lambda: hs256(PUBLIC.public_bytes_raw(), alg="EdDSA"),
    "ES256": lambda: signed(key=P256, algorithm="ES256"),
    "key in the header": lambda: raw({**HEADER, "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}}, claims(), OTHER),  # noqa: E501
    "key URL in the header": lambda: raw({**HEADER, "jku": "https://evil.example/jwks.json"}, claims()),
    "crit": lambda: raw({**HEADER, "crit": ["exp"], "exp": 1}, claims()),
    "b64": lambda: raw({**HEADER, "b64": False, "crit": ["b64"]}, claims()),
    "typ JWT": lambda: signed(typ="JWT"),
    "typ of an access token": lambda: signed(typ="at+jwt"),
    "typ of an assertion": lambda: signed(typ="client-authentication+jwt"),
    "typ in upper case": lambda: signed(typ=TYPE.upper()),
    "no typ": lambda: raw({"alg": "EdDSA", "kid": "k1"}, claims()),
    "unknown kid": lambda: signed(kid="k9"),
    "kid of another key": lambda: signed(kid="k2"),
    "no kid": lambda: raw({"alg": "EdDSA", "typ": TYPE}, claims()),
    "kid list": lambda: raw({**HEADER, "kid": ["k1"]}, claims()),
    "kid path": lambda: raw({**HEADER, "kid": "../../dev/null"}, claims()),
    "another aud": lambda: signed(claims(aud="sandbox-c")),
    "aud of the issuer": lambda: signed(claims(aud=ISSUER)),
    "aud list": lambda: signed(claims(aud=[AUDIENCE])),
    "no aud": lambda: signed(claims(aud=None)),
    "unknown iss": lambda: signed(claims(iss="sandbox-x")),
    "iss of another sandbox": lambda: signed(claims(iss="sandbox-c")),
    "signed by another sandbox": lambda: signed(key=OTHER),
    "signed by a stranger": lambda: signed(key=Ed25519PrivateKey.generate()),
    "no iss": lambda: signed(claims(iss=None)),
    "iss dict": lambda: raw(HEADER, claims(iss={"a": 1})),
    "expired": lambda: signed(claims(exp=int(time.time()))),
    "expired long ago": lambda: signed(claims(iat=1, exp=2)),
    "no exp": lambda: signed(claims(exp=None)),
    "exp text": lambda: raw(HEADER, claims(exp=str(int(time.time()) + 300))),
    "exp float": lambda: raw(HEADER, claims(exp=time.time() + 300)),
    "exp infinite": lambda: raw(HEADER, encode_json(claims(exp=0)).replace(b'"exp": 0', b'"exp": 1e999')),
    "exp true": lambda: raw(HEADER, claims(exp=True)),
    "exp huge": lambda: raw(HEADER, claims(exp=10**30)),
    "exp with too many digits": lambda: raw(HEADER, encode_json(claims(exp=0)).replace(b'"exp": 0', b'"exp": ' + b"9" * 1500)),  # noqa: E501
    "issued in the future": lambda: signed(claims(iat=int(time.time()) + 120)),
    "not yet valid": lambda: signed(claims(nbf=int(time.time()) + 120)),
    "nbf text": lambda: raw(HEADER, claims(nbf="1")),
    "no iat": lambda: signed(claims(iat=None)),
    "no jti": lambda: signed(claims(jti=None)),
    "empty jti": lambda: signed(claims(jti="")),
    "jti with a line break": lambda: signed(claims(jti="a\n")),
    "no sub": lambda: signed(claims(sub=None)),
    "sub is an id": lambda: signed(claims(sub="sess-1")),
    "no path": lambda: signed(claims(path=None)),
    "path above": lambda: signed(claims(path="../doc1")),
    "path with a slash at its end": lambda: signed(claims(path="doc1/")),
    "no scope": lambda: signed(claims(scope=None)),
    "empty scope": lambda: signed(claims(scope="")),
    "scope list": lambda: signed(claims(scope=["read"])),
    "cnf without a thumbprint": lambda: signed(claims(cnf={})),
    "cnf of another kind": lambda: signed(claims(cnf={"x5t#S256": "A" * 43})),
    "cnf with a further member": lambda: signed(claims(cnf={"jkt": "A" * 43, "jwk": {}})),
    "cnf text": lambda: signed(claims(cnf="A" * 43)),
    "repeated claim": lambda: raw(HEADER, repeated("path", '""')),
    "repeated aud": lambda: raw(HEADER, repeated("aud", '"sandbox-b"')),
    "repeated header": lambda: raw(b'{"alg": "none", "alg": "EdDSA", "typ": "grid-grant+jwt", "kid": "k1"}', claims()),
    "swapped header": lambda: swapped({**HEADER, "kid": "k2"}),
    "the same header, written differently": lambda: ".".join(
        [encoded(b'{"kid":"k1","alg":"EdDSA","typ":"grid-grant+jwt"} '), *signed().split(".")[1:]]
    ),
    "swapped claims": lambda: ".".join([signed().split(".")[0], encoded(claims(path="")), signed().split(".")[2]]),
    "claims are a list": lambda: raw(HEADER, [claims()]),
    "claims are nested deeply": lambda: raw(HEADER, b"[" * 1500),
    "claims are no JSON": lambda: raw(HEADER, b"\xff\xfe"),
    "header is a list": lambda: raw([HEADER], claims()),
    "header is a number": lambda: raw(5, claims()),
    "a payload in base64 with padding": lambda: signed().replace(".", "=.", 1),
    "another base64 alphabet": lambda: signed().replace("-", "+").replace("_", "/") + "=",
    "two parts": lambda: ".".join(signed().split(".")[:2]),
    "four parts": lambda: signed() + ".AAAA",
    "five parts": lambda: "a.b.c.d.e",
    "no signature": lambda: signed().rpartition(".")[0] + ".",
    "a shorter signature": lambda: signed()[:-4],
    "a signature of zeros": lambda: signed().rpartition(".")[0] + "." + "A" * 86,
    "a signature with another last character": lambda: signed()[:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[signed()[-1]],  # noqa: E501
    "a line break at the end": lambda: signed() + "\n",
    "a space before": lambda: " " + signed(),
    "not ASCII": lambda: signed().replace("e", "é", 1),
    "a lone surrogate": lambda: "\ud800" + signed(),
    "full-width dots": lambda: signed().replace(".", "．"),
    "a huge token": lambda: raw(HEADER, claims(more="x" * 5000)),
    "a huge text": lambda: "A" * 10_000_000,
    "empty": lambda: "",
    "bytes": lambda: signed().encode(),
    "None": lambda: None,
    "a number": lambda: 5,
    "a list": lambda: [signed()],
    "a dict": lambda: {"token": signed()},
}  # fmt: skip


CORRECT: dict[str, Callable[[], Any]] = {
    "signed": signed,
    "raw": lambda: raw(HEADER, claims()),
    "raw bytes": lambda: raw(encode_json(HEADER), encode_json(claims())),
    "a further claim": lambda: signed(claims(more="x")),
    "another key": lambda: signed(key=OTHER, kid="k2"),
    "another sandbox": lambda: signed(claims(iss="sandbox-c"), key=OTHER),
    "valid from now": lambda: signed(claims(nbf=int(time.time()))),
    "issued a little in the future": lambda: signed(claims(iat=int(time.time()) + 30)),
    "a number that is replaced": lambda: raw(
        HEADER, encode_json(claims(exp=0)).replace(b'"exp": 0', b'"exp": %d' % (time.time() + 300))
    ),
    "no path": lambda: signed(claims(path="")),
    "two actions": lambda: signed(claims(scope="read write")),
    "a thumbprint": lambda: signed(claims(cnf={"jkt": "A" * 43})),
}
"""Tokens made in the same ways as the forged ones, without the forgery."""

SEVERAL = {"crit": {"crit", "exp of header"}, "b64": {"b64", "crit"}, "expired long ago": {"iat", "exp"}}
"""The forged tokens that need more than one change, and the changes."""


def differences(token: Any) -> set[str] | None:
    """Return what differs between a token and a correct one, or None if that has no header or claims to compare.

    Times that are a minute off do not differ.
    """
    try:
        header, payload = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]
        correct = claims()
        names = [(name, header.get(name), HEADER.get(name)) for name in HEADER | header]
        names = [(name if name != "exp" else "exp of header", *values) for name, *values in names]
        names += [(name, payload.get(name), correct.get(name)) for name in correct | payload]
    except (ValueError, AttributeError, TypeError, RecursionError):
        return None
    return {name for name, value, wanted in names if not _is_same(value, wanted)}


def _is_same(value: Any, wanted: Any) -> bool:
    return abs(value - wanted) < 60 if type(value) is type(wanted) is int else value == wanted


@pytest.mark.parametrize("name", CORRECT)
def test_without_the_forgery_a_token_is_a_grant(name):
    assert resolved(CORRECT[name]()) is not None


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_no_grant(name):
    token = FORGED[name]()
    assert resolved(token) is None
    assert resolved(token) is None
    assert resolved(signed()) is not None


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_has_no_other_fault(name):
    """Otherwise, that one might be why it is refused."""
    changes = differences(FORGED[name]())
    assert changes is None or len(changes) <= 1 or changes == SEVERAL[name]


async def test_no_method_resolves_a_forged_token(single):
    """The session has the grant that the tokens name, so only their forgery is a reason to refuse them."""
    federation = Federation(trust={ISSUER: {"k1": PUBLIC}})
    async with (
        single.manager(ISSUER, federation=Federation({"k1": KEY})) as giving,
        single.manager(AUDIENCE, federation=federation) as manager,
    ):
        await _store_grant(giving)
        assert await manager.resolve_grant(signed(), "doc1", "read") is not None
        for name, make in FORGED.items():
            # The store's clock decides, so the time of issue does not count here.
            if name != "issued in the future":
                assert await manager.resolve_grant(make(), "doc1", "read") is None, name
            assert not await manager.revoke_grant(make()), name
        assert await manager.resolve_grant(signed(), "doc1", "read") is not None


async def _store_grant(giving: Any) -> None:
    """Store the grant that the tokens of `forging` name."""
    await giving.allocate_session(session_id="sess-1")
    target = find(ISSUER, "sess-1")
    assert target is not None
    call = grants.grant(
        target, jti=claims()["jti"], ttl_ms=600_000, audience=AUDIENCE, actions=["read"], path="doc1",
        operation_id=operation_id(), limit=10**6,
    )  # fmt: skip
    await giving._grants._executor(ISSUER).execute(call)


@pytest.mark.parametrize("kind", ["small order", "not reduced"])
def test_signatures_that_only_some_libraries_accept_are_refused(kind):
    """An S that is not reduced, or an R of small order, would give a grant a second text."""
    text, _, signature = signed().rpartition(".")
    r, s = (part := base64.urlsafe_b64decode(signature + "=="))[:32], int.from_bytes(part[32:], "little")
    order = 2**252 + 27742317777372353535851937790883648493
    changed = bytes(32) + part[32:] if kind == "small order" else r + (s + order).to_bytes(32, "little")
    assert resolved(f"{text}.{encoded(changed)}") is None


def test_expiry_and_trust_also_count_for_a_token_that_was_verified_before():
    token = signed()
    assert resolved(token) is not None
    assert resolved(token, now=time.time() + 301) is None
    assert resolved(token, now=jwt.decode(token, options={"verify_signature": False})["exp"]) is None
    assert resolved(token, now=time.time() - 120) is None
    assert resolved(token, audience="sandbox-c") is None
    assert resolved(token, trust={}) is None
    assert resolved(token, trust=trust_map({ISSUER: {"k2": PUBLIC}})) is None
    assert resolved(token, trust=trust_map({ISSUER: {"k1": OTHER.public_key()}})) is None
    assert resolved(token, trust=trust_map({ISSUER: {"k1": PUBLIC}})) is not None


def test_tokens_of_strangers_are_not_remembered(monkeypatch):
    monkeypatch.setattr(tokens, "_cache", {})
    monkeypatch.setattr(tokens, "MAX_CACHED", 3)
    for number in range(5):
        assert resolved(signed(claims(path=f"doc{number}"))) is not None
        assert resolved(signed(claims(path=f"doc{number}"), key=Ed25519PrivateKey.generate())) is None
    assert [found.grant.path for found in tokens._cache.values()] == ["doc2", "doc3", "doc4"]


@pytest.mark.parametrize(
    "changes",
    [
        {"audience": ""}, {"issuer": "a/b"}, {"path": "a/../b"}, {"actions": ()}, {"actions": ("read write",)},
        {"session_hash": "sess-1"}, {"jti": "a b"}, {"expires_at": 1.5}, {"jkt": "short"}, {"client_id": ""},
    ],
)  # fmt: skip
def test_grants_that_would_be_refused_are_not_minted(changes):
    fields: dict[str, Any] = {
        "issuer": ISSUER, "audience": AUDIENCE, "session_hash": REFERENCE, "path": "", "actions": ("read",),
        "jti": "id",        "issued_at": 1, "expires_at": 2, **changes,
    }  # fmt: skip
    keys = SigningKeys({"k1": KEY})
    with pytest.raises(ValueError, match="malformed"):
        tokens.mint(Grant(**fields), keys.signing_key, "k1")


COVERED = [
    ("", "doc1"), ("", "a/b/c"), ("", ""), ("doc1", "doc1"), ("doc1", "doc1/page"), ("doc1", "doc1/a/b"),
    ("a/b", "a/b/c"), ("doc1", "doc1/100%"), ("doc1", "doc1/50%25"), ("é", "é/ü"), ("doc1", "doc1/..."),
    ("doc1", "doc1/a b"),
]  # fmt: skip
NOT_COVERED = [
    ("doc1", "doc10"), ("doc1", "doc"), ("doc1", ""), ("doc1", "doc2/doc1"), ("doc1", "DOC1"), ("a/b", "a"),
    ("a/b", "a/bc"), ("doc1", "doc1/.."), ("doc1", "doc1/../doc2"), ("doc1", "doc1/./x"), ("doc1", "../doc1"),
    ("", ".."), ("", "."),
    ("doc1", "doc%31"), ("doc1", "%64oc1"), ("doc1", "doc1%2fx"), ("", "a%2fx"),
    ("doc1", "doc1/%2e%2e/doc2"), ("doc1", "doc1/%2E."),
    ("doc1", "doc1/%252e%252e/doc2"), ("doc1", "doc1/x%2f..%2fy"), ("doc1", "doc1/%5c"), ("doc1", "doc1/x%00"),
    ("doc1", "doc1/%25252525252e"), ("doc1", "doc1\\x"), ("doc1", "doc1/..\\doc2"), ("", "a\\b"), ("doc1", "doc1//x"),
    ("doc1", "doc1/"), ("doc1", "/doc1"), ("doc1", "doc1\x00"), ("doc1", "doc1/\n"), ("doc1", "doc1/\ud800"),
    ("", "a" * 513), ("", "a/" * 600), ("doc1", None), ("doc1", 5), ("doc1", b"doc1"), ("", ["doc1"]), ("é", "e\u0301"),
    ("doc1", "doc1/\x7f"), ("doc1", "doc1/\u2028"),
]  # fmt: skip


@pytest.mark.parametrize(("granted", "path"), COVERED, ids=range(len(COVERED)))
def test_a_grant_covers_what_is_under_its_path(granted, path):
    assert paths.covers(granted, path)


@pytest.mark.parametrize(("granted", "path"), NOT_COVERED, ids=range(len(NOT_COVERED)))
def test_a_grant_covers_nothing_else(granted, path):
    assert not paths.covers(granted, path)


def test_an_action_must_be_granted_exactly():
    grant = resolved(signed(claims(scope="read list")))
    assert grant is not None
    assert grant.allows("doc1/x", "list")
    for action in ("write", "rea", "READ", "read list", "", None, 5, ["read"]):
        assert not grant.allows("doc1/x", action)
