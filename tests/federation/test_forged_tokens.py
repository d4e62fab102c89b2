"""Tokens that are forged, malformed, expired, or for somebody else are no grants."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

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


FORGED: dict[str, Any] = {
    "alg none": f"{encoded({**HEADER, 'alg': 'none'})}.{encoded(claims())}.",
    "alg none with a signature": raw({**HEADER, "alg": "none"}, claims()),
    "alg None": raw({**HEADER, "alg": None}, claims()),
    "alg eddsa in lower case": raw({**HEADER, "alg": "eddsa"}, claims()),
    "alg Ed25519": raw({**HEADER, "alg": "Ed25519"}, claims()),
    "alg list": raw({**HEADER, "alg": ["EdDSA"]}, claims()),
    "no alg": raw({"typ": TYPE, "kid": "k1"}, claims()),
    "HS256 with the public key": hs256(PUBLIC.public_bytes_raw()),
    "HS256 with the public key as PEM": hs256(_pem(PUBLIC)),
    "HS256 that claims EdDSA": hs256(PUBLIC.public_bytes_raw(), alg="EdDSA"),
    "ES256": signed(key=P256, algorithm="ES256"),
    "key in the header": raw({**HEADER, "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}}, claims(), OTHER),
    "key URL in the header": raw({**HEADER, "jku": "https://evil.example/jwks.json"}, claims()),
    "crit": raw({**HEADER, "crit": ["exp"], "exp": 1}, claims()),
    "b64": raw({**HEADER, "b64": False, "crit": ["b64"]}, claims()),
    "typ JWT": signed(typ="JWT"),
    "typ of an access token": signed(typ="at+jwt"),
    "typ of an assertion": signed(typ="client-authentication+jwt"),
    "typ in upper case": signed(typ=TYPE.upper()),
    "no typ": raw({"alg": "EdDSA", "kid": "k1"}, claims()),
    "unknown kid": signed(kid="k9"),
    "kid of another key": signed(kid="k2"),
    "no kid": raw({"alg": "EdDSA", "typ": TYPE}, claims()),
    "kid list": raw({**HEADER, "kid": ["k1"]}, claims()),
    "kid path": raw({**HEADER, "kid": "../../dev/null"}, claims()),
    "another aud": signed(claims(aud="sandbox-c")),
    "aud of the issuer": signed(claims(aud=ISSUER)),
    "aud list": signed(claims(aud=[AUDIENCE])),
    "no aud": signed(claims(aud=None)),
    "unknown iss": signed(claims(iss="sandbox-x")),
    "iss of another sandbox": signed(claims(iss="sandbox-c")),
    "signed by another sandbox": signed(key=OTHER),
    "signed by a stranger": signed(key=Ed25519PrivateKey.generate()),
    "no iss": signed(claims(iss=None)),
    "iss dict": raw(HEADER, claims(iss={"a": 1})),
    "expired": signed(claims(exp=int(time.time()))),
    "expired long ago": signed(claims(iat=1, exp=2)),
    "no exp": signed(claims(exp=None)),
    "exp text": raw(HEADER, claims(exp=str(int(time.time()) + 300))),
    "exp float": raw(HEADER, claims(exp=time.time() + 300)),
    "exp infinite": raw(HEADER, encode_json(claims(exp=0)).replace(b'"exp": 0', b'"exp": 1e999')),
    "exp true": raw(HEADER, claims(exp=True)),
    "exp huge": raw(HEADER, claims(exp=10**30)),
    "exp with too many digits": raw(HEADER, encode_json(claims(exp=0)).replace(b'"exp": 0', b'"exp": ' + b"9" * 1500)),
    "issued in the future": signed(claims(iat=int(time.time()) + 120)),
    "not yet valid": signed(claims(nbf=int(time.time()) + 120)),
    "nbf text": raw(HEADER, claims(nbf="1")),
    "no iat": signed(claims(iat=None)),
    "no jti": signed(claims(jti=None)),
    "empty jti": signed(claims(jti="")),
    "jti with a line break": signed(claims(jti="a\n")),
    "no sub": signed(claims(sub=None)),
    "sub is an id": signed(claims(sub="sess-1")),
    "no path": signed(claims(path=None)),
    "path above": signed(claims(path="../doc1")),
    "path with a slash at its end": signed(claims(path="doc1/")),
    "no scope": signed(claims(scope=None)),
    "empty scope": signed(claims(scope="")),
    "scope list": signed(claims(scope=["read"])),
    "cnf without a thumbprint": signed(claims(cnf={})),
    "cnf of another kind": signed(claims(cnf={"x5t#S256": "A" * 43})),
    "cnf with a further member": signed(claims(cnf={"jkt": "A" * 43, "jwk": {}})),
    "cnf text": signed(claims(cnf="A" * 43)),
    "repeated claim": raw(HEADER, repeated("path", '""')),
    "repeated aud": raw(HEADER, repeated("aud", '"sandbox-b"')),
    "repeated header": raw(b'{"alg": "none", "alg": "EdDSA", "typ": "grid-grant+jwt", "kid": "k1"}', claims()),
    "swapped header": swapped({**HEADER, "kid": "k2"}),
    "the same header, written differently": ".".join(
        [encoded(b'{"kid":"k1","alg":"EdDSA","typ":"grid-grant+jwt"} '), *signed().split(".")[1:]]
    ),
    "swapped claims": ".".join([signed().split(".")[0], encoded(claims(path="")), signed().split(".")[2]]),
    "claims are a list": raw(HEADER, [claims()]),
    "claims are nested deeply": raw(HEADER, b"[" * 1500),
    "claims are no JSON": raw(HEADER, b"\xff\xfe"),
    "header is a list": raw([HEADER], claims()),
    "header is a number": raw(5, claims()),
    "a payload in base64 with padding": signed().replace(".", "=.", 1),
    "another base64 alphabet": signed().replace("-", "+").replace("_", "/") + "=",
    "two parts": ".".join(signed().split(".")[:2]),
    "four parts": signed() + ".AAAA",
    "five parts": "a.b.c.d.e",
    "no signature": signed().rpartition(".")[0] + ".",
    "a shorter signature": signed()[:-4],
    "a signature of zeros": signed().rpartition(".")[0] + "." + "A" * 86,
    "a signature with another last character": signed()[:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[signed()[-1]],
    "a line break at the end": signed() + "\n",
    "a space before": " " + signed(),
    "not ASCII": signed().replace("e", "é", 1),
    "a lone surrogate": "\ud800" + signed(),
    "full-width dots": signed().replace(".", "．"),
    "a huge token": raw(HEADER, claims(more="x" * 5000)),
    "a huge text": "A" * 10_000_000,
    "empty": "",
    "bytes": signed().encode(),
    "None": None,
    "a number": 5,
    "a list": [signed()],
    "a dict": {"token": signed()},
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_no_grant(name):
    assert resolved(FORGED[name]) is None
    assert resolved(FORGED[name]) is None


async def test_no_method_resolves_a_forged_token(single):
    federation = Federation(trust={ISSUER: {"k1": PUBLIC}})
    async with single.manager(AUDIENCE, federation=federation) as manager:
        for name, token in FORGED.items():
            assert await manager.resolve_grant(token, "doc1", "read") is None, name
            assert not await manager.revoke_grant(token), name


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
