"""Any text instead of a grant, assertion, or proof is refused without another error."""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chuk_sessions.federation import Grant, paths, proofs, tokens
from chuk_sessions.federation.assertions import authenticate
from chuk_sessions.federation.keys import trust_map
from chuk_sessions.federation.replays import RecentIds
from tests.federation.forging import AUDIENCE, ISSUER, KEY, TYPE, claims, encoded, raw
from tests.fuzz.cases import FUZZ
from tests.redis.tools import how_many

TOKENS = how_many("CASES", 2000, 100_000)
TRUST = trust_map({ISSUER: {"k1": KEY.public_key()}})
HEADER = {"alg": "EdDSA", "typ": TYPE, "kid": "k1"}
GOOD = raw(HEADER, claims(exp=int(time.time()) + 86_400))
ASSERTION_HEADER = {**HEADER, "typ": "client-authentication+jwt"}
PUBLIC_JWK = {"kty": "OKP", "crv": "Ed25519", "x": encoded(KEY.public_key().public_bytes_raw())}
PROOF_HEADER = {"alg": "EdDSA", "typ": "dpop+jwt", "jwk": PUBLIC_JWK}

JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.integers(0, 2 * 10**9), st.floats(), st.text(max_size=20),
        st.sampled_from([ISSUER, AUDIENCE, "doc1", "..", "read", "EdDSA", "none", TYPE, "k1", "A" * 43]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=8,
)  # fmt: skip
CLAIMS = ["iss", "aud", "sub", "path", "scope", "jti", "iat", "exp", "nbf", "cnf", "client_id"]
NAMES = st.sampled_from([*CLAIMS, "act", "htm", "htu", "ath"])
HEADER_NAMES = st.sampled_from(["alg", "typ", "kid", "jwk", "jku", "crit", "b64", "x5c", "cty"])
EDITS = st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 3), st.text(max_size=3)), max_size=3)


def edited(edits: list[tuple[int, int, str]]) -> str:
    text = GOOD
    for place, removed, added in edits:
        text = text[:place] + added + text[place + removed :]
    return text


TEXTS = st.one_of(
    st.builds(edited, EDITS),
    st.text(),
    st.builds(
        lambda parts: ".".join(encoded(part) for part in parts), st.lists(st.one_of(st.binary(), JSON), max_size=5)
    ),
    st.builds(
        lambda header, payload: raw({**HEADER, **header}, claims(**payload)),
        st.dictionaries(HEADER_NAMES, JSON, max_size=2),
        st.dictionaries(NAMES, JSON, max_size=3),
    ),
    st.builds(lambda payload: raw(HEADER, {**claims(), **payload}), st.dictionaries(NAMES, JSON, max_size=3)),
    st.builds(raw, st.binary(), st.binary()),
)


@FUZZ
@given(st.one_of(TEXTS, st.binary(), st.integers(), st.none(), st.lists(st.text())), st.text(), st.text())
def test_any_value_is_a_grant_or_none(token, path, action):
    check(token)
    found = tokens.verify(token, audience=AUDIENCE, trust=TRUST)
    assert found is None or isinstance(found.allows(path, action), bool)


def check(token: Any) -> bool:
    """Return whether a value is a grant. If it is, the key has signed exactly this text, and the grant is correct."""
    found = tokens.verify(token, audience=AUDIENCE, trust=TRUST)
    if found is None:
        return False
    assert isinstance(found, Grant)
    assert (found.issuer, found.audience) == (ISSUER, AUDIENCE)
    assert found.expires_at > time.time()
    assert paths.is_path(found.path)
    assert found.actions
    text, _, signature = token.rpartition(".")
    assert signature == encoded(KEY.sign(text.encode()))
    return True


def test_changed_tokens_are_refused():
    """Random changes of bytes, of claims, and of headers, which take less time to draw than those above."""
    seed = random.randrange(2**32)
    draw, odd = (
        random.Random(seed),
        [None, True, -1, 1.5, 10**30, "", "..", "é", "A" * 600, [], {}, {"jkt": 1}, ["read"]],
    )
    accepted = 0
    for number in range(TOKENS):
        kind = draw.randrange(4)
        if kind == 0:
            place, piece = draw.randrange(len(GOOD)), draw.choice(["", "A", ".", "=", "é", "\n", GOOD[:40]])
            token = GOOD[:place] + piece + GOOD[place + draw.randrange(3) :]
        elif kind == 1:
            token = raw(HEADER, {**claims(), draw.choice(CLAIMS): draw.choice(odd)})
        elif kind == 2:
            token = raw(
                {**HEADER, draw.choice(["alg", "typ", "kid", "jwk", "crit", "b64"]): draw.choice(odd)}, claims()
            )
        else:
            parts = [draw.randbytes(draw.randrange(80)) for _ in range(draw.randrange(1, 5))]
            token = ".".join([*map(encoded, parts), encoded(draw.randbytes(64))])
        try:
            accepted += check(token)
        except Exception as error:
            raise AssertionError(f"token {number} of seed {seed}: {token!r}") from error
    # Some changes leave a token as it was, or change nothing that counts.
    assert accepted < TOKENS / 4


@FUZZ
@given(TEXTS, st.dictionaries(NAMES, JSON, max_size=3), st.dictionaries(HEADER_NAMES, JSON, max_size=1))
def test_any_text_is_an_assertion_or_none(text, payload, header):
    now = int(time.time())
    good = {"iss": ISSUER, "sub": ISSUER, "aud": AUDIENCE, "jti": "a", "iat": now, "exp": now + 60}
    for token in (text, raw({**ASSERTION_HEADER, **header}, {**good, **payload})):
        found = authenticate(token, issuer=AUDIENCE, trust=TRUST, now=now)
        assert found is None or found.sandbox_id == ISSUER


@FUZZ
@given(TEXTS, st.dictionaries(NAMES, JSON, max_size=3), st.dictionaries(HEADER_NAMES, JSON, max_size=1), st.text())
def test_any_text_is_a_proof_or_none(text, payload, header, url):
    good = {
        "htm": "GET",
        "htu": "https://b.example/",
        "iat": int(time.time()),
        "jti": "a",
        "ath": proofs.token_hash("t"),
    }

    async def prove() -> None:
        near = raw({**PROOF_HEADER, **header}, {**good, **payload, "htu": url})
        other_key = raw({**PROOF_HEADER, "jwk": {**PUBLIC_JWK, **payload}}, {**good, "htu": url})
        for token in (text, near, other_key):
            await proofs.prover(proofs.Proof(token, "GET", url), "t", RecentIds())

    asyncio.run(prove())


@FUZZ
@given(st.text(st.sampled_from("ab./%25ef\\ \x00é\ud800")), st.text(st.sampled_from("ab./%25ef\\")))
def test_a_covered_path_never_leaves_the_granted_one(granted, path):
    if paths.is_path(granted) and paths.covers(granted, path):
        assert granted in (path, "") or path.startswith(granted + "/")
        assert not {"..", ".", ""} & set(path.split("/")) or path == ""
        assert "%2f" not in path.lower()
        assert "%2e%2e" not in path.lower()
    assert json.loads(json.dumps(path)) == path
